//! Every message between actors, one section per edge.
//!
//! | Message | From → to | Kind | Bound · when full | Reply |
//! | --- | --- | --- | --- | --- |
//! | [`PathsTouched`] | notify thread (Watcher) → Debouncer | event | 256 · *Rescan* | – |
//! | [`LookAhead`] | Debouncer → StepRunner | event | 1 · *Latest* | – |
//! | [`PathsSettled`] | Debouncer → Invalidator | command | 1 in flight · *Coalesce* | [`Settled`] = ack |
//! | [`FetchImage`] | Invalidator → OciFetcher | command | 4 · *Await* | the image |
//! | [`IngestPaths`] | Invalidator → ChunkStore | command | 4 · *Await* | [`Ingested`] |
//! | [`ApplyEdits`] | Invalidator → DagEngine | command | 1 · *Await* | [`Applied`] |
//! | [`RootAdvanced`] | Invalidator → MountServer | event | 1 · *Latest* | – |
//! | [`RunSteps`] | Invalidator → StepRunner | command | 1 · *Coalesce* | – (later [`StepsDone`]) |
//! | [`StepsDone`] | StepRunner → Invalidator | event | 4 · *Await* | – |
//! | [`PrepareView`] | Invalidator → MountServer | command | 4 · *Await* | [`Views`] |
//! | [`RestartFor`] | Invalidator → ServiceSupervisor (those concerned) | command | 1 · *Coalesce* | – |
//! | [`ProcessExited`] | reaper thread → ServiceSupervisor | event | 8 · *Await* | – |
//! | [`Probed`] | probe thread → ServiceSupervisor | event | 8 · *Await* | – |
//! | [`DependencyReady`] | ServiceSupervisor → its dependants | event | 16 · *Await* | – |
//! | [`WatchAnew`] | Invalidator → Watcher | event | 1 · *Latest* | – |
//! | [`StopService`] | control, shutdown → ServiceSupervisor | command | 4 · *Await* | done |
//! | [`StartService`] | control → ServiceSupervisor | command | 4 · *Await* | – |
//! | [`HoldService`] | control → ServiceSupervisor | command | 4 · *Await* | done |
//! | [`MountPointLost`] | Watcher → MountServer | event | 8 · *Rescan* | – |
//! | [`ListWritten`] | control → MountServer | command | 4 · *Await* | what services wrote |
//! | [`DropWritten`] | control → MountServer | command | 4 · *Await* | done |
//! | [`KeepWritten`] | control → MountServer | command | 4 · *Await* | the snapshot |
//! | [`BringBack`] | control → MountServer | command | 4 · *Await* | done |
//! | [`PinRoot`] | Invalidator → ChunkStore | command | 4 · *Await* | done |
//! | [`Rebuild`] | control → Invalidator | command | 1 · *Await* | [`Settled`] |
//! | [`ResumeRules`] | control → Invalidator | event | 1 · *Latest* | – |
//! | [`PauseChanged`] | control → Debouncer | event | 1 · *Latest* | – |

mod control;
mod merge;
mod views;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use hd_config::WatchAction;
use hd_dag::{Change, Rooted, TreePath};
use hd_store::Id;
use hd_store::scan::{PathsReport, Scanned, Stamp};
use hd_supervision::actix::Message;

pub use self::control::{HoldService, PauseChanged, Rebuild, ResumeRules};
pub use self::views::{
    BringBack, DropWritten, KeepWritten, ListWritten, MountPointLost, PrepareView,
};
use crate::base::{Bases, Images};
use crate::model::declared::Declared;
pub use crate::model::error::BatchError;
use crate::model::project_tree::{ProjectTree, Size};
use crate::model::report::ServiceState;
use crate::model::snapshot::Snapshot;
use crate::mount_server::{view::ServiceView, views::Views, written::Written};
use crate::session::AtWork;
use crate::step_runner::chain::ChainOutcome;

/// Where a chain of messages began: one batch of file events, or the boot.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Number of the batch, from 1; 0 is the boot.
    pub batch: u64,
    /// When its first event was seen.
    pub seen_at: Instant,
}

/// Which project paths a batch is about, relative to the project directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// These and nothing else; a directory stands for all below it.
    These(BTreeSet<TreePath>),
    /// Whatever there is: at boot, after an overflow, after an actor was restarted.
    Rescan,
}

macro_rules! messages {
    ($($name:ident => $result:ty),* $(,)?) => {
        $(impl Message for $name { type Result = $result; })*
    };
}

messages! {
    PathsTouched => (),
    LookAhead => (),
    PathsSettled => Result<Settled, BatchError>,
    FetchImage => Result<Bases, BatchError>,
    IngestPaths => Result<Ingested, BatchError>,
    ApplyEdits => Result<Applied, BatchError>,
    RootAdvanced => (),
    RunSteps => (),
    StepsDone => (),
    PrepareView => Result<Views, BatchError>,
    ListWritten => Result<Vec<Written>, BatchError>,
    DropWritten => Result<(), BatchError>,
    KeepWritten => Result<Snapshot, BatchError>,
    BringBack => Result<(), BatchError>,
    RestartFor => (),
    ProcessExited => (),
    Probed => (),
    DependencyReady => (),
    StopService => (),
    StartService => (),
    HoldService => (),
    MountPointLost => (),
    WatchAnew => (),
    PinRoot => Result<(), BatchError>,
    Rebuild => Result<Settled, BatchError>,
    ResumeRules => (),
    PauseChanged => (),
}

// ---- watcher → debouncer → invalidator ------------------------------------------------------

/// The file system said "look here".
#[derive(Clone, Debug)]
pub struct PathsTouched {
    /// Which paths.
    pub paths: Paths,
    /// When the event was read.
    pub seen_at: Instant,
}

/// The first event of a batch was seen: what does not depend on the batch can be looked at already.
#[derive(Clone, Copy, Debug)]
pub struct LookAhead;

/// A batch of events that has come to rest.
#[derive(Clone, Debug)]
pub struct PathsSettled {
    /// The batch.
    pub origin: Origin,
    /// Which paths.
    pub paths: Paths,
}

/// Acknowledges a batch: the root covers it.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// The root after the batch.
    pub root: Id,
    /// Whether anything differed.
    pub changed: bool,
}

// ---- invalidator → engine -------------------------------------------------------------------

/// Pull and unpack the base images, or say that the host is the base.
#[derive(Clone, Debug)]
pub struct FetchImage {
    /// Which images.
    pub images: Images,
}

/// Read these paths into the store. The answer does not wait for the disk: see
/// [`Contents`](crate::model::contents::Contents).
#[derive(Clone, Debug)]
pub struct IngestPaths {
    /// The batch.
    pub origin: Origin,
    /// Which paths.
    pub paths: Paths,
}

/// What the project holds now at the paths asked for.
#[derive(Clone, Debug)]
pub enum Found {
    /// The whole project, sorted by path.
    All(Vec<Scanned>),
    /// Single paths: what is there, and what is gone.
    Some(PathsReport),
    /// The whole project, as what differs from a tree that is remembered.
    Since(ProjectTree, PathsReport),
}

/// The answer to [`IngestPaths`].
#[derive(Clone, Debug)]
pub struct Ingested {
    /// What was found.
    pub found: Found,
    /// The stat cache that describes it, if one was written.
    pub saved: Option<Stamp>,
    /// Files whose content was read.
    pub hashed: u64,
    /// Things left out, in words (unreadable, vanished, sockets).
    pub notes: Vec<String>,
}

/// Bring the DAG up to what was found.
#[derive(Clone, Debug)]
pub struct ApplyEdits {
    /// The batch.
    pub origin: Origin,
    /// What was found.
    pub found: Found,
    /// The stat cache that describes it, if one was written.
    pub saved: Option<Stamp>,
    /// The bases, which the root covers.
    pub base: Arc<Bases>,
}

/// The answer to [`ApplyEdits`].
#[derive(Clone, Debug)]
pub struct Applied {
    /// Root of the Env node before; none at first.
    pub old: Option<Id>,
    /// Root of the Env node now.
    pub root: Id,
    /// The project tree now.
    pub project: Rooted,
    /// What changed, sorted by path, relative to the project; nothing when no tree was known.
    pub changed: Vec<Change>,
    /// Files of the project.
    pub size: Size,
    /// The stat cache that describes this tree, if one was written.
    pub saved: Option<Stamp>,
}

/// There is a new root.
#[derive(Clone, Debug)]
pub struct RootAdvanced {
    /// The batch.
    pub origin: Origin,
    /// The new root.
    pub root: Id,
    /// The project tree under it.
    pub project: Rooted,
}

/// Make the steps true for a project tree.
#[derive(Clone, Debug)]
pub struct RunSteps {
    /// The batch.
    pub origin: Origin,
    /// Counts up; an answer of an older one is void.
    pub generation: u64,
    /// What is declared.
    pub declared: Arc<Declared>,
    /// The worlds below the project.
    pub base: Arc<Bases>,
    /// The project tree.
    pub project: Rooted,
    /// What changed in the project since the generation before, to decide whether a running step
    /// goes on.
    pub changed: Vec<Change>,
    /// Steps (`step-1` or slug) to run even if a result is valid.
    pub rerun: Vec<String>,
    /// The work that found the project tree; it goes on until the outcome is pinned.
    pub work: Arc<AtWork>,
}

/// The steps of a generation are done.
#[derive(Clone, Debug)]
pub struct StepsDone {
    /// The batch.
    pub origin: Origin,
    /// The generation of [`RunSteps`].
    pub generation: u64,
    /// What became of them.
    pub outcome: Result<Arc<ChainOutcome>, BatchError>,
    /// The work of [`RunSteps`].
    pub work: Arc<AtWork>,
}

/// Keep what a root needs from being collected.
#[derive(Clone, Debug)]
pub struct PinRoot {
    /// The root.
    pub root: Id,
    /// The composed view, if the steps are done.
    pub outcome: Option<Arc<ChainOutcome>>,
    /// The project tree.
    pub project: ProjectTree,
    /// The stat cache that describes exactly this tree, if one was written.
    pub saved: Option<Stamp>,
    /// The bases, whose trees are pinned as well.
    pub base: Arc<Bases>,
    /// The work that found it all, over once it is pinned.
    pub work: Arc<AtWork>,
}

// ---- invalidator → world --------------------------------------------------------------------

/// Why a service is to be restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartCause {
    /// First start.
    Boot,
    /// Watched files changed.
    Watched(Vec<TreePath>),
    /// Watched files changed that ask for something gentler than a restart.
    Acted {
        /// The files.
        paths: Vec<TreePath>,
        /// What is done, each once, in the order of the files.
        actions: Vec<WatchAction>,
    },
    /// The view it sees has changed: an output of these steps, or the base.
    View(Vec<String>),
    /// The host removed a mount point of its view.
    MountPoint(TreePath),
    /// Another directory is where the project was: what runs still sees the one before.
    ProjectReplaced,
    /// The FUSE connection of its view ended: what it has not read yet, it cannot read any more.
    ViewLost,
    /// These keys of it changed in the `hd.toml`.
    Changed(Vec<String>),
    /// A person asked.
    Asked,
}

/// Restart a service (or start it, if it waits) in a view.
#[derive(Clone, Debug)]
pub struct RestartFor {
    /// The batch.
    pub origin: Origin,
    /// Why.
    pub cause: RestartCause,
    /// The view to start in.
    pub view: Arc<ServiceView>,
}

/// Which files count is declared anew: watch those.
#[derive(Clone, Debug)]
pub struct WatchAnew {
    /// What is declared.
    pub declared: Arc<Declared>,
}

// ---- services -------------------------------------------------------------------------------

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Not by itself, after its processes had used up this much memory, in bytes.
    OutOfMemory(u64),
    /// With a failure, after one process more than so many was refused.
    OutOfProcesses(u64),
}

/// The process of a service has ended.
#[derive(Clone, Debug)]
pub struct ProcessExited {
    /// Which start of the service it was; older ones are void.
    pub run: u64,
    /// How it ended.
    pub ended: Ended,
}

/// A probe of a service has an answer.
#[derive(Clone, Debug)]
pub struct Probed {
    /// Which start of the service it was; older ones are void.
    pub run: u64,
    /// Nothing, or what is wrong.
    pub outcome: Result<(), String>,
}

/// A service changed state; its dependants decide what that means for them.
#[derive(Clone, Debug)]
pub struct DependencyReady {
    /// Its name.
    pub service: String,
    /// Its state now.
    pub state: ServiceState,
    /// For a one-shot that exited: whether it succeeded.
    pub succeeded: bool,
}

impl DependencyReady {
    /// Says nothing but to look again, at the board and at what the service is to be.
    pub fn look() -> Self {
        Self {
            service: String::new(),
            state: ServiceState::Waiting,
            succeeded: false,
        }
    }
}

/// Stop a service; answered when it is gone.
#[derive(Clone, Debug)]
pub struct StopService {
    /// Skip the grace.
    pub now: bool,
}

/// Start a stopped service again, or restart a running one.
#[derive(Clone, Debug)]
pub struct StartService {
    /// Restart it if it runs.
    pub restart: bool,
}
