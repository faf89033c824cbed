//! A projected project: services see a snapshot of it, and each edit is written through.
//!
//! A lower must not change under a live overlay, so what the host edited is written into the merged
//! view itself, in place, by a helper in the namespace of the view: there inotify tells of it as of
//! any other write. Where host and service changed the same file, the host's edit is what stays; where the
//! service put a directory of its own files, or a link in the way, that stays, and is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hd_dag::{Change, Entry, Kind, Meta, Rooted, Target, TreePath, diff, get};
use hd_sandbox::{Failure, MountOp, Place, Stage};

use super::view::{ServiceView, host_path, tried_in};
use crate::events::Event;
use crate::messages::BatchError;
use crate::shared::Shared;

/// What the kernel says where a service put something else, or runs it; a full disk for one is another matter.
const IN_THE_WAY: [i32; 5] = [
    libc::EEXIST,
    libc::ENOTDIR,
    libc::EISDIR,
    libc::ELOOP,
    libc::ETXTBSY,
];

/// Which project tree each service sees, and which one it should.
#[derive(Debug)]
pub(super) struct Follow {
    /// What the lower was composed with.
    begin: Rooted,
    /// What should be seen: set by actors, which never wait for a write.
    aim: Mutex<Rooted>,
    /// What is seen; held while it is written, because two must not write one view.
    shown: Mutex<BTreeMap<String, Shown>>,
}

/// What one service sees of the project.
#[derive(Clone, Debug)]
struct Shown {
    project: Rooted,
    /// Paths where something that the service made stands in the way: they are tried again.
    undone: BTreeSet<TreePath>,
}

impl Follow {
    pub(super) fn new(begin: Rooted) -> Self {
        Self {
            begin,
            aim: Mutex::new(begin),
            shown: Mutex::default(),
        }
    }
}

/// An edit: of which path, where that is, and how it is made.
struct Edit {
    path: TreePath,
    at: PathBuf,
    op: MountOp,
}

/// Where an edit is written, and as whose.
struct Spot<'a> {
    project: &'a Path,
    merged: PathBuf,
    owner: (u32, u32),
}

impl ServiceView {
    /// Says which project tree services should see from now on; the next [`Self::catch_up`] makes it so.
    pub fn aim(&self, project: Rooted) {
        if let Some(follow) = &self.follow {
            *lock(&follow.aim) = project;
        }
    }

    /// Gives the project tree services should see, when it is projected.
    pub(super) fn aimed(&self) -> Option<Rooted> {
        self.follow.as_ref().map(|follow| *lock(&follow.aim))
    }

    /// Begins anew for a service whose layer was dropped.
    pub(super) fn follow_anew(&self, service: &str) {
        if let Some(follow) = &self.follow {
            lock(&follow.shown).remove(service);
        }
    }

    /// Tells whether edits have to be written through.
    pub fn is_projected(&self) -> bool {
        self.follow.is_some()
    }

    /// Writes what the host edited into the views of all services that have one. Blocks.
    ///
    /// # Errors
    /// The first one; the other services see the edits all the same.
    pub fn catch_up_all(&self, shared: &Shared) -> Result<(), BatchError> {
        let layered = self.layered();
        let each = layered.iter().map(|name| self.catch_up(shared, name));
        each.fold(Ok(()), Result::and)
    }

    /// Writes what the host edited into the view of one service. Blocks.
    pub(super) fn catch_up(&self, shared: &Shared, service: &str) -> Result<(), BatchError> {
        let Some(follow) = &self.follow else {
            return Ok(());
        };
        let mut all = lock(&follow.shown);
        let before = all.get(service).cloned().unwrap_or_else(|| Shown {
            project: follow.begin,
            undone: BTreeSet::new(),
        });
        let aim = *lock(&follow.aim);
        if before.project.tree == aim.tree && before.undone.is_empty() {
            return Ok(());
        }
        let changes = self.to_write(shared, &before, &aim)?;
        let place = Spot {
            project: &shared.settings.project_dir,
            merged: self.layer(service).join("merged"),
            owner: (self.account.uid, self.account.gid),
        };
        let edits = place.edits(&self.plan.workdir_path, &changes);
        let mut undone = Vec::new();
        if !edits.is_empty() {
            self.write(shared, &place.merged, &edits, &mut undone)?;
        }
        for (path, failure) in &undone {
            if !before.undone.contains(path) {
                let why = std::io::Error::from_raw_os_error(failure.errno);
                let note = format!(
                    "{service} does not see the edit of {path}, for what it put there itself ({why}); `hd reset {service}` drops that"
                );
                shared.events.tell(Event::Note(note));
            }
        }
        let shown = Shown {
            project: aim,
            undone: undone.into_iter().map(|(path, _)| path).collect(),
        };
        all.insert(service.to_owned(), shown);
        Ok(())
    }

    /// Gives the changes that a service has to be shown, what could not be written before among them.
    fn to_write(
        &self,
        shared: &Shared,
        before: &Shown,
        aim: &Rooted,
    ) -> Result<Vec<Change>, BatchError> {
        let failed = |e| BatchError::new("store", e);
        let trees = &*shared.trees;
        let mut changes = diff(trees, &before.project.tree, &aim.tree).map_err(failed)?;
        for path in &before.undone {
            if changes.iter().all(|change| change.path != *path) {
                changes.push(Change {
                    path: path.clone(),
                    // Whatever it is that stands there.
                    old: Some(Entry::dir(Meta::default_dir())),
                    new: get(trees, &aim.tree, path).map_err(failed)?,
                });
            }
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        // What a step made of a file of the project is what services see there.
        let mut shown = Vec::with_capacity(changes.len());
        for change in changes {
            let inside = self.plan.workdir_path.join_path(&change.path);
            let made = get(trees, &self.lower.tree, &inside).map_err(failed)?;
            if made.is_none_or(|entry| entry.kind() == Kind::Dir) {
                shown.push(change);
            }
        }
        Ok(shown)
    }

    /// Writes edits, and goes on beside those that cannot be.
    fn write(
        &self,
        shared: &Shared,
        root: &Path,
        edits: &[Edit],
        undone: &mut Vec<(TreePath, Failure)>,
    ) -> Result<(), BatchError> {
        let run =
            |ops: &[MountOp]| match tried_in(shared, &self.namespace, root, ops, |_, _| Ok(())) {
                Ok(Err(failure)) if failure.stage != Stage::Mount => {
                    Err(BatchError::new("sandbox", failure))
                }
                other => other,
            };
        let all: Vec<MountOp> = edits.iter().map(|edit| edit.op.clone()).collect();
        let Err(failure) = run(&all)? else {
            return Ok(());
        };
        if let [Edit { path, at, op }] = edits {
            if !IN_THE_WAY.contains(&failure.errno) {
                return Err(BatchError::new("sandbox", failure));
            }
            // What the service made of it goes: the host's edit is what stays.
            let instead = [MountOp::Remove { at: at.clone() }, op.clone()];
            if let Err(failure) = run(&instead)? {
                undone.push((path.clone(), failure));
            }
            return Ok(());
        }
        let (first, second) = edits.split_at(edits.len() / 2);
        self.write(shared, root, first, undone)?;
        self.write(shared, root, second, undone)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spot<'_> {
    /// Gives the edits as they are made: what goes first, from the innermost out, then what comes, from the
    /// outermost in.
    fn edits(&self, workdir: &TreePath, changes: &[Change]) -> Vec<Edit> {
        let edit = |change: &Change, op: Option<MountOp>| {
            let path = change.path.clone();
            let at = self.at(workdir, &path);
            op.map(|op| Edit { path, at, op })
        };
        let goes = |change: &&Change| match (&change.old, &change.new) {
            (Some(_), None) => true,
            (Some(old), Some(new)) => old.kind() != new.kind() || new.kind() == Kind::Symlink,
            _ => false,
        };
        let going = changes.iter().rev().filter(goes).map(|change| {
            let at = self.at(workdir, &change.path);
            edit(change, Some(MountOp::Remove { at }))
        });
        let coming = changes.iter().map(|change| {
            let at = self.at(workdir, &change.path);
            let made = |entry| self.made(&change.path, at, entry);
            edit(change, change.new.as_ref().and_then(made))
        });
        going.chain(coming).flatten().collect()
    }

    fn at(&self, workdir: &TreePath, path: &TreePath) -> PathBuf {
        self.merged.join(host_path(&workdir.join_path(path)))
    }

    fn made(&self, path: &TreePath, at: PathBuf, entry: &Entry) -> Option<MountOp> {
        let mode = entry.meta.mode & 0o7777;
        let owner = match (entry.meta.uid, entry.meta.gid) {
            (0, 0) => self.owner,
            stored => stored,
        };
        match &entry.target {
            Target::Regular { .. } => Some(MountOp::Copy {
                source: Place::Beneath {
                    directory: self.project.to_path_buf(),
                    path: host_path(path),
                },
                at,
                mode,
                owner,
            }),
            Target::Dir { .. } => Some(MountOp::Mkdir {
                at,
                mode,
                owner: Some(owner),
            }),
            Target::Symlink { target } => {
                use std::os::unix::ffi::OsStrExt;
                let target = PathBuf::from(std::ffi::OsStr::from_bytes(target));
                Some(MountOp::Symlink { at, target })
            }
            // Pipes and devices are no files a person edits; a new view shows them.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use hd_dag::empty_tree;
    use hd_store::Id;

    use super::*;

    fn change(path: &str, old: Option<Entry>, new: Option<Entry>) -> Change {
        let path = TreePath::new(path.as_bytes()).unwrap();
        Change { path, old, new }
    }

    fn said(op: &MountOp) -> String {
        match op {
            MountOp::Remove { at } => format!("- {}", at.display()),
            MountOp::Copy {
                at, mode, owner, ..
            } => {
                format!("+ {} {mode:o} {}:{}", at.display(), owner.0, owner.1)
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
            project: Path::new("/p"),
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
                "+ v/web/merged/w/a 644 7:8",
                "+ v/web/merged/w/b 644 7:8",
                "d v/web/merged/w/d 755",
                "+ v/web/merged/w/d/e 644 7:8",
            ]
        );
    }
}
