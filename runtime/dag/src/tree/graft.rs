//! Putting a tree into another.

use super::apply::apply_silently;
use super::edits::Edit;
use crate::entry::Meta;
use crate::path::TreePath;
use crate::times::Rooted;
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
