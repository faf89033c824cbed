//! The times that the tools of kept caches may trust: they compare times, and what they kept was made from
//! a tree that was shown with some.

use std::collections::BTreeSet;

use super::apply::apply_silently;
use super::diff::Change;
use super::edits::Edit;
use super::read::{get, get_stamped};
use super::walk::WalkItem;
use crate::entry::{Entry, Target};
use crate::map::{Seeker, difference, empty_tree};
use crate::path::TreePath;
use crate::times::{Rooted, Stamp};
use crate::trees::{TreeError, Trees};

/// Lets every path that `changes` left in the tree show at least the time `at_ns`.
///
/// For kept caches, whose tools compare times: what changed since their last writer saw the tree
/// must look newer than what they made.
pub fn raise_times(
    trees: &dyn Trees,
    root: &Rooted,
    changes: &[Change],
    at_ns: i64,
) -> Result<Rooted, TreeError> {
    let mut edits = Vec::new();
    for change in changes {
        let found = get_stamped(trees, root, &change.path)?;
        edits.extend(found.and_then(|found| raised(&change.path, found, at_ns)));
    }
    apply_silently(trees, root, edits)
}

/// Gives `root` with other times for what it holds as `touched` says, path by path; what is another entry there by now
/// stays as it is.
pub fn retime(
    trees: &dyn Trees,
    root: &Rooted,
    touched: impl IntoIterator<Item = Result<WalkItem, TreeError>>,
) -> Result<Rooted, TreeError> {
    let mut edits = Vec::new();
    for item in touched {
        let WalkItem {
            path,
            entry,
            mtime_ns,
        } = item?;
        let found = get(trees, &root.tree, &path)?;
        let same = found.filter(|found| is_the_same(found, &entry));
        edits.extend(same.map(|found| put(&path, found, mtime_ns)));
    }
    apply_silently(trees, root, edits)
}

/// Says whether two entries are the same to who looks at one of them. A file that is touched has no other names any
/// more, wherever it is captured: overlayfs copies up one.
fn is_the_same(found: &Entry, entry: &Entry) -> bool {
    match found.target {
        Target::Dir { .. } => !found.differs_itself(entry),
        _ => found.id() == entry.id(),
    }
}

/// Gives `now` with the times that the tools of a kept cache may trust: what is as it was in `seen`
/// shows the time it showed there, what `changes` (from `seen` to `now`) says to differ at least `at_ns`,
/// and so does a directory whose names changed.
///
/// A run sees the same times again however often files were touched or written anew with what they
/// held, and a time that was raised stays raised. What `own` says to have a time of its own, of which its
/// users may know, shows that where it is later.
pub fn times_since(
    trees: &dyn Trees,
    seen: &Rooted,
    now: &Rooted,
    changes: &[Change],
    at_ns: i64,
    own: &dyn Fn(&TreePath, &Entry) -> Result<bool, TreeError>,
) -> Result<Rooted, TreeError> {
    let mut dirs = BTreeSet::new();
    let mut edits = Vec::new();
    for change in changes {
        if change.alters_listing() {
            dirs.extend(change.path.parent().filter(|dir| !dir.is_root()));
        }
        let path = &change.path;
        match get_stamped(trees, now, path)? {
            Some((entry, stamp)) => edits.push(put(path, entry, stamp.mtime_ns.max(at_ns))),
            None => edits.push(Edit::Remove { path: path.clone() }),
        }
    }
    for path in &dirs {
        if let Some((entry, stamp)) = get_stamped(trees, now, path)?
            && matches!(entry.target, Target::Dir { .. })
        {
            edits.push(put(path, entry, stamp.mtime_ns.max(at_ns)));
        }
    }
    let shown = apply_silently(trees, seen, edits)?;
    if shown.tree != now.tree {
        // Entries that no edit can make, whiteouts for one, are no part of a view.
        return raise_times(trees, now, changes, at_ns);
    }
    let edits = later(trees, &shown, now, own)?;
    apply_silently(trees, &shown, edits)
}

/// The edits that give paths with a time of their own that time, where it is later than the one shown.
fn later(
    trees: &dyn Trees,
    shown: &Rooted,
    now: &Rooted,
    own: &dyn Fn(&TreePath, &Entry) -> Result<bool, TreeError>,
) -> Result<Vec<Edit>, TreeError> {
    let mut edits = Vec::new();
    let mut open = vec![(TreePath::root(), now.tree, shown.times, now.times)];
    while let Some((dir, tree, old, new)) = open.pop() {
        let mut entries = Seeker::<Entry>::new(trees, &tree)?;
        for stamps in difference::<Stamp>(trees, Some(&old), Some(&new))? {
            let (Some(stamp), Some(entry)) = (stamps.new, entries.get(stamps.name.as_bytes())?)
            else {
                continue;
            };
            let before = stamps.old.unwrap_or_default();
            let path = dir.join(&stamps.name);
            if let Some(tree) = entry.tree()
                && stamp.child_or_empty() != before.child_or_empty()
            {
                let (old, new) = (before.child_or_empty(), stamp.child_or_empty());
                open.push((path.clone(), *tree, old, new));
            }
            if stamp.mtime_ns > before.mtime_ns && own(&path, &entry)? {
                edits.push(put(&path, entry, stamp.mtime_ns));
            }
        }
    }
    Ok(edits)
}

fn raised(path: &TreePath, (entry, stamp): (Entry, Stamp), at_ns: i64) -> Option<Edit> {
    (stamp.mtime_ns < at_ns).then(|| put(path, entry, at_ns))
}

fn put(path: &TreePath, mut entry: Entry, mtime_ns: i64) -> Edit {
    if let Target::Dir { tree, .. } = &mut entry.target {
        *tree = empty_tree();
    }
    let path = path.clone();
    Edit::Put {
        path,
        entry,
        mtime_ns,
    }
}
