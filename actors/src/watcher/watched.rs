//! What is watched: the project as the Watcher sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hd_config::FileFilter;
use hd_dag::TreePath;

use super::rules::Rules;
use super::watches::{Inotify, Opener};
use crate::events::Events;
use crate::model::declared::Declared;
use crate::mount_server::mount_points::MountPoints;
use crate::mount_server::view::host_path;

/// What is watched.
#[derive(Clone)]
pub struct Watched {
    /// Absolute, canonical directory of the project.
    pub root: PathBuf,
    /// Which of its files count.
    pub files: FileFilter,
    /// Files that count whatever hides them: `hd.toml`, environment files.
    pub named: BTreeSet<TreePath>,
    /// Files outside that links among those lead to, each with the link.
    pub led_to: BTreeMap<PathBuf, TreePath>,
    /// Directories hd made in the project.
    pub points: MountPoints,
    /// Where people are told that the kernel's limit is reached.
    pub events: Events,
    /// The kernel's side; [`Inotify::open`].
    pub opener: Opener,
    /// Which directory the project was when it was last watched: device and inode.
    pub seen: Arc<Mutex<Option<(u64, u64)>>>,
}

impl Watched {
    /// Watches what counts as it is declared.
    pub fn new(root: PathBuf, declared: &Declared, points: MountPoints, events: Events) -> Self {
        Self {
            root,
            files: declared.project.file_filter(),
            named: declared.files.clone(),
            led_to: declared.led_to.clone(),
            points,
            events,
            opener: Arc::new(Inotify::open),
            seen: Arc::default(),
        }
    }

    /// The same project with other files that count.
    pub(super) fn redeclared(&self, declared: &Declared) -> Self {
        Self {
            files: declared.project.file_filter(),
            named: declared.files.clone(),
            led_to: declared.led_to.clone(),
            ..self.clone()
        }
    }

    /// Tells whether the directory of the project is another one than the last time.
    pub(super) fn is_replaced_by(&self, root: &Metadata) -> bool {
        self.seen().is_some_and(|before| before != identity(root))
    }

    /// Tells whether any file that says what is declared is there: a copy or a clone may have only begun.
    pub(super) fn is_declared(&self) -> bool {
        let mut named = self.named.iter();
        named.any(|file| self.root.join(host_path(file)).exists())
    }

    /// Notes which directory the project is now.
    pub(super) fn note(&self, root: &Metadata) {
        *self.seen() = Some(identity(root));
    }

    fn seen(&self) -> MutexGuard<'_, Option<(u64, u64)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rules(&self) -> Rules {
        Rules::new(self.files.clone(), self.named.clone(), self.points.clone())
    }
}

fn identity(root: &Metadata) -> (u64, u64) {
    (root.dev(), root.ino())
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("root", &self.root)
            .field("named", &self.named)
            .finish_non_exhaustive()
    }
}
