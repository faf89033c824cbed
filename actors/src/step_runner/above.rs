//! The directories above what a layer holds: to the tree below they are what they were.

use hd_dag::{Edit, Entry, Meta, Rooted, TreeError, TreePath, Trees, apply, compose, get};
use hd_dag::{get_stamped, graft};

/// Lays the project over a tree at a path: its directory, too, keeps mode, owner, attributes and time.
///
/// What there is of `keeper`, who runs steps, counts as nobody's as everything of the project does, and is shown
/// as a service's own user's.
pub(super) fn with_project(
    trees: &dyn Trees,
    below: &Rooted,
    (project, at): (&Rooted, &TreePath),
    keeper: (u32, u32),
) -> Result<Rooted, TreeError> {
    let (mut meta, mtime_ns) = directory(trees, below, at)?.unwrap_or((Meta::default_dir(), 0));
    if (meta.uid, meta.gid) == keeper {
        (meta.uid, meta.gid) = (0, 0);
    }
    let above = with_above(trees, &Rooted::empty(), below, at)?;
    let layer = graft(trees, &above, at, project, &meta, mtime_ns)?;
    compose(trees, below, &layer)
}

/// Lets a layer say of the directories above a path what the tree below says, where it says nothing: as parents
/// made in passing they would be root's.
pub(super) fn with_above(
    trees: &dyn Trees,
    layer: &Rooted,
    below: &Rooted,
    at: &TreePath,
) -> Result<Rooted, TreeError> {
    let mut edits = Vec::new();
    for path in std::iter::successors(at.parent(), TreePath::parent) {
        // Where it says one, it says all above.
        if path.is_root() || get(trees, &layer.tree, &path)?.is_some() {
            break;
        }
        if let Some((meta, mtime_ns)) = directory(trees, below, &path)? {
            let entry = Entry::dir(meta);
            edits.push(Edit::Put {
                path,
                entry,
                mtime_ns,
            });
        }
    }
    Ok(apply(trees, layer, edits)?.0)
}

/// What a tree says of a directory, and its time; none where there is no directory.
fn directory(
    trees: &dyn Trees,
    root: &Rooted,
    path: &TreePath,
) -> Result<Option<(Meta, i64)>, TreeError> {
    let found = get_stamped(trees, root, path)?;
    let found = found.filter(|(entry, _)| entry.tree().is_some());
    Ok(found.map(|(entry, stamp)| (entry.meta, stamp.mtime_ns)))
}
