//! What is said about the views of services.

use std::sync::Arc;

use hd_dag::{Rooted, TreePath};

use super::{ChainOutcome, Origin};
use crate::base::Bases;
use crate::model::declared::Declared;
use crate::model::snapshot::Snapshot;
use crate::mount_server::view::ServiceView;

/// Build (or find) the views that services get: of a composed tree, and of bases of their own.
#[derive(Clone, Debug)]
pub struct PrepareView {
    /// The batch.
    pub origin: Origin,
    /// What is declared.
    pub declared: Arc<Declared>,
    /// The worlds below.
    pub base: Arc<Bases>,
    /// The steps' outcome.
    pub outcome: Arc<ChainOutcome>,
    /// The project tree, which tells what an output would hide.
    pub project: Rooted,
    /// The view in which services of the environment go on, if they do.
    pub main: Option<Arc<ServiceView>>,
}

/// List what services wrote into their views; all of them when none is named.
#[derive(Clone, Debug)]
pub struct ListWritten {
    /// Which services.
    pub services: Vec<String>,
}

/// Drop what services wrote: their next start finds nothing of it; all when none is named.
#[derive(Clone, Debug)]
pub struct DropWritten {
    /// Which services.
    pub services: Vec<String>,
}

/// Keep what services wrote, with their volumes, as a snapshot.
#[derive(Clone, Debug)]
pub struct KeepWritten {
    /// What a person calls it.
    pub name: String,
    /// Which services.
    pub services: Vec<String>,
    /// Processes of all running services that write what is kept; they hold still meanwhile.
    pub running: Vec<u32>,
}

/// Put what a snapshot has of services in the place of what they wrote; they must not run.
#[derive(Clone, Debug)]
pub struct BringBack {
    /// What was kept.
    pub snapshot: Snapshot,
    /// Which services.
    pub services: Vec<String>,
}

/// The host removed a directory on which an output is mounted, or put another one in the place of the project.
#[derive(Clone, Debug)]
pub struct MountPointLost {
    /// Path below the project; the root for the project itself.
    pub path: TreePath,
}
