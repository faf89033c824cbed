//! A projected project: services see a snapshot of it, and each edit is written through.
//!
//! A lower must not change under a live overlay, so what the host edited is written into the merged
//! view itself, in place, by a helper in the namespace of the view: there inotify tells of it as of
//! any other write. Where host and service changed the same file, the host's edit is what stays; where the
//! service put a directory of its own files, or a link in the way, that stays, and is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hd_dag::{Change, Entry, Kind, Meta, Rooted, Target, TreePath, diff, get};

use super::edits::{Spot, is_within, taken_away};
use super::through::{Undone, Writing};
use super::view::ServiceView;
use crate::events::Event;
use crate::messages::BatchError;
use crate::shared::Shared;

/// Which project tree each service sees, and which one it should.
#[derive(Debug)]
pub(super) struct Follow {
    /// What the lower was composed with.
    begin: Rooted,
    /// What steps took away of it: edits there are not for services.
    taken_away: BTreeSet<TreePath>,
    /// What should be seen: set by actors, which never wait for a write.
    aim: Mutex<Rooted>,
    /// What is seen; held while it is written, because two must not write one view.
    shown: Mutex<BTreeMap<String, Shown>>,
}

/// What one service sees of the project.
#[derive(Clone, Debug)]
struct Shown {
    project: Rooted,
    /// Edits that could not be written: they are tried again.
    undone: BTreeSet<TreePath>,
    /// What was told about these.
    told: BTreeSet<TreePath>,
    /// Its layer was brought back, and what is said above holds of the view below it.
    restored: Option<Restored>,
}

/// What a service had written when a snapshot was taken of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restored {
    /// Its layer, as a tree of the whole view.
    pub(super) layer: Rooted,
    /// The project that it saw.
    pub(super) project: Rooted,
}

impl Follow {
    /// Follows from a tree on, which the lower holds below `layers`, the outputs of steps.
    pub(super) fn new(begin: Rooted, taken_away: BTreeSet<TreePath>) -> Self {
        Self {
            begin,
            taken_away,
            aim: Mutex::new(begin),
            shown: Mutex::default(),
        }
    }

    fn at_first(&self, restored: Option<Restored>) -> Shown {
        Shown {
            project: self.begin,
            undone: BTreeSet::new(),
            told: BTreeSet::new(),
            restored,
        }
    }
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

    /// Begins anew for a service whose layer was dropped, or is another one now.
    pub(super) fn follow_anew(&self, service: &str, restored: Option<Restored>) {
        if let Some(follow) = &self.follow {
            let shown = follow.at_first(restored);
            lock(&follow.shown).insert(service.to_owned(), shown);
        }
    }

    /// Tells whether edits have to be written through.
    pub fn is_projected(&self) -> bool {
        self.follow.is_some()
    }

    /// Tells whether steps that left these outputs took the same of the project away as those before.
    pub(super) fn takes_away_the_same(&self, shared: &Shared, outputs: &[Rooted]) -> bool {
        self.follow.as_ref().is_none_or(|follow| {
            let now = taken_away(&*shared.trees, outputs, &self.plan.workdir_path);
            now.is_ok_and(|now| now == follow.taken_away)
        })
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
    ///
    /// # Errors
    /// Those of the store and of the disk, also of single edits: the others are written all the same, and those are
    /// tried again by the next one. What is in the way is told, and no error.
    pub(super) fn catch_up(&self, shared: &Shared, service: &str) -> Result<(), BatchError> {
        let Some(follow) = &self.follow else {
            return Ok(());
        };
        let mut all = lock(&follow.shown);
        let shown = all.get(service).cloned();
        let before = shown.unwrap_or_else(|| follow.at_first(None));
        let aim = *lock(&follow.aim);
        if before.project.tree == aim.tree && before.undone.is_empty() {
            return Ok(());
        }
        let changes = self.to_write(shared, follow, &before, &aim)?;
        let place = Spot {
            stock: shared.stock(),
            merged: self.layer(service).join("merged"),
            owner: (self.account.uid, self.account.gid),
        };
        let edits = place.edits(&self.plan.workdir_path, &changes);
        let mut writing = Writing::new(shared, &self.namespace, &place, aim);
        writing.write_all(&edits)?;
        let undone = writing.undone();
        let now = Shown {
            project: aim,
            undone: undone.paths.clone(),
            told: told(shared, service, &before, &undone),
            restored: None,
        };
        all.insert(service.to_owned(), now);
        undone.error.map_or(Ok(()), Err)
    }

    /// Gives the changes that a service has to be shown, what could not be written before among them.
    fn to_write(
        &self,
        shared: &Shared,
        follow: &Follow,
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
        changes.retain(|change| !is_within(&follow.taken_away, &change.path));
        // What a step made of a file of the project is what services see there.
        let mut shown = Vec::with_capacity(changes.len());
        for change in changes {
            let inside = self.plan.workdir_path.join_path(&change.path);
            let made = get(trees, &self.lower.tree, &inside).map_err(failed)?;
            let is_plain = made.is_none_or(|entry| entry.kind() == Kind::Dir);
            if is_plain && !self.is_older(shared, before, aim, &change.path)? {
                shown.push(change);
            }
        }
        Ok(shown)
    }

    /// Tells whether a layer that was brought back has its own word on a path, which is newer than the host's.
    fn is_older(
        &self,
        shared: &Shared,
        before: &Shown,
        aim: &Rooted,
        path: &TreePath,
    ) -> Result<bool, BatchError> {
        let Some(restored) = &before.restored else {
            return Ok(false);
        };
        let failed = |e| BatchError::new("store", e);
        let trees = &*shared.trees;
        let then = get(trees, &restored.project.tree, path).map_err(failed)?;
        if then != get(trees, &aim.tree, path).map_err(failed)? {
            return Ok(false);
        }
        let inside = self.plan.workdir_path.join_path(path);
        for above in std::iter::successors(Some(inside), TreePath::parent) {
            let entry = get(trees, &restored.layer.tree, &above).map_err(failed)?;
            let is_open = |target| matches!(target, Target::Dir { opaque: false, .. });
            if entry.is_some_and(|entry| !is_open(entry.target)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Tells what a service does not see for what it put there itself, each once; answers all that holds of now.
fn told(shared: &Shared, service: &str, before: &Shown, undone: &Undone) -> BTreeSet<TreePath> {
    for (path, why) in &undone.in_the_way {
        if !before.told.contains(path) {
            let why = std::io::Error::from_raw_os_error(*why);
            let note = format!(
                "{service} does not see the edit of {path}, for what it put there itself ({why}); `hd reset {service}` drops that"
            );
            shared.events.tell(Event::Note(note));
        }
    }
    undone.in_the_way.keys().cloned().collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
