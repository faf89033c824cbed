//! The Invalidator actor: the only conductor.
//!
//! - **Owns** the order of things: base, ingest, apply, steps, view, restarts.
//! - **Receives** `PathsSettled` (one in flight), `StepsDone`, `Rebuild`.
//! - **Sends** `FetchImage`, `IngestPaths`, `ApplyEdits`, `RunSteps`, `PinRoot`, `RootAdvanced`,
//!   `PrepareView`, `RestartFor`.
//! - **When full** the Debouncer gathers on (*Coalesce*); the engine is asked and waited for.
//! - **After restart** it begins with the base and a whole scan, like at boot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hd_dag::{Change, TreePath};
use hd_supervision::actix::fut::{ready, wrap_future};
use hd_supervision::actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, WrapFuture,
};
use hd_supervision::{AskError, Coalesce, Latest, Port, Status};

use super::{batch, impact};
use crate::base::Base;
use crate::events::Event;
use crate::finish::{End, Finish};
use crate::messages::{
    Applied, ApplyEdits, BatchError, FetchImage, IngestPaths, Origin, Paths, PathsSettled, PinRoot,
    PrepareView, Rebuild, RestartCause, RestartFor, RootAdvanced, RunSteps, Settled, StepsDone,
};
use crate::model::state::{Failure, StateBoard};
use crate::mount_server::view::ServiceView;
use crate::shared::Shared;
use crate::step_runner::chain::ChainOutcome;

/// How long the engine may take for one batch; a whole scan of a huge project is in it.
const ENGINE_WITHIN: Duration = Duration::from_secs(600);
/// Pause before an actor that is down is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

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
    /// To the services by name; empty when nothing is to be served.
    pub services: Arc<BTreeMap<String, Coalesce<RestartFor>>>,
}

/// What is to be done once the first steps are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Serve until told to stop.
    Serve,
    /// End.
    Once,
}

/// The conductor.
#[derive(Debug)]
pub struct Invalidator {
    /// Shared handles.
    pub shared: Arc<Shared>,
    /// Whom it speaks to.
    pub edges: Edges,
    /// What for.
    pub purpose: Purpose,
    /// Steps to run even if a result is valid, in the first generation.
    pub rerun: Vec<String>,
    /// Where the state is published.
    pub state: StateBoard,
    /// How the runtime ends.
    pub finish: Finish,
    /// Where it says what it does.
    pub status: Status,
    /// What it knows; nothing at first.
    pub knows: Knows,
}

/// What the conductor has learnt.
#[derive(Debug, Default)]
pub struct Knows {
    base: Option<Arc<Base>>,
    applied: Option<Applied>,
    generation: u64,
    /// Changes since the last generation whose outcome was acted on.
    pending: Vec<Change>,
    view: Option<Arc<ServiceView>>,
    outcome: Option<Arc<ChainOutcome>>,
}

impl Actor for Invalidator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.fetch_base(ctx);
    }
}

impl Invalidator {
    fn fetch_base(&mut self, ctx: &mut Context<Self>) {
        self.status.idle("waiting for the base");
        let fetch = self.edges.fetch.clone();
        let asked = async move { fetch.ask(FetchImage, ENGINE_WITHIN).await };
        ctx.spawn(
            asked
                .into_actor(self)
                .map(|answer, this, ctx| match answer {
                    Ok(Ok(base)) => {
                        this.knows.base = Some(Arc::new(base));
                        let origin = Origin {
                            batch: 0,
                            seen_at: this.shared.settings.started,
                        };
                        let batch = this.advance(origin, Paths::Rescan, true);
                        ctx.spawn(batch.map(|outcome, this, _| {
                            if let Err(error) = outcome {
                                this.cannot_go_on(&error);
                            }
                        }));
                    }
                    Ok(Err(error)) => this.cannot_go_on(&error),
                    Err(AskError::Down { .. } | AskError::Died { .. }) => {
                        ctx.run_later(AGAIN_AFTER, Self::fetch_base);
                    }
                    Err(error) => this.cannot_go_on(&BatchError::new("image", error)),
                }),
        );
    }

    fn cannot_go_on(&mut self, error: &BatchError) {
        let failure = Failure::from(error);
        self.state
            .update(|state| state.error = Some(failure.clone()));
        self.finish.end(End::Failed(failure));
    }

    /// Ingest, apply, publish, ask for the steps.
    fn advance(
        &mut self,
        origin: Origin,
        paths: Paths,
        boot: bool,
    ) -> ResponseActFuture<Self, Result<Settled, BatchError>> {
        let Some(base) = self.knows.base.clone() else {
            return Box::pin(ready(Err(BatchError::new(
                "busy",
                "the base is not there yet",
            ))));
        };
        let edges = self.edges.clone();
        let paths = if self.changes_filter(&paths) {
            Paths::Rescan
        } else {
            paths
        };
        let engine = async move {
            let gone = |e: AskError| BatchError::new("gone", e);
            let began = Instant::now();
            let ingested = edges
                .ingest
                .ask(IngestPaths { origin, paths }, ENGINE_WITHIN)
                .await
                .map_err(gone)??;
            let read = began.elapsed();
            let notes = ingested.notes;
            let edits = ApplyEdits {
                origin,
                found: ingested.found,
                base,
            };
            let applied = edges
                .apply
                .ask(edits, ENGINE_WITHIN)
                .await
                .map_err(gone)??;
            tracing::debug!(batch = origin.batch, since_event = ?origin.seen_at.elapsed(), ?read, applied = ?began.elapsed().saturating_sub(read), changed = applied.changed.len(), "ingested and applied");
            Ok((applied, notes))
        };
        Box::pin(wrap_future::<_, Self>(engine).map(
            move |outcome: Result<_, BatchError>, this, _| {
                let (applied, notes) = outcome?;
                notes
                    .into_iter()
                    .for_each(|note| this.shared.events.tell(Event::Note(note)));
                Ok(this.applied(origin, applied, boot))
            },
        ))
    }

    /// A changed ignore file changes what counts everywhere below it.
    fn changes_filter(&self, paths: &Paths) -> bool {
        let Paths::These(paths) = paths else {
            return false;
        };
        let files = self.shared.settings.project.file_filter();
        let names: BTreeSet<&[u8]> = files
            .ignore_file_names()
            .iter()
            .map(|name| name.as_bytes())
            .collect();
        paths
            .iter()
            .any(|path: &TreePath| path.file_name().is_some_and(|name| names.contains(name)))
    }

    fn applied(&mut self, origin: Origin, applied: Applied, boot: bool) -> Settled {
        let changed = !applied.changed.is_empty();
        let settled = Settled {
            root: applied.root,
            changed,
        };
        self.edges.root.put(RootAdvanced {
            origin,
            root: applied.root,
            project: applied.project,
        });
        self.state.update(|state| {
            state.root = Some(applied.root);
            (state.files, state.bytes) = (applied.files, applied.bytes);
        });
        if changed || boot {
            let rerun = if boot {
                std::mem::take(&mut self.rerun)
            } else {
                Vec::new()
            };
            self.knows.pending.extend(applied.changed.iter().cloned());
            self.ask_for_steps(origin, &applied, rerun);
        }
        self.knows.applied = Some(applied);
        settled
    }

    fn ask_for_steps(&mut self, origin: Origin, applied: &Applied, rerun: Vec<String>) {
        let Some(base) = self.knows.base.clone() else {
            return;
        };
        self.knows.generation += 1;
        let generation = self.knows.generation;
        self.state.update(|state| state.generations.0 = generation);
        let changed = applied.changed.clone();
        self.edges.steps.put(RunSteps {
            origin,
            generation,
            base,
            project: applied.project,
            changed,
            rerun,
        });
    }

    fn steps_done(&mut self, done: StepsDone, ctx: &mut Context<Self>) {
        if done.generation != self.knows.generation {
            return;
        }
        tracing::debug!(batch = done.origin.batch, since_event = ?done.origin.seen_at.elapsed(), "steps done");
        match done.outcome {
            Err(error) => self.steps_broken(done.origin, &error),
            Ok(outcome) if outcome.failure.is_some() => self.step_failed(done.origin, &outcome),
            Ok(outcome) => self.steps_succeeded(done.origin, outcome, ctx),
        }
    }

    fn steps_broken(&mut self, origin: Origin, error: &BatchError) {
        let failure = Failure::from(error);
        self.finish_generation(|state| state.error = Some(failure.clone()));
        self.shared
            .events
            .tell(Event::Note(format!("the steps could not run: {error}")));
        if self.purpose == Purpose::Once || origin.batch == 0 {
            self.finish.end(End::Failed(failure));
        }
    }

    fn step_failed(&mut self, origin: Origin, outcome: &ChainOutcome) {
        let Some(failed) = &outcome.failure else {
            return;
        };
        let error = BatchError::new(
            "step",
            format!("{} failed with exit code {}", failed.step, failed.code),
        )
        .at(failed.step.clone())
        .hint(format!("all of its output: {}", failed.log));
        let failure = Failure::from(&error);
        let steps = outcome.steps.clone();
        self.finish_generation(|state| {
            state.steps = steps;
            state.error = Some(failure.clone());
        });
        self.shared.events.tell(Event::StepFailed(failed.clone()));
        self.tell_batch(origin, outcome, Vec::new());
        if self.purpose == Purpose::Once {
            self.finish.end(End::Failed(failure));
        }
    }

    fn finish_generation(&mut self, change: impl FnOnce(&mut crate::model::state::State)) {
        let generation = self.knows.generation;
        self.state.update(|state| {
            state.generations.1 = generation;
            change(state);
        });
    }

    fn tell_batch(&self, origin: Origin, outcome: &ChainOutcome, restarting: Vec<String>) {
        let Some(applied) = &self.knows.applied else {
            return;
        };
        if origin.batch > 0 {
            let took = origin.seen_at.elapsed();
            let line = batch::line(
                &self.knows.pending,
                applied.root,
                took,
                &outcome.steps,
                restarting,
            );
            self.shared.events.tell(Event::Batch(line));
        }
    }

    fn steps_succeeded(
        &mut self,
        origin: Origin,
        outcome: Arc<ChainOutcome>,
        ctx: &mut Context<Self>,
    ) {
        let (Some(base), Some(applied)) = (self.knows.base.clone(), self.knows.applied.clone())
        else {
            return;
        };
        let pin = PinRoot {
            root: applied.root,
            outcome: Some(outcome.clone()),
            project: applied.project,
            base: base.clone(),
        };
        let edges = self.edges.clone();
        let once = self.purpose == Purpose::Once;
        let same_view = self
            .knows
            .view
            .as_ref()
            .filter(|view| view.lower.tree == outcome.lower.tree)
            .cloned();
        let prepared = async move {
            let gone = |e: AskError| BatchError::new("gone", e);
            if once || same_view.is_none() {
                // What is reported as done must survive a power cut; a later edit is pinned on the side.
                edges.pin.ask(pin, ENGINE_WITHIN).await.map_err(gone)??;
            } else if let Err(refused) = edges.pin.offer(pin) {
                tracing::warn!(%refused, "the root is not pinned; the next one will be");
            }
            match same_view {
                _ if once => Ok(None),
                Some(view) => Ok(Some(view)),
                None => {
                    let wish = PrepareView {
                        origin,
                        base,
                        outcome: outcome.clone(),
                        project: applied.project,
                    };
                    edges
                        .view
                        .ask(wish, ENGINE_WITHIN)
                        .await
                        .map_err(gone)?
                        .map(Some)
                }
            }
            .map(|view| (view, outcome))
        };
        ctx.spawn(prepared.into_actor(self).map(
            move |prepared: Result<_, BatchError>, this, _| match prepared {
                Ok((view, outcome)) => this.publish(origin, &outcome, view),
                Err(error) => this.steps_broken(origin, &error),
            },
        ));
    }

    fn publish(
        &mut self,
        origin: Origin,
        outcome: &Arc<ChainOutcome>,
        view: Option<Arc<ServiceView>>,
    ) {
        let restarting = view
            .map(|view| self.restart(origin, outcome, view))
            .unwrap_or_default();
        let (steps, tree) = (outcome.steps.clone(), outcome.view.tree);
        self.finish_generation(|state| {
            state.steps = steps;
            state.view = Some(tree);
            state.error = None;
        });
        self.tell_batch(origin, outcome, restarting);
        self.knows.pending.clear();
        self.knows.outcome = Some(outcome.clone());
        self.status
            .idle(format!("generation {}", self.knows.generation));
        if self.purpose == Purpose::Once {
            self.finish.end(End::Done);
        }
    }

    /// Restarts those concerned and names them.
    fn restart(
        &mut self,
        origin: Origin,
        outcome: &ChainOutcome,
        view: Arc<ServiceView>,
    ) -> Vec<String> {
        let before = self.knows.view.replace(view.clone());
        let causes: BTreeMap<String, RestartCause> = match before {
            None => self
                .edges
                .services
                .keys()
                .map(|name| (name.clone(), RestartCause::Boot))
                .collect(),
            Some(before) if before.lower.tree != view.lower.tree => {
                let ran = batch::line(
                    &[],
                    outcome.view.tree,
                    Duration::ZERO,
                    &outcome.steps,
                    Vec::new(),
                )
                .ran;
                self.edges
                    .services
                    .keys()
                    .map(|name| (name.clone(), RestartCause::View(ran.clone())))
                    .collect()
            }
            Some(_) => {
                let changed: Vec<TreePath> = self
                    .knows
                    .pending
                    .iter()
                    .map(|change| change.path.clone())
                    .collect();
                let services = &self.shared.settings.project.services;
                let watches = services
                    .iter()
                    .map(|service| (service.name.as_str(), &service.watch));
                let concerned = impact::concerned(watches, &changed);
                concerned
                    .into_iter()
                    .map(|(name, paths)| (name, RestartCause::Watched(paths)))
                    .collect()
            }
        };
        let names = causes.keys().cloned().collect();
        for (name, cause) in causes {
            if let Some(port) = self.edges.services.get(&name) {
                port.put(RestartFor {
                    origin,
                    cause,
                    view: view.clone(),
                });
            }
        }
        names
    }
}

impl Handler<PathsSettled> for Invalidator {
    type Result = ResponseActFuture<Self, Result<Settled, BatchError>>;

    fn handle(&mut self, batch: PathsSettled, _: &mut Self::Context) -> Self::Result {
        tracing::debug!(batch = batch.origin.batch, since_event = ?batch.origin.seen_at.elapsed(), "paths settled");
        self.advance(batch.origin, batch.paths, false)
    }
}

impl Handler<Rebuild> for Invalidator {
    type Result = ResponseActFuture<Self, Result<Settled, BatchError>>;

    fn handle(&mut self, wish: Rebuild, _: &mut Self::Context) -> Self::Result {
        self.rerun = wish.rerun;
        let origin = Origin {
            batch: 0,
            seen_at: Instant::now(),
        };
        self.advance(origin, Paths::Rescan, true)
    }
}

impl Handler<StepsDone> for Invalidator {
    type Result = ();

    fn handle(&mut self, done: StepsDone, ctx: &mut Self::Context) {
        self.steps_done(done, ctx);
    }
}
