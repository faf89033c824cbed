//! What a file system holds, as lines that can be compared: mode, owner, path, and content.

use std::collections::{BTreeMap, BTreeSet};

/// Lists a root with programs that busybox has too; `$1` is the project's directory, which may be a
/// mount of its own. A checksum line follows for each regular file, a link's target for each link.
pub const SCRIPT: &str = r#"
list() {
    find "$@" -print0 | xargs -0 stat -c '%f %u:%g %n'
    find "$@" -type f -print0 | xargs -0 -r sha256sum
    find "$@" -type l -exec sh -c 'for l; do echo "-> $(readlink "$l") $l"; done' sh {} +
}
cd /
list / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run -o -path /var/tmp -o -path "$1" \) -prune -o
if [ -d "$1" ]; then list "$1"; fi
"#;

/// A tree: path to `mode owner` and what it holds.
pub type Tree = BTreeMap<String, String>;

/// Reads what [`SCRIPT`] printed.
pub fn read(output: &str) -> Tree {
    let mut tree = Tree::new();
    for line in output.lines() {
        if let Some(rest) = line.strip_prefix("-> ") {
            let Some((target, path)) = rest.split_once(' ') else {
                continue;
            };
            tree.entry(path.to_owned())
                .or_default()
                .push_str(&format!(" -> {target}"));
            continue;
        }
        let mut words = line.splitn(3, ' ');
        let (first, second, third) = (words.next(), words.next(), words.next());
        match (first, second, third) {
            // `sha256sum` puts two blanks before the path.
            (Some(sum), Some(""), Some(path)) if sum.len() == 64 => {
                tree.entry(path.to_owned())
                    .or_default()
                    .push_str(&format!(" {}", &sum[..16]));
            }
            (Some(mode), Some(owner), Some(path)) => {
                tree.entry(path.to_owned())
                    .or_default()
                    .insert_str(0, &format!("{mode} {owner}"));
            }
            _ => {}
        }
    }
    tree
}

/// What of `tree` is not the same in `base`, without what a pattern names: a pattern is a piece of
/// the path that ends in `/`, or the end of a path.
pub fn changed(tree: &Tree, base: &Tree, but: &[String]) -> BTreeSet<String> {
    let differs = tree
        .iter()
        .filter(|(path, what)| base.get(*path) != Some(what));
    let left = differs.filter(|(path, _)| !but.iter().any(|pattern| is_named(path, pattern)));
    left.map(|(path, what)| format!("{what} {path}")).collect()
}

fn is_named(path: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('/') {
        Some(dir) => format!("{path}/").contains(pattern) || path.ends_with(dir),
        None => path.ends_with(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_mode_owner_and_content() {
        let sum = "0123456789abcdef".repeat(4);
        let before = read("81a4 0:0 /a\n41ed 0:0 /d\n");
        let text = format!(
            "81a4 0:0 /a\n41ff 0:0 /d\n81a4 0:0 /d/x y\na1ff 0:0 /l\n{sum}  /d/x y\n-> a /l\n81a4 0:0 /c/__pycache__/x\n"
        );
        let found = changed(&read(&text), &before, &["/__pycache__/".to_owned()]);
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(
            found,
            [
                "41ff 0:0 /d",
                "81a4 0:0 0123456789abcdef /d/x y",
                "a1ff 0:0 -> a /l"
            ]
        );
    }
}
