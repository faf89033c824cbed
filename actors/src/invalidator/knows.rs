//! Whom the conductor speaks to, what for, and what it has learnt.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hd_store::Id;
use hd_supervision::{Coalesce, Latest, Port};

use super::ask::Turns;
use super::loops::Loops;
use super::pending::Pending;
use super::repeats::Repeats;
use crate::base::Bases;
use crate::messages::{
    Applied, ApplyEdits, FetchImage, IngestPaths, Origin, PinRoot, PrepareView, ResumeRules,
    RootAdvanced, RunSteps, WatchAnew,
};
use crate::model::declared::Declared;
use crate::model::state::Failure;
use crate::mount_server::held::HeldOver;
use crate::mount_server::views::Views;
use crate::service_supervisor::directory::Directory;
use crate::service_supervisor::roster::Roster;
use crate::session::AtWork;
use crate::step_runner::chain::ChainOutcome;

/// Everything the conductor speaks to.
#[derive(Clone, Debug)]
pub struct Edges {
    /// To the OciFetcher.
    pub fetch: Port<FetchImage>,
    /// To the ChunkStore.
    pub ingest: Port<IngestPaths>,
    /// To the ChunkStore.
    pub pin: Port<PinRoot>,
    /// To the DagEngine.
    pub apply: Port<ApplyEdits>,
    /// To the StepRunner.
    pub steps: Coalesce<RunSteps>,
    /// To the MountServer.
    pub root: Latest<RootAdvanced>,
    /// To the MountServer.
    pub view: Port<PrepareView>,
    /// To the Watcher.
    pub anew: Latest<WatchAnew>,
    /// Held from a look at the project until what it found is applied: what was seen later is applied later.
    pub turns: Turns,
    /// From control.
    pub resume: Latest<ResumeRules>,
    /// To the services; empty when nothing is to be served.
    pub services: Directory,
    /// Makes services come and go; none when nothing is to be served.
    pub roster: Option<Arc<Roster>>,
}

/// What is to be done once the first steps are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Serve until told to stop.
    Serve,
    /// End.
    Once,
}

/// What services were brought to last; clones are the same place, which outlives a restart of the conductor.
#[derive(Clone, Debug)]
pub struct LastView {
    last: Arc<Mutex<Last>>,
    /// What the MountServer made last, also where a view was lost.
    made: HeldOver,
}

#[derive(Debug, Default)]
struct Last {
    /// The views they were started in.
    views: Option<Views>,
    /// The tree of the project that they were last brought up to.
    project: Option<Id>,
}

impl LastView {
    /// Nothing yet; `made` is what the MountServer holds.
    pub fn new(made: HeldOver) -> Self {
        let last = Arc::default();
        Self { last, made }
    }

    /// Gives the views that the MountServer made last.
    pub(super) fn newest(&self) -> Option<Views> {
        self.made.get().views()
    }

    /// Begins to know with it: who made another one would follow that, and services would stay in this.
    pub fn knows(&self) -> Knows {
        let last = self.lock();
        Knows {
            views: last.views.clone(),
            followed: last.project,
            ..Knows::default()
        }
    }

    pub(super) fn set(&self, views: Views) {
        self.lock().views = Some(views);
    }

    pub(super) fn acted_on(&self, project: Id) {
        self.lock().project = Some(project);
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the conductor has learnt.
#[derive(Debug, Default)]
pub struct Knows {
    /// The base.
    pub(super) base: Option<Arc<Bases>>,
    /// The last batch applied.
    pub(super) applied: Option<Applied>,
    /// Generation of steps asked for last.
    pub(super) generation: u64,
    /// What they were asked for with.
    pub(super) asked: Option<Asked>,
    /// What is wrong with the `hd.toml` as it is now; what was declared before holds.
    pub(super) invalid: Option<Failure>,
    /// Number of the reading of `hd.toml` that began last, and of that which was taken over last.
    pub(super) readings: (u64, u64),
    /// Why the edit at hand could not be taken over.
    pub(super) not_taken: Option<Failure>,
    /// Changes since the last generation whose outcome was acted on.
    pub(super) pending: Pending,
    /// The project tree that services were brought up to by a predecessor, until the first look at the project says
    /// what changed since.
    pub(super) followed: Option<Id>,
    /// Generations in a row whose steps could not run.
    pub(super) broken: u32,
    /// The views services were started in last, which are those the MountServer follows.
    pub(super) views: Option<Views>,
    /// The batches told last.
    pub(super) repeats: Repeats,
    /// Services that write what they watch.
    pub(super) loops: Loops,
    /// Services that write what steps read.
    pub(super) step_loops: Loops,
    /// A timer runs that lets rules hold again.
    pub(super) lifting: bool,
    /// Damaged copies met when it began anew last.
    pub(super) damages: u64,
    /// How often it began anew because of damage.
    pub(super) healed: u32,
    /// The outcome acted on last.
    pub(super) outcome: Option<Arc<ChainOutcome>>,
    /// An outcome is being acted on. Only one is at a time: two views made at once would leave services in one
    /// and the MountServer following the other.
    pub(super) acting: bool,
    /// The newest outcome that came meanwhile.
    pub(super) next: Option<Succeeded>,
}

impl Knows {
    /// Keeps no more than needed of the changes that a generation has seen which failed.
    pub(super) fn came_to_nothing(&mut self, generation: u64) {
        if !self.acting {
            self.pending.came_to_nothing(generation);
        }
    }

    /// Tells whether services were left in another view than the newest outcome makes.
    pub(super) fn is_behind(&self) -> bool {
        let view = self.views.as_ref().map(|views| views.main.lower.tree);
        let newest = self.outcome.as_ref().map(|outcome| outcome.lower.tree);
        view.zip(newest)
            .is_some_and(|(view, newest)| view != newest)
    }
}

/// What steps were asked for with. Another `hd.toml` may be taken over before they are asked for again.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// What was declared.
    pub(super) declared: Arc<Declared>,
    /// The base.
    pub(super) base: Arc<Bases>,
    /// The project tree.
    pub(super) project: Id,
}

/// An outcome to act on: every step is true. A newer generation may have been asked for meanwhile, or have
/// failed.
#[derive(Debug)]
pub(super) struct Succeeded {
    /// The edit it comes from.
    pub(super) origin: Origin,
    /// Its generation.
    pub(super) generation: u64,
    /// The project tree it has seen.
    pub(super) project: Id,
    /// What was declared for it.
    pub(super) declared: Arc<Declared>,
    /// The base it stands on.
    pub(super) base: Arc<Bases>,
    /// What became of the steps.
    pub(super) outcome: Arc<ChainOutcome>,
    /// The work it was found in.
    pub(super) work: Arc<AtWork>,
}
