//! Putting a tree into another, and raising times.

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

fn raised(path: &TreePath, (mut entry, stamp): (Entry, Stamp), at_ns: i64) -> Option<Edit> {
    if stamp.mtime_ns >= at_ns {
        return None;
    }
    if let Target::Dir { tree, .. } = &mut entry.target {
        *tree = empty_tree();
    }
    Some(Edit::Put {
        path: path.clone(),
        entry,
        mtime_ns: at_ns,
    })
}
