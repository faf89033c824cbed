//! What in a project directory is hd's: directories it made to mount outputs on, its own files.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use hd_dag::TreePath;

use super::journal::Journal;
use crate::model::settings::Settings;

/// The mount points of an instance, relative to the project; clones are the same set.
#[derive(Clone, Debug, Default)]
pub struct MountPoints {
    points: Arc<RwLock<BTreeSet<TreePath>>>,
    /// Those of other instances of the directory, when it was looked last.
    others: Arc<RwLock<BTreeSet<TreePath>>>,
    own: Arc<BTreeSet<TreePath>>,
    making: Arc<Mutex<()>>,
}

impl MountPoints {
    /// Starts with no mount point but those that other instances have in the project.
    pub fn beside(settings: &Settings) -> Self {
        let journal = Journal::new(settings.paths.clone(), settings.project_dir.clone());
        Self {
            points: Arc::default(),
            others: Arc::new(RwLock::new(journal.others())),
            own: Arc::new(settings.own.clone()),
            making: Arc::default(),
        }
    }

    /// Tells whether something in the project directory is hd's and none of the project's.
    pub fn is_ours(&self, path: &TreePath, is_dir: bool) -> bool {
        let others = || self.others.read().unwrap_or_else(PoisonError::into_inner);
        (is_dir && (self.contains(path) || others().contains(path))) || self.own.contains(path)
    }

    /// Takes those that other instances have now.
    pub fn set_others(&self, others: BTreeSet<TreePath>) {
        *self.others.write().unwrap_or_else(PoisonError::into_inner) = others;
    }

    /// Replaces the set.
    pub fn set(&self, paths: impl IntoIterator<Item = TreePath>) {
        *self.points.write().unwrap_or_else(PoisonError::into_inner) = paths.into_iter().collect();
    }

    /// Keeps others from making and removing directories: services that start at once share a journal.
    pub fn alone(&self) -> MutexGuard<'_, ()> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the set.
    pub fn get(&self) -> BTreeSet<TreePath> {
        self.points
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Gives the paths that hd itself writes to.
    pub fn own(&self) -> &BTreeSet<TreePath> {
        &self.own
    }

    /// Tells whether a path is one of them.
    pub fn contains(&self, path: &TreePath) -> bool {
        self.points
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(path)
    }

    /// Gives the mount point at or above a path.
    pub fn covering(&self, path: &TreePath) -> Option<TreePath> {
        let points = self.points.read().unwrap_or_else(PoisonError::into_inner);
        points.iter().find(|point| path.starts_with(point)).cloned()
    }
}
