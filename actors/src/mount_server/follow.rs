//! A projected project: services see a snapshot of it, and each edit is written through.
//!
//! A lower must not change under a live overlay, so what the host edited is written into the merged
//! view itself, in place, by a helper in the namespace of the view: there inotify tells of it as of
//! any other write. Where host and service changed the same file, the host's edit is what stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hd_dag::{Change, Entry, Kind, Rooted, Target, TreePath, diff, get};
use hd_sandbox::{MountOp, Place};

use super::view::{ServiceView, host_path, run_in};
use crate::messages::BatchError;
use crate::shared::Shared;

/// Which project tree each service sees, and which one it should.
#[derive(Debug)]
pub(super) struct Follow {
    /// What the lower was composed with.
    begin: Rooted,
    /// What should be seen: set by actors, which never wait for a write.
    aim: Mutex<Rooted>,
    /// What is seen; held while it is written, because two must not write one view.
    shown: Mutex<BTreeMap<String, Rooted>>,
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
    pub fn catch_up_all(&self, shared: &Shared) -> Result<(), BatchError> {
        let layered = self.layered();
        layered
            .iter()
            .try_for_each(|name| self.catch_up(shared, name))
    }

    /// Writes what the host edited into the view of one service. Blocks.
    pub(super) fn catch_up(&self, shared: &Shared, service: &str) -> Result<(), BatchError> {
        let Some(follow) = &self.follow else {
            return Ok(());
        };
        let mut all = lock(&follow.shown);
        let shown = *all.get(service).unwrap_or(&follow.begin);
        let aim = *lock(&follow.aim);
        if shown.tree == aim.tree {
            return Ok(());
        }
        let failed = |e| BatchError::new("store", e);
        let mut changes = diff(&*shared.trees, &shown.tree, &aim.tree).map_err(failed)?;
        // What a step made of a file of the project is what services see there.
        let made = |path: &TreePath| {
            let inside = self.plan.workdir_path.join_path(path);
            get(&*shared.trees, &self.lower.tree, &inside)
        };
        let mut hidden = Vec::new();
        for change in &changes {
            let entry = made(&change.path).map_err(failed)?;
            hidden.push(entry.is_some_and(|entry| entry.kind() != Kind::Dir));
        }
        let mut hidden = hidden.into_iter();
        changes.retain(|_| !hidden.next().unwrap_or(false));
        let place = Spot {
            project: &shared.settings.project_dir,
            merged: self.layer(service).join("merged"),
            owner: (self.account.uid, self.account.gid),
        };
        let ops = place.ops(&self.plan.workdir_path, &changes);
        if !ops.is_empty() {
            let root = place.merged.clone();
            run_in(shared, &self.namespace, &root, &ops, |_, _| Ok(()))?;
        }
        all.insert(service.to_owned(), aim);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spot<'_> {
    /// Gives the operations that make the edits: what goes first, from the innermost out, then what
    /// comes, from the outermost in.
    fn ops(&self, workdir: &TreePath, changes: &[Change]) -> Vec<MountOp> {
        let at = |path: &TreePath| self.merged.join(host_path(&workdir.join_path(path)));
        let goes = |change: &&Change| match (&change.old, &change.new) {
            (Some(_), None) => true,
            (Some(old), Some(new)) => old.kind() != new.kind() || new.kind() == Kind::Symlink,
            _ => false,
        };
        let mut ops: Vec<MountOp> = changes
            .iter()
            .rev()
            .filter(goes)
            .map(|change| MountOp::Remove {
                at: at(&change.path),
            })
            .collect();
        let comes = changes.iter().filter_map(|change| {
            let entry = change.new.as_ref()?;
            self.made(&change.path, at(&change.path), entry)
        });
        ops.extend(comes);
        ops
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
    use hd_dag::{Meta, empty_tree};
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
        let ops = place.ops(&TreePath::new(b"w").unwrap(), &changes);
        let said: Vec<String> = ops.iter().map(said).collect();
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
