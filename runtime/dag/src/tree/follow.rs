//! Following symbolic links within a tree.

use super::read::get;
use crate::entry::{Kind, Target};
use crate::name::Name;
use crate::path::TreePath;
use crate::times::Rooted;
use crate::trees::{TreeError, Trees};

/// Symbolic links followed on one way, as Linux bounds it (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Led {
    /// To something of this kind; no link is on the way there.
    There(TreePath, Kind),
    /// To nothing: this is where it would be.
    Missing(TreePath),
    /// Nowhere: what is no directory is on the way, or links that never end.
    Nowhere,
}

/// Follows the symbolic links on the way to a path as a process does whose root is the tree's, and one at its end
/// if `last`.
pub fn follow(
    trees: &dyn Trees,
    root: &Rooted,
    path: &TreePath,
    last: bool,
) -> Result<Led, TreeError> {
    // Components still to go, the next one last.
    let mut rest: Vec<Vec<u8>> = path.components().rev().map(<[u8]>::to_vec).collect();
    let mut place = TreePath::root();
    let mut links = 0;
    while let Some(component) = rest.pop() {
        match component.as_slice() {
            b"" | b"." => continue,
            // The root's parent is the root.
            b".." => {
                place.pop();
                continue;
            }
            _ => {}
        }
        let Ok(name) = Name::new(&component) else {
            return Ok(Led::Nowhere);
        };
        let next = place.join(&name);
        let Some(entry) = get(trees, &root.tree, &next)? else {
            return Ok(missing(next, rest));
        };
        match entry.target {
            Target::Symlink { target } if last || !rest.is_empty() => {
                links += 1;
                if links > MAX_LINKS {
                    return Ok(Led::Nowhere);
                }
                if target.starts_with(b"/") {
                    place = TreePath::root();
                }
                rest.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
            }
            Target::Dir { .. } => place = next,
            _ if rest.is_empty() => return Ok(Led::There(next, entry.kind())),
            _ => return Ok(Led::Nowhere),
        }
    }
    Ok(Led::There(place, Kind::Dir))
}

/// What lies below a name that is not there is not there, either.
fn missing(mut place: TreePath, rest: Vec<Vec<u8>>) -> Led {
    for component in rest.into_iter().rev() {
        if matches!(component.as_slice(), b"" | b".") {
            continue;
        }
        match Name::new(&component) {
            Ok(name) => place.push(&name),
            // Back from where nothing is.
            Err(_) => return Led::Nowhere,
        }
    }
    Led::Missing(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entry, Meta};
    use crate::{MemoryTrees, build};

    #[test]
    fn links_lead_where_the_kernel_would_go() {
        let trees = MemoryTrees::new();
        let link = |target: &str| Entry::symlink(0, 0, target.as_bytes().to_vec());
        let dir = || Entry::dir(Meta::default_dir());
        let fifo = Entry {
            meta: Meta::new(0o644),
            target: Target::Fifo,
        };
        let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        let entries = [
            ("again", link("./again")),
            ("far", link("/../var//./home/")),
            ("file", fifo),
            ("gone", link("var/none/../x")),
            ("not", link("file")),
            ("open", link("var/none")),
            ("up", link("var/home/..")),
            ("var", dir()),
            ("var/home", dir()),
        ];
        let entries = entries.map(|(at, entry)| (path(at), entry, 0));
        let root = build(&trees, entries).unwrap();
        let led = |at: &str, last| follow(&trees, &root, &path(at), last).unwrap();
        let there = |at: &str| Led::There(path(at), Kind::Dir);
        let cases = [
            ("var/home", there("var/home")),
            ("far", there("var/home")),
            ("up/home", there("var/home")),
            ("far/a/b", Led::Missing(path("var/home/a/b"))),
            ("open/a", Led::Missing(path("var/none/a"))),
            ("not", Led::There(path("file"), Kind::Fifo)),
            ("not/a", Led::Nowhere),
            ("again", Led::Nowhere),
            ("gone", Led::Nowhere),
        ];
        for (at, wanted) in cases {
            assert_eq!(led(at, true), wanted, "{at}");
        }
        assert_eq!(led("far", false), Led::There(path("far"), Kind::Symlink));
        assert_eq!(led("up/home", false), there("var/home"));
    }
}
