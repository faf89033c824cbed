//! What is watched: the project as the Watcher sees it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use hd_config::{FileFilter, WatchSet};
use hd_dag::TreePath;

use super::rules::Rules;
use super::watches::{Inotify, Opener};
use crate::Settings;
use crate::events::Events;
use crate::mount_server::mount_points::MountPoints;

/// What is watched.
#[derive(Clone)]
pub struct Watched {
    /// Absolute, canonical directory of the project.
    pub root: PathBuf,
    /// Which of its files count.
    pub files: FileFilter,
    /// Patterns of the services, which beat ignore files.
    pub watches: Arc<Vec<WatchSet>>,
    /// Files that count whatever hides them: `hd.toml`, environment files.
    pub named: BTreeSet<TreePath>,
    /// Directories hd made in the project.
    pub points: MountPoints,
    /// Where people are told that the kernel's limit is reached.
    pub events: Events,
    /// The kernel's side; [`Inotify::open`].
    pub opener: Opener,
}

impl Watched {
    /// Takes it from the settings.
    pub fn new(
        settings: &Settings,
        watches: Arc<Vec<WatchSet>>,
        points: MountPoints,
        events: Events,
    ) -> Self {
        let root = settings.project_dir.clone();
        let mut named: BTreeSet<TreePath> = settings
            .project
            .env_file
            .iter()
            .filter_map(|file| TreePath::new(file.as_bytes()).ok())
            .collect();
        // A configuration outside the project has no path in it.
        let config = settings.config_path.strip_prefix(&root).ok();
        named.extend(
            config.and_then(|path| TreePath::new(path.as_os_str().as_encoded_bytes()).ok()),
        );
        let files = settings.project.file_filter();
        Self {
            root,
            files,
            watches,
            named,
            points,
            events,
            opener: Arc::new(Inotify::open),
        }
    }

    pub(super) fn rules(&self) -> Rules {
        Rules::new(
            self.files.clone(),
            self.watches.clone(),
            self.named.clone(),
            self.points.clone(),
        )
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("root", &self.root)
            .field("named", &self.named)
            .finish_non_exhaustive()
    }
}
