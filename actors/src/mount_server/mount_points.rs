//! Directories hd made in a live project to mount outputs on: not the project's own.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use hd_dag::TreePath;

/// The mount points of an instance, relative to the project; clones are the same set.
#[derive(Clone, Debug, Default)]
pub struct MountPoints(Arc<RwLock<BTreeSet<TreePath>>>);

impl MountPoints {
    /// Replaces the set.
    pub fn set(&self, paths: impl IntoIterator<Item = TreePath>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = paths.into_iter().collect();
    }

    /// Gives the set.
    pub fn get(&self) -> BTreeSet<TreePath> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Tells whether a path is one of them.
    pub fn contains(&self, path: &TreePath) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(path)
    }

    /// Gives the mount point at or above a path.
    pub fn covering(&self, path: &TreePath) -> Option<TreePath> {
        let points = self.0.read().unwrap_or_else(PoisonError::into_inner);
        points.iter().find(|point| path.starts_with(point)).cloned()
    }
}
