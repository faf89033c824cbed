//! The Invalidator actor: the only conductor.
//!
//! - **Owns** the order of things: base, ingest, apply, steps, view, restarts.
//! - **Receives** `PathsSettled` (one in flight), `StepsDone`, `Rebuild`.
//! - **Sends** `FetchImage`, `IngestPaths`, `ApplyEdits`, `RunSteps`, `PinRoot`, `RootAdvanced`,
//!   `PrepareView`, `RestartFor`.
//! - **When full** the Debouncer gathers on (*Coalesce*); the engine is asked and waited for.
//! - **After restart** it begins with the base and a whole scan, like at boot.

use std::sync::Arc;
use std::time::Instant;

use hd_supervision::actix::fut::{ready, wrap_future};
use hd_supervision::actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, WrapFuture,
};
use hd_supervision::{AskError, Status};

use super::knows::{Edges, Knows, Purpose};
use super::{ask, batch};
use crate::events::Event;
use crate::finish::{End, Finish};
use crate::messages::{
    Applied, BatchError, FetchImage, Origin, Paths, PathsSettled, PinRoot, PrepareView, Rebuild,
    RootAdvanced, RunSteps, Settled, StepsDone,
};
use crate::model::project_tree::ProjectTree;
use crate::model::state::{Failure, StateBoard};
use crate::mount_server::view::ServiceView;
use crate::session::AtWork;
use crate::shared::Shared;
use crate::step_runner::chain::ChainOutcome;

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

impl Actor for Invalidator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.fetch_base(ctx);
    }
}

impl Invalidator {
    fn fetch_base(&mut self, ctx: &mut Context<Self>) {
        self.status.idle("waiting for the base");
        let work = match self.shared.session.work() {
            Ok(work) => work,
            Err(error) => return self.cannot_go_on(&error),
        };
        let fetch = self.edges.fetch.clone();
        let asked = async move { fetch.ask(FetchImage, ask::ENGINE_WITHIN).await };
        ctx.spawn(
            asked
                .into_actor(self)
                .map(move |answer, this, ctx| match answer {
                    Ok(Ok(base)) => {
                        this.knows.base = Some(Arc::new(base));
                        let origin = Origin {
                            batch: 0,
                            seen_at: this.shared.settings.started,
                        };
                        let batch = this.advance(origin, Paths::Rescan, true);
                        drop(work);
                        ctx.spawn(batch.map(|outcome, this, ctx| {
                            if let Err(error) = outcome
                                && !this.heals(ctx)
                            {
                                this.cannot_go_on(&error);
                            }
                        }));
                    }
                    Ok(Err(_)) if this.heals(ctx) => {}
                    Ok(Err(error)) => this.cannot_go_on(&error),
                    Err(AskError::Down { .. } | AskError::Died { .. }) => {
                        ctx.run_later(ask::AGAIN_AFTER, Self::fetch_base);
                    }
                    Err(error) => this.cannot_go_on(&BatchError::new("image", error)),
                }),
        );
    }

    /// Begins anew after a failure, if damage may be why.
    fn heals(&mut self, ctx: &mut Context<Self>) -> bool {
        let heals = self.met_damage();
        if heals {
            self.fetch_base(ctx);
        }
        heals
    }

    fn cannot_go_on(&mut self, error: &BatchError) {
        let failure = Failure::from(error);
        self.state
            .update(|state| state.error = Some(failure.clone()));
        self.finish.end(End::Failed(failure));
    }

    /// Ingest, apply, publish, ask for the steps.
    pub(super) fn advance(
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
        let work = match self.shared.session.work() {
            Ok(work) => work,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let edges = self.edges.clone();
        let paths = if batch::changes_filter(&paths, &self.shared.settings.project) {
            Paths::Rescan
        } else {
            paths
        };
        let engine = ask::ingest_and_apply(edges, origin, paths, base);
        Box::pin(wrap_future::<_, Self>(engine).map(
            move |outcome: Result<_, BatchError>, this, _| {
                let (applied, notes) = outcome?;
                notes
                    .into_iter()
                    .for_each(|note| this.shared.events.tell(Event::Note(note)));
                Ok(this.applied(origin, applied, boot, work))
            },
        ))
    }

    fn applied(
        &mut self,
        origin: Origin,
        applied: Applied,
        boot: bool,
        work: Arc<AtWork>,
    ) -> Settled {
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
            (state.files, state.bytes) = (applied.size.files, applied.size.bytes);
        });
        if changed || boot {
            let rerun = if boot {
                std::mem::take(&mut self.rerun)
            } else {
                Vec::new()
            };
            self.knows.pending.extend(applied.changed.iter().cloned());
            self.ask_for_steps(origin, &applied, rerun, work);
        }
        self.knows.applied = Some(applied);
        settled
    }

    fn ask_for_steps(
        &mut self,
        origin: Origin,
        applied: &Applied,
        rerun: Vec<String>,
        work: Arc<AtWork>,
    ) {
        let Some(base) = self.knows.base.clone() else {
            return;
        };
        // Counted on over a restart of this actor, lest an answer to its predecessor fits.
        let generation = self.state.get().generations.0 + 1;
        self.knows.generation = generation;
        self.state.update(|state| state.generations.0 = generation);
        let changed = applied.changed.clone();
        self.edges.steps.put(RunSteps {
            origin,
            generation,
            base,
            project: applied.project,
            changed,
            rerun,
            work,
        });
    }

    fn steps_done(&mut self, done: StepsDone, ctx: &mut Context<Self>) {
        if done.generation != self.knows.generation {
            return;
        }
        tracing::debug!(batch = done.origin.batch, since_event = ?done.origin.seen_at.elapsed(), "steps done");
        let is_true = matches!(&done.outcome, Ok(outcome) if outcome.failure.is_none());
        if !is_true && self.heals(ctx) {
            return;
        }
        match done.outcome {
            Err(error) => {
                self.pin_last_good(done.work);
                self.steps_broken(done.origin, &error, ctx);
            }
            Ok(outcome) if outcome.failure.is_some() => {
                self.pin_last_good(done.work);
                self.step_failed(done.origin, &outcome);
            }
            Ok(outcome) => self.steps_succeeded(done.origin, outcome, done.work, ctx),
        }
    }

    fn step_failed(&mut self, origin: Origin, outcome: &ChainOutcome) {
        let Some(failed) = &outcome.failure else {
            return;
        };
        let error = failed.error();
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

    pub(super) fn finish_generation(
        &mut self,
        change: impl FnOnce(&mut crate::model::state::State),
    ) {
        let generation = self.knows.generation;
        self.state.update(|state| {
            state.generations.1 = generation;
            change(state);
        });
    }

    fn tell_batch(&mut self, origin: Origin, outcome: &ChainOutcome, restarting: Vec<String>) {
        let Some(applied) = self.knows.applied.as_ref().filter(|_| origin.batch > 0) else {
            return;
        };
        let (root, took) = (applied.root, origin.seen_at.elapsed());
        let line = batch::line(&self.knows.pending, root, took, &outcome.steps, restarting);
        let events = self.knows.repeats.events(line, Instant::now());
        events
            .into_iter()
            .for_each(|event| self.shared.events.tell(event));
    }

    fn steps_succeeded(
        &mut self,
        origin: Origin,
        outcome: Arc<ChainOutcome>,
        work: Arc<AtWork>,
        ctx: &mut Context<Self>,
    ) {
        let (Some(base), Some(applied)) = (self.knows.base.clone(), self.knows.applied.clone())
        else {
            return;
        };
        let pin = PinRoot {
            root: applied.root,
            outcome: Some(outcome.clone()),
            project: ProjectTree {
                rooted: applied.project,
                size: applied.size,
            },
            saved: applied.saved,
            base: base.clone(),
            work: work.clone(),
        };
        let edges = self.edges.clone();
        let once = self.purpose == Purpose::Once;
        let same_view = self
            .knows
            .view
            .as_ref()
            .filter(|view| view.lower.tree == outcome.lower.tree && view.is_served())
            .cloned();
        let wish = (!once && same_view.is_none()).then(|| PrepareView {
            origin,
            base,
            outcome: outcome.clone(),
            project: applied.project,
        });
        let durable = once || wish.is_some();
        let prepared = async move {
            ask::pin(&edges, pin, durable).await?;
            match wish {
                Some(wish) => ask::view(&edges, wish).await.map(Some),
                None => Ok(same_view),
            }
            .map(|view| (view, outcome))
        };
        ctx.spawn(prepared.into_actor(self).map(
            move |prepared: Result<_, BatchError>, this, ctx| match prepared {
                Ok((view, outcome)) => {
                    this.publish(origin, &outcome, view);
                    // Only now does the view say by itself what it needs.
                    drop(work);
                }
                Err(_) if this.heals(ctx) => {}
                Err(error) => this.steps_broken(origin, &error, ctx),
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
        self.knows.broken = 0;
        self.knows.pending.clear();
        self.keep_for_a_view(origin, outcome);
        self.knows.outcome = Some(outcome.clone());
        self.status
            .idle(format!("generation {}", self.knows.generation));
        if self.purpose == Purpose::Once {
            self.finish.end(End::Done);
        }
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
