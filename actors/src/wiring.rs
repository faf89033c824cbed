//! The whole graph of actors in one place: sinks first, sources last.
//!
//! ```text
//! root (one_for_one)
//! ├─ control
//! ├─ engine (rest_for_one)   ChunkStore → DagEngine → StepRunner → Invalidator → OciFetcher
//! ├─ world  (rest_for_one)   MountServer → services (one_for_one)
//! └─ intake (rest_for_one)   Debouncer → Watcher
//! ```
//! What starts first is stopped last: while services end, somebody says so and can be told to hurry.
//! Capacities stand here, at birth, next to who is connected with whom.

use std::sync::Arc;

use hd_supervision::{
    ChildSpec, Coalesce, Lane, Latest, Pool, Port, Restart, Runtime, Strategy, TreeSpec, WhenFull,
};

use crate::chunk_store::actor::ChunkStore;
use crate::control::actor::Control;
use crate::control::answer::Desk;
use crate::control::one_by_one::OneByOne;
use crate::control::socket::Bound;
use crate::dag_engine::actor::DagEngine;
use crate::finish::Finish;
use crate::invalidator::actor::Invalidator;
use crate::invalidator::ask::Turns;
use crate::invalidator::knows::{Edges, LastView, Purpose};
use crate::messages::{
    BatchError, FetchImage, LookAhead, PathsSettled, PathsTouched, Rebuild, ResumeRules, StepsDone,
    WatchAnew,
};
use crate::model::state::StateBoard;
use crate::mount_server::actor::MountServer;
use crate::mount_server::held::HeldOver;
use crate::mount_server::mount_points::MountPoints;
use crate::mount_server::retire::OldViews;
use crate::oci_fetcher::actor::OciFetcher;
use crate::service_supervisor::board::Board;
use crate::service_supervisor::directory::Directory;
use crate::service_supervisor::ports::{ServiceContext, services};
use crate::service_supervisor::roster::Roster;
use crate::shared::Shared;
use crate::step_runner::actor::StepRunner;
use crate::step_runner::host_ahead::HostAhead;
use crate::watcher::watched::Watched;
use crate::{debouncer, watcher, witness};

const ENGINE: Lane = Lane::Named("engine");
const NET: Lane = Lane::Named("net");
const WORLD: Lane = Lane::Named("world");
const SERVICES: Lane = Lane::Named("services");
const WATCH: Lane = Lane::Named("watch");
const CONTROL: Lane = Lane::Named("control");

/// Threads for jobs of the engine that block.
const ENGINE_THREADS: usize = 2;
/// Jobs of the engine that may wait.
const ENGINE_QUEUE: usize = 16;

/// What the graph is built from.
#[derive(Debug)]
pub struct Wiring {
    /// Shared handles.
    pub shared: Arc<Shared>,
    /// Lanes, pools, status.
    pub runtime: Runtime,
    /// Where the state is published.
    pub state: StateBoard,
    /// How the runtime ends.
    pub finish: Finish,
    /// What for.
    pub purpose: Purpose,
    /// Steps to run even if a result is valid.
    pub rerun: Vec<String>,
    /// Where states of services are published.
    pub board: Board,
    /// The control socket, for the first who answers on it.
    pub listener: Bound,
}

/// The ends of the graph that others hold.
#[derive(Clone, Debug)]
pub struct Ends {
    /// Into the Invalidator.
    pub settled: Port<PathsSettled>,
    /// Into the StepRunner.
    pub ahead: Latest<LookAhead>,
    /// Into the Invalidator.
    pub rebuild: Port<Rebuild>,
    /// Directories hd made in the project.
    pub points: MountPoints,
    /// What the MountServer holds.
    pub held: HeldOver,
    /// Into the MountServer.
    pub lost: Port<crate::messages::MountPointLost>,
    /// Into the MountServer.
    pub written: Port<crate::messages::ListWritten>,
    /// Into the MountServer.
    pub forget: Port<crate::messages::DropWritten>,
    /// Into the MountServer.
    pub keep: Port<crate::messages::KeepWritten>,
    /// Where what services wrote is kept and prepared: one job at a time, and no mount waits for it.
    pub slow: Pool,
    /// Into the MountServer.
    pub bring: Port<crate::messages::BringBack>,
    /// Into the Watcher.
    pub anew: Latest<WatchAnew>,
    /// Into the Invalidator.
    pub resume: Latest<ResumeRules>,
}

impl Wiring {
    /// Builds the whole tree.
    ///
    /// Without serving there is no world to see, nothing to watch and nobody to ask.
    pub fn root(&self) -> Result<TreeSpec, BatchError> {
        let root = TreeSpec::new("root", Strategy::OneForOne);
        if self.purpose == Purpose::Once {
            let (engine, _, _) = self.core(&Directory::default(), None)?;
            return Ok(root.child(engine));
        }
        let declared = self.shared.declared();
        witness::refuse_blind(&declared.project)?;
        let (all, grace) = (
            &declared.project.services,
            declared.project.options.restart_grace,
        );
        let directory = Directory::new(all, grace);
        let context = ServiceContext {
            shared: self.shared.clone(),
            runtime: self.runtime.clone(),
            lane: SERVICES,
            board: self.board.clone(),
            book: self.shared.book.clone(),
            directory: directory.clone(),
        };
        let services = services(&context, all)?;
        let roster = Arc::new(Roster::new(services.branch(), context));
        let (engine, mounts, ends) = self.core(&directory, Some(roster))?;
        let world = TreeSpec::new("world", Strategy::RestForOne)
            .child(mounts)
            .child(services);
        Ok(root
            .child(self.control(&ends, &directory))
            .child(engine)
            .child(world)
            .child(self.intake(&ends)?))
    }

    fn intake(&self, ends: &Ends) -> Result<TreeSpec, BatchError> {
        let touched = Port::<PathsTouched>::new("debouncer.touched", 256, WhenFull::Rescan);
        let (root, events) = (
            self.shared.settings.project_dir.clone(),
            self.shared.events.clone(),
        );
        let watched = Watched::new(root, &self.shared.declared(), ends.points.clone(), events);
        let (pool, pause) = (self.pool("watch", 1, 4)?, self.shared.pause.clone());
        let batches = (ends.ahead.clone(), ends.settled.clone());
        Ok(TreeSpec::new("intake", Strategy::RestForOne)
            .child(debouncer::actor::child(&touched, batches, pause).lane(WATCH))
            .child(
                watcher::actor::child(watched, ends.anew.clone(), touched, ends.lost.clone(), pool)
                    .lane(WATCH),
            ))
    }

    fn control(&self, ends: &Ends, services: &Directory) -> ChildSpec {
        let desk = Arc::new(Desk {
            shared: self.shared.clone(),
            runtime: self.runtime.clone(),
            state: self.state.clone(),
            board: self.board.clone(),
            finish: self.finish.clone(),
            rebuild: ends.rebuild.clone(),
            written: ends.written.clone(),
            forget: ends.forget.clone(),
            keep: ends.keep.clone(),
            bring: ends.bring.clone(),
            slow: ends.slow.clone(),
            changing: OneByOne::default(),
            resume: ends.resume.clone(),
            services: services.clone(),
        });
        let listener = self.listener.clone();
        let spec = ChildSpec::actor("control", move |birth| Control {
            desk: desk.clone(),
            status: birth.status.clone(),
            bound: listener.take(),
        });
        spec.lane(CONTROL).into()
    }

    fn pool(&self, name: &str, threads: usize, queue: usize) -> Result<Pool, BatchError> {
        self.runtime
            .pool(name, threads, queue)
            .map_err(|e| BatchError::new("internal", e))
    }

    /// Builds engine and MountServer for services.
    fn core(
        &self,
        services: &Directory,
        roster: Option<Arc<Roster>>,
    ) -> Result<(TreeSpec, ChildSpec, Ends), BatchError> {
        let ends = Ends {
            settled: Port::new("invalidator.settled", 1, WhenFull::Coalesce),
            ahead: Latest::default(),
            rebuild: Port::new("invalidator.rebuild", 1, WhenFull::Await),
            points: MountPoints::beside(&self.shared.settings),
            held: HeldOver::default(),
            lost: Port::new("mount_server.lost", 8, WhenFull::Rescan),
            written: Port::new("mount_server.written", 4, WhenFull::Await),
            forget: Port::new("mount_server.forget", 4, WhenFull::Await),
            keep: Port::new("mount_server.keep", 4, WhenFull::Await),
            bring: Port::new("mount_server.bring", 4, WhenFull::Await),
            slow: self.pool("snapshots", 1, 8)?,
            anew: Latest::default(),
            resume: Latest::default(),
        };
        let edges = Edges {
            fetch: Port::new("oci_fetcher.fetch", 4, WhenFull::Await),
            ingest: Port::new("chunk_store.ingest", 4, WhenFull::Await),
            pin: Port::new("chunk_store.pin", 4, WhenFull::Await),
            apply: Port::new("dag_engine.apply", 1, WhenFull::Await),
            steps: Coalesce::default(),
            root: Latest::default(),
            view: Port::new("mount_server.view", 4, WhenFull::Await),
            anew: ends.anew.clone(),
            turns: Turns::default(),
            resume: ends.resume.clone(),
            services: services.clone(),
            roster,
        };
        let engine = self.engine(&edges, &ends)?;
        let mounts = self.mount_server(&edges, &ends, services)?;
        Ok((engine, mounts, ends))
    }

    fn engine(&self, edges: &Edges, ends: &Ends) -> Result<TreeSpec, BatchError> {
        let done = Port::<StepsDone>::new("invalidator.steps_done", 4, WhenFull::Await);
        Ok(TreeSpec::new("engine", Strategy::RestForOne)
            .child(self.chunk_store(edges, ends)?)
            .child(
                ChildSpec::actor("dag_engine", {
                    let shared = self.shared.clone();
                    move |birth| DagEngine {
                        shared: shared.clone(),
                        status: birth.status.clone(),
                        known: None,
                    }
                })
                .serves(&edges.apply)
                .lane(ENGINE),
            )
            .child(
                ChildSpec::actor("step_runner", {
                    let (shared, wishes, done) =
                        (self.shared.clone(), edges.steps.clone(), done.clone());
                    let ahead = ends.ahead.clone();
                    let pool = self.pool("steps", 1, 4)?;
                    move |birth| StepRunner {
                        shared: shared.clone(),
                        pool: pool.clone(),
                        wishes: wishes.clone(),
                        ahead: ahead.clone(),
                        host: HostAhead::default(),
                        done: done.clone(),
                        status: birth.status.clone(),
                        running: None,
                        next: None,
                    }
                })
                .lane(ENGINE),
            )
            .child(self.invalidator(edges, ends, &done))
            .child(self.oci_fetcher(&edges.fetch)))
    }

    fn chunk_store(&self, edges: &Edges, ends: &Ends) -> Result<ChildSpec, BatchError> {
        let (shared, points) = (self.shared.clone(), ends.points.clone());
        let reading = self.pool("read", 1, ENGINE_QUEUE)?;
        let pool = self.pool("store", ENGINE_THREADS, ENGINE_QUEUE)?;
        let collecting = self.pool("collect", 1, 1)?;
        let spec = ChildSpec::actor("chunk_store", move |birth| ChunkStore {
            shared: shared.clone(),
            reading: reading.clone(),
            pool: pool.clone(),
            collecting: collecting.clone(),
            due: None,
            mount_points: points.clone(),
            status: birth.status.clone(),
        });
        Ok(spec
            .serves(&edges.ingest)
            .serves(&edges.pin)
            .lane(ENGINE)
            .into())
    }

    fn invalidator(&self, edges: &Edges, ends: &Ends, done: &Port<StepsDone>) -> ChildSpec {
        let (shared, edges, purpose) = (self.shared.clone(), edges.clone(), self.purpose);
        let (state, finish, rerun) = (self.state.clone(), self.finish.clone(), self.rerun.clone());
        let last_view = LastView::new(ends.held.clone());
        let spec = ChildSpec::actor("invalidator", move |birth| Invalidator {
            shared: shared.clone(),
            edges: edges.clone(),
            purpose,
            rerun: rerun.clone(),
            state: state.clone(),
            finish: finish.clone(),
            status: birth.status.clone(),
            knows: last_view.knows(),
            last_view: last_view.clone(),
        });
        spec.serves(&ends.settled)
            .serves(&ends.rebuild)
            .serves(done)
            .lane(ENGINE)
            .into()
    }

    fn oci_fetcher(&self, fetch: &Port<FetchImage>) -> ChildSpec {
        let shared = self.shared.clone();
        let spec = ChildSpec::actor("oci_fetcher", move |birth| OciFetcher {
            shared: shared.clone(),
            status: birth.status.clone(),
        });
        spec.serves(fetch)
            .lane(NET)
            .restart(Restart::Transient)
            .into()
    }

    fn mount_server(
        &self,
        edges: &Edges,
        ends: &Ends,
        services: &Directory,
    ) -> Result<ChildSpec, BatchError> {
        let (shared, points, roots) =
            (self.shared.clone(), ends.points.clone(), edges.root.clone());
        let (pool, services) = (self.pool("mounts", 1, 8)?, services.clone());
        let held_over = ends.held.clone();
        let slow = ends.slow.clone();
        let spec = ChildSpec::actor("mount_server", move |birth| MountServer {
            shared: shared.clone(),
            pool: pool.clone(),
            slow: slow.clone(),
            points: points.clone(),
            roots: roots.clone(),
            services: services.clone(),
            status: birth.status.clone(),
            held: held_over.get(),
            held_over: held_over.clone(),
            building: 0,
            is_given_up: false,
            old: OldViews::default(),
            again: None,
        });
        Ok(spec
            .serves(&edges.view)
            .serves(&ends.lost)
            .serves(&ends.written)
            .serves(&ends.forget)
            .serves(&ends.keep)
            .serves(&ends.bring)
            .lane(WORLD)
            .into())
    }
}
