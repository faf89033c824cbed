//! A layer laid upon the layers below it, with what it leaves to them settled first.

use hd_dag::{Edit, Entry, Kind, Led, Meta, Rooted, Stamp, Target, TreeError, TreePath, Trees};
use hd_dag::{apply, compose, follow, get, get_stamped, graft, link_group, subtree};

use crate::layer::LayerError;
use crate::layer::draft::Open;

/// Symbolic links followed on one way, as Linux bounds it (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Says why a layer cannot be laid upon those below.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error(transparent)]
    Tree(Box<TreeError>),
}

impl From<TreeError> for StackError {
    fn from(error: TreeError) -> StackError {
        StackError::Tree(Box::new(error))
    }
}

/// Lays a layer upon `lower`. `source` names the layer, to tell its hard-link groups from others.
pub(crate) fn lay(
    trees: &dyn Trees,
    lower: &Rooted,
    layer: &Rooted,
    open: &Open,
    source: &[u8],
) -> Result<Rooted, StackError> {
    let nothing = Rooted::empty();
    let lower = if open.opaque_root { &nothing } else { lower };
    let merged = lay_changes(trees, lower, layer, &open.implicit, 0)?;
    lay_links(trees, lower, merged, &open.links, source)
}

/// Refuses an image in which a mount point of the sandbox is not a directory.
pub(crate) fn check_mount_points(trees: &dyn Trees, root: &Rooted) -> Result<(), StackError> {
    for name in ["dev", "proc", "sys"] {
        let Ok(path) = TreePath::new(name.as_bytes()) else {
            continue;
        };
        let entry = get(trees, &root.tree, &path)?;
        if entry.is_some_and(|entry| entry.kind() != Kind::Dir) {
            let path = name.to_owned();
            return Err(LayerError::NotADirectory { path }.into());
        }
    }
    Ok(())
}

/// Composes, after directories that the layer does not describe have taken over what they are below. One that is a
/// symbolic link there is followed, as an unpacker in a chroot would.
fn lay_changes(
    trees: &dyn Trees,
    lower: &Rooted,
    layer: &Rooted,
    implicit: &[TreePath],
    depth: usize,
) -> Result<Rooted, StackError> {
    let mut edits = Vec::new();
    let mut moved: Vec<(TreePath, TreePath)> = Vec::new();
    let (mut below_it, mut in_layer) = (Descent::new(lower), Descent::new(layer));
    for path in implicit {
        if moved.iter().any(|(from, _)| path.starts_with(from)) {
            continue;
        }
        let Some((below, stamp)) = below_it.get(trees, path)? else {
            continue;
        };
        match below.target {
            Target::Dir { .. } => {
                let own = in_layer.get(trees, path)?.map(|(entry, _)| entry);
                let opaque =
                    own.is_some_and(|own| matches!(own.target, Target::Dir { opaque: true, .. }));
                let entry = if opaque {
                    Entry::opaque_dir(below.meta)
                } else {
                    Entry::dir(below.meta)
                };
                edits.push(Edit::Put {
                    path: path.clone(),
                    entry,
                    mtime_ns: stamp.mtime_ns,
                });
            }
            Target::Symlink { .. } if depth < MAX_LINKS => {
                if let Some(real) = real_directory(trees, lower, path)? {
                    edits.push(Edit::Remove { path: path.clone() });
                    moved.push((path.clone(), real));
                }
            }
            _ => {}
        }
    }
    let described = if edits.is_empty() {
        *layer
    } else {
        apply(trees, layer, edits)?.0
    };
    let mut merged = compose(trees, lower, &described)?;
    for (from, to) in moved {
        let Some(content) = subtree(trees, layer, &from)? else {
            continue;
        };
        let meta = Meta::default_dir();
        let elsewhere = graft(trees, &Rooted::empty(), &to, &content, &meta, 0)?;
        let below = implicit.iter().filter_map(|path| path.strip_prefix(&from));
        let mut nameless: Vec<TreePath> = ways_to(&to);
        nameless.extend(
            below
                .filter(|rest| !rest.is_root())
                .map(|rest| to.join_path(&rest)),
        );
        merged = lay_changes(trees, &merged, &elsewhere, &nameless, depth + 1)?;
    }
    Ok(merged)
}

/// Looks up sorted paths, each from the directory it shares with the one before.
struct Descent {
    root: Rooted,
    open: Vec<(TreePath, Rooted)>,
}

impl Descent {
    fn new(root: &Rooted) -> Descent {
        let open = Vec::new();
        Descent { root: *root, open }
    }

    fn get(
        &mut self,
        trees: &dyn Trees,
        path: &TreePath,
    ) -> Result<Option<(Entry, Stamp)>, StackError> {
        while self
            .open
            .pop_if(|(above, _)| !path.starts_with(above))
            .is_some()
        {}
        let (rest, from) = match self.open.last() {
            Some((above, dir)) => (path.strip_prefix(above), *dir),
            None => (Some(path.clone()), self.root),
        };
        let found = get_stamped(trees, &from, &rest.unwrap_or_default())?;
        if let Some((
            Entry {
                target: Target::Dir { tree, .. },
                ..
            },
            stamp,
        )) = &found
        {
            let times = stamp.child_or_empty();
            self.open
                .push((path.clone(), Rooted { tree: *tree, times }));
        }
        Ok(found)
    }
}

/// Makes the hard links of a layer to files of lower layers; both names then are one group.
fn lay_links(
    trees: &dyn Trees,
    lower: &Rooted,
    merged: Rooted,
    links: &[(TreePath, TreePath)],
    source: &[u8],
) -> Result<Rooted, StackError> {
    let mut edits = Vec::new();
    for (path, target) in links {
        let refuse = |problem| LayerError::HardLink {
            path: path.to_string(),
            target: target.to_string(),
            problem,
        };
        let real = real_place(trees, lower, target)?.ok_or_else(|| refuse("which is not there"))?;
        let found = get_stamped(trees, lower, &real)?;
        let (original, stamp) = found.ok_or_else(|| refuse("which is not there"))?;
        let mut entry = original.clone();
        match &mut entry.target {
            Target::Dir { .. } => return Err(refuse("which is a directory").into()),
            Target::Regular {
                link_group: group, ..
            } if group.is_none() => {
                *group = Some(link_group(source, &real));
                // Unless the layer has replaced it, the target is the other half of the pair.
                if get(trees, &merged.tree, &real)?.as_ref() == Some(&original) {
                    let (path, entry, mtime_ns) = (real, entry.clone(), stamp.mtime_ns);
                    edits.push(Edit::Put {
                        path,
                        entry,
                        mtime_ns,
                    });
                }
            }
            _ => {}
        }
        let (path, mtime_ns) = (path.clone(), stamp.mtime_ns);
        edits.push(Edit::Put {
            path,
            entry,
            mtime_ns,
        });
    }
    if edits.is_empty() {
        return Ok(merged);
    }
    Ok(apply(trees, &merged, edits)?.0)
}

/// Lists the directories on the way to a path, itself included.
fn ways_to(path: &TreePath) -> Vec<TreePath> {
    let up = std::iter::successors(Some(path.clone()), TreePath::parent);
    let mut all: Vec<TreePath> = up.filter(|path| !path.is_root()).collect();
    all.reverse();
    all
}

/// Follows every symbolic link of a path to a directory, within the tree; `None` when it leads to none.
fn real_directory(
    trees: &dyn Trees,
    root: &Rooted,
    path: &TreePath,
) -> Result<Option<TreePath>, StackError> {
    Ok(match follow(trees, root, path, true)? {
        Led::There(place, Kind::Dir) => Some(place),
        _ => None,
    })
}

/// Follows the symbolic links on the way to a path, but not one at its end, as `link(2)` does.
fn real_place(
    trees: &dyn Trees,
    root: &Rooted,
    path: &TreePath,
) -> Result<Option<TreePath>, StackError> {
    Ok(match follow(trees, root, path, false)? {
        Led::There(place, _) => Some(place),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
