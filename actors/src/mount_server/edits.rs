//! What the host edited, as operations on the view of a service: pure.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use hd_dag::{Change, Entry, Kind, Rooted, Target, TreeError, TreePath, Trees, list, subtree};
use hd_sandbox::{MountOp, Place};
use hd_store::Id;

use super::view::host_path;

/// An edit: of which path, where that is, and how it is made.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub(super) path: TreePath,
    pub(super) at: PathBuf,
    pub(super) op: MountOp,
    /// The content that has to lie where the operation takes it from.
    pub(super) content: Option<Content>,
}

/// The content of a file, and where it is to be put for an operation.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) blob: Id,
    pub(super) file: PathBuf,
}

/// Where edits are written, and as whose.
#[derive(Debug)]
pub(super) struct Spot {
    /// The directory that contents are put into.
    pub(super) stock: PathBuf,
    /// The view, in the stage of its namespace.
    pub(super) merged: PathBuf,
    /// Whose files are that the project has of nobody.
    pub(super) owner: (u32, u32),
}

impl Spot {
    /// Gives the edits as they are made: what goes first, from the innermost out, then what comes, from the
    /// outermost in.
    pub(super) fn edits(&self, workdir: &TreePath, changes: &[Change]) -> Vec<Edit> {
        let goes = |change: &&Change| match (&change.old, &change.new) {
            (Some(_), None) => true,
            (Some(old), Some(new)) => old.kind() != new.kind() || new.kind() == Kind::Symlink,
            _ => false,
        };
        let going = changes.iter().rev().filter(goes).map(|change| {
            let at = self.at(workdir, &change.path);
            Edit {
                path: change.path.clone(),
                at: at.clone(),
                op: MountOp::Remove { at },
                content: None,
            }
        });
        let coming = changes.iter().enumerate().filter_map(|(number, change)| {
            let at = self.at(workdir, &change.path);
            let (op, content) = self.made(number, at.clone(), change.new.as_ref()?)?;
            Some(Edit {
                path: change.path.clone(),
                at,
                op,
                content,
            })
        });
        going.chain(coming).collect()
    }

    fn at(&self, workdir: &TreePath, path: &TreePath) -> PathBuf {
        self.merged.join(host_path(&workdir.join_path(path)))
    }

    fn made(
        &self,
        number: usize,
        at: PathBuf,
        entry: &Entry,
    ) -> Option<(MountOp, Option<Content>)> {
        let mode = entry.meta.mode & 0o7777;
        let owner = match (entry.meta.uid, entry.meta.gid) {
            (0, 0) => self.owner,
            stored => stored,
        };
        match &entry.target {
            Target::Regular { blob, .. } => {
                // Not the host's file: that may be another one by now, or written half, and end as this one.
                let file = self.stock.join(number.to_string());
                let op = MountOp::Copy {
                    source: Place::Host(file.clone()),
                    at,
                    mode,
                    owner,
                };
                Some((op, Some(Content { blob: *blob, file })))
            }
            Target::Dir { .. } => {
                let owner = Some(owner);
                Some((MountOp::Mkdir { at, mode, owner }, None))
            }
            Target::Symlink { target } => {
                let target = PathBuf::from(OsStr::from_bytes(target));
                Some((MountOp::Symlink { at, target }, None))
            }
            // Pipes and devices are no files a person edits; a new view shows them.
            _ => None,
        }
    }
}

/// Gives the paths of the project that steps took away, by the layers they left: services see nothing at or below
/// them of what the project has there.
pub(super) fn taken_away(
    trees: &dyn Trees,
    layers: &[Rooted],
    workdir: &TreePath,
) -> Result<BTreeSet<TreePath>, TreeError> {
    let mut found = BTreeSet::new();
    for layer in layers {
        if let Some(project) = subtree(trees, layer, workdir)? {
            marked_in(trees, &project.tree, &TreePath::root(), &mut found)?;
        }
    }
    Ok(found)
}

fn marked_in(
    trees: &dyn Trees,
    dir: &Id,
    at: &TreePath,
    found: &mut BTreeSet<TreePath>,
) -> Result<(), TreeError> {
    for item in list(trees, dir)? {
        let (name, entry) = item?;
        let path = at.join(&name);
        match &entry.target {
            Target::Whiteout | Target::Dir { opaque: true, .. } => {
                found.insert(path);
            }
            Target::Dir {
                tree, marked: true, ..
            } => marked_in(trees, tree, &path, found)?,
            _ => {}
        }
    }
    Ok(())
}

/// Tells whether a path, or a directory that it lies in, is among these.
pub(super) fn is_within(paths: &BTreeSet<TreePath>, path: &TreePath) -> bool {
    // They are few; those that begin a path need not stand beside it.
    paths.iter().any(|one| path.starts_with(one))
}

#[cfg(test)]
mod tests {
    use hd_dag::{Meta, build, empty_tree};
    use hd_store::Store;

    use super::*;
    use crate::trees::WorkTrees;

    fn change(path: &str, old: Option<Entry>, new: Option<Entry>) -> Change {
        let path = TreePath::new(path.as_bytes()).unwrap();
        Change { path, old, new }
    }

    fn said(op: &MountOp) -> String {
        match op {
            MountOp::Remove { at } => format!("- {}", at.display()),
            MountOp::Copy {
                at,
                mode,
                owner,
                source,
            } => {
                let Place::Host(source) = source else {
                    return format!("{source:?}");
                };
                let (user, group) = owner;
                format!(
                    "{} > {} {mode:o} {user}:{group}",
                    source.display(),
                    at.display()
                )
            }
            MountOp::Mkdir { at, mode, .. } => format!("d {} {mode:o}", at.display()),
            MountOp::Symlink { at, target } => format!("l {} {}", at.display(), target.display()),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_goes_goes_first_and_from_within() {
        let file = || Some(Entry::regular(Meta::new(0o644), Id::of(b"x"), 1));
        let dir = || Some(Entry::dir_of(Meta::new(0o755), empty_tree()));
        let changes = [
            change("a", file(), file()),
            change("b", dir(), file()),
            change("b/c", file(), None),
            change("d", None, dir()),
            change("d/e", None, file()),
            change("gone", dir(), None),
            change("gone/x", file(), None),
        ];
        let place = Spot {
            stock: "s".into(),
            merged: "v/web/merged".into(),
            owner: (7, 8),
        };
        let edits = place.edits(&TreePath::new(b"w").unwrap(), &changes);
        let said: Vec<String> = edits.iter().map(|edit| said(&edit.op)).collect();
        assert_eq!(
            said,
            [
                "- v/web/merged/w/gone/x",
                "- v/web/merged/w/gone",
                "- v/web/merged/w/b/c",
                "- v/web/merged/w/b",
                "s/0 > v/web/merged/w/a 644 7:8",
                "s/1 > v/web/merged/w/b 644 7:8",
                "d v/web/merged/w/d 755",
                "s/4 > v/web/merged/w/d/e 644 7:8",
            ]
        );
    }

    #[test]
    fn what_steps_took_away_is_found_below_marked_directories_only() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let trees = WorkTrees::new(store);
        let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        let (file, gone) = (
            Entry::regular(Meta::new(0o644), Id::of(b"x"), 1),
            Entry::whiteout(),
        );
        let layer = |entries: &[(&str, &Entry)]| {
            let all = entries
                .iter()
                .map(|(at, entry)| (path(at), (*entry).clone(), 0));
            build(&trees, all.collect::<Vec<_>>()).unwrap()
        };
        let layers = [
            layer(&[
                ("etc/gone", &gone),
                ("w/deep/in/gone", &gone),
                ("w/deep/kept", &file),
            ]),
            layer(&[("w/made", &file)]),
            layer(&[("w/too", &gone)]),
        ];
        let found = taken_away(&trees, &layers, &path("w")).unwrap();
        assert_eq!(found, [path("deep/in/gone"), path("too")].into());
        assert!(is_within(&found, &path("too/below")) && is_within(&found, &path("too")));
        assert!(!is_within(&found, &path("deep/in")) && !is_within(&found, &path("tool")));
    }
}
