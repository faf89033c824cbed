//! Putting a tree into another, and the times that kept caches may trust.

use std::collections::BTreeSet;

use super::apply::apply_silently;
use super::diff::Change;
use super::edits::Edit;
use super::read::get_stamped;
use crate::entry::{Entry, Meta, Target};
use crate::map::empty_tree;
use crate::path::TreePath;
use crate::times::{Rooted, Stamp};
use crate::trees::{TreeError, Trees};

/// Puts a whole tree at a path, making parents; what was there is gone.
///
/// The directory itself gets `meta` and `mtime_ns`. At the root the subtree is returned.
pub fn graft(
    trees: &dyn Trees,
    root: &Rooted,
    path: &TreePath,
    subtree: &Rooted,
    meta: &Meta,
    mtime_ns: i64,
) -> Result<Rooted, TreeError> {
    if path.is_root() {
        return Ok(*subtree);
    }
    let edit = Edit::Graft {
        path: path.clone(),
        meta: meta.clone(),
        mtime_ns,
        subtree: *subtree,
    };
    apply_silently(trees, root, [edit])
}

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

/// Gives `now` with the times that the tools of a kept cache may trust: what is as it was in `seen`
/// shows the time it showed there, what `changes` (from `seen` to `now`) says to differ at least `at_ns`,
/// and so does a directory whose names changed.
///
/// A run sees the same times again however often files were touched or written anew with what they
/// held, and a time that was raised stays raised.
pub fn times_since(
    trees: &dyn Trees,
    seen: &Rooted,
    now: &Rooted,
    changes: &[Change],
    at_ns: i64,
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
    if shown.tree == now.tree {
        return Ok(shown);
    }
    // Entries that no edit can make, whiteouts below an opaque directory for one, are no part of a view.
    raise_times(trees, now, changes, at_ns)
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
