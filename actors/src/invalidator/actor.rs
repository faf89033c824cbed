//! The Invalidator actor: the only conductor.
//!
//! - **Owns** the order of things: base, ingest, apply, steps, view, restarts.
//! - **Receives** `PathsSettled` (one in flight), `StepsDone`, `Rebuild`, `ResumeRules`.
//! - **Sends** `FetchImage`, `IngestPaths`, `ApplyEdits`, `RunSteps`, `PinRoot`, `RootAdvanced`,
//!   `PrepareView`, `RestartFor`, `WatchAnew`; makes supervisors of services come and go.
//! - **When full** the Debouncer gathers on (*Coalesce*); the engine is asked and waited for.
//! - **After restart** it begins with the base and a whole scan, like at boot.

use std::sync::Arc;
use std::time::Instant;

use hd_dag::{Change, diff};
use hd_supervision::actix::fut::{ready, wrap_future};
use hd_supervision::actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, WrapFuture,
};
use hd_supervision::{AskError, Status};

use super::knows::{Asked, Edges, Knows, LastView, Purpose, Succeeded};
use super::{ask, batch, declare};
use crate::events::Event;
use crate::finish::{End, Finish};
use crate::messages::{
    Applied, BatchError, FetchImage, Origin, Paths, Rebuild, RootAdvanced, RunSteps, Settled,
    StepsDone,
};
use crate::model::state::{Failure, State, StateBoard};
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
    /// What it knows; at first only the view that services run in.
    pub knows: Knows,
    /// Where that is kept over a restart.
    pub last_view: LastView,
}

/// Why the project is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// This actor begins, or has the steps tried once more.
    Own,
    /// Something was edited.
    Edit,
    /// Somebody asked for it, and may have asked for more than the `hd.toml` says.
    Asked,
}

impl Actor for Invalidator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.edges.resume.clone().attach(ctx);
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
        let images = self.shared.declared().images();
        let wish = FetchImage { images };
        let asked = async move { fetch.ask(wish, ask::ENGINE_WITHIN).await };
        ctx.spawn(
            asked
                .into_actor(self)
                .map(move |answer, this, ctx| match answer {
                    Ok(Ok(base)) => {
                        let declared = (*this.shared.declared()).clone();
                        match declared.completed(&base) {
                            Ok(declared) => this.shared.declare(Arc::new(declared)),
                            Err(error) => return this.cannot_go_on(&error),
                        }
                        this.knows.base = Some(Arc::new(base));
                        let origin = Origin {
                            batch: 0,
                            seen_at: this.shared.settings.started,
                        };
                        let batch = this.advance(origin, Paths::Rescan, Why::Own);
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
    pub(super) fn heals(&mut self, ctx: &mut Context<Self>) -> bool {
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
        why: Why,
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
        let due = self.may_redeclare(&paths, why);
        let number = due.then(|| self.reads());
        let known = base.clone();
        let read = declare::read(due, self.shared.clone(), self.edges.fetch.clone(), known);
        let advanced = wrap_future::<_, Self>(read).then(move |read, this, _| {
            let redeclared = number.map(|number| this.redeclare(number, read));
            let (anew, other_files) = redeclared.unwrap_or_default();
            let base = this.knows.base.clone().unwrap_or(base);
            let filter =
                other_files || batch::changes_filter(&paths, &this.shared.declared().project);
            let paths = if filter { Paths::Rescan } else { paths };
            let engine = ask::ingest_and_apply(this.edges.clone(), origin, paths, base);
            let contents = this.shared.contents.clone();
            wrap_future::<_, Self>(engine)
                .map(move |outcome, this, _| {
                    let (applied, notes) = outcome?;
                    for note in notes {
                        this.shared.events.tell(Event::Note(note));
                    }
                    Ok(this.applied(origin, applied, why != Why::Edit || anew, work))
                })
                .then(move |settled: Result<Settled, BatchError>, _, _| {
                    // By now services that see the project live follow; what the disk did not take is read again.
                    wrap_future(async move {
                        let settled = settled?;
                        contents.settled().await.map(|()| settled)
                    })
                })
        });
        Box::pin(advanced)
    }

    fn applied(
        &mut self,
        origin: Origin,
        applied: Applied,
        ask: bool,
        work: Arc<AtWork>,
    ) -> Settled {
        let changed = !applied.changed.is_empty();
        let is_saved = applied.saved.is_some();
        let applied = self.saved_before(applied);
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
        if changed || ask {
            // Asked for once; an edit on the way loses none.
            let rerun = std::mem::take(&mut self.rerun);
            self.ask_for_steps(origin, &applied, rerun, work);
            let changed = self.unfollowed(&applied);
            self.knows.pending.add(self.knows.generation, changed);
            self.knows.applied = Some(applied);
        } else {
            self.knows.applied = Some(applied);
            if is_saved && self.knows.outcome.is_some() {
                // Else the next command would look at the project as if for the first time.
                self.pin_last_good(work);
            }
        }
        settled
    }

    /// Gives what changed that no service has followed: what came while there was no conductor, or was known to one
    /// that is gone, is no change to the engine.
    fn unfollowed(&mut self, applied: &Applied) -> Vec<Change> {
        let since = self.knows.followed.take();
        let changed = since.map(|since| diff(&*self.shared.trees, &since, &applied.project.tree));
        match changed {
            Some(Ok(changed)) => changed,
            Some(Err(error)) => {
                tracing::warn!(%error, "edits from before a restart are not told from others");
                applied.changed.clone()
            }
            None => applied.changed.clone(),
        }
    }

    /// Keeps in mind the stat cache that an earlier look wrote, as long as it describes the same tree: none
    /// of them may have been pinned yet.
    fn saved_before(&self, mut applied: Applied) -> Applied {
        let known = self.knows.applied.as_ref();
        let same = known.filter(|known| known.project == applied.project);
        let saved = same.and_then(|known| known.saved);
        applied.saved = applied.saved.or(saved);
        applied
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
        let (changed, declared) = (applied.changed.clone(), self.shared.declared());
        self.knows.asked = Some(Asked {
            declared: declared.clone(),
            base: base.clone(),
            project: applied.project.tree,
        });
        self.edges.steps.put(RunSteps {
            origin,
            generation,
            declared,
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
        let Some(asked) = self.knows.asked.clone() else {
            return;
        };
        tracing::debug!(batch = done.origin.batch, since_event = ?done.origin.seen_at.elapsed(), "steps done");
        let is_true = matches!(&done.outcome, Ok(outcome) if outcome.failure.is_none());
        if !is_true && self.heals(ctx) {
            return;
        }
        match done.outcome {
            Err(error) => {
                self.pin_last_good(done.work);
                self.steps_broken(done.origin, done.generation, &error, ctx);
            }
            Ok(outcome) if outcome.failure.is_some() => {
                self.pin_last_good(done.work);
                self.step_failed(done.origin, done.generation, &outcome);
            }
            Ok(outcome) => {
                let done = Succeeded {
                    origin: done.origin,
                    generation: done.generation,
                    declared: asked.declared,
                    base: asked.base,
                    project: asked.project,
                    outcome,
                    work: done.work,
                };
                self.steps_succeeded(done, ctx);
            }
        }
    }

    fn step_failed(&mut self, origin: Origin, generation: u64, outcome: &ChainOutcome) {
        let Some(failed) = &outcome.failure else {
            return;
        };
        let error = failed.error();
        let failure = Failure::from(&error);
        let steps = outcome.steps.clone();
        self.finish_generation(generation, |state| {
            state.steps = steps;
            state.error = Some(failure.clone());
        });
        self.shared.events.tell(Event::StepFailed(failed.clone()));
        self.knows.came_to_nothing(generation);
        let changes = self.knows.pending.seen_by(generation);
        self.tell_batch(origin, &changes, outcome, Vec::new());
        if self.purpose == Purpose::Once {
            self.finish.end(End::Failed(failure));
        }
    }

    /// Publishes what became of a generation, unless a newer one was answered already; tells which.
    pub(super) fn finish_generation(
        &mut self,
        generation: u64,
        change: impl FnOnce(&mut State),
    ) -> bool {
        let mut is_newest = false;
        self.state.update(|state| {
            is_newest = state.answered(generation);
            if is_newest {
                change(state);
            }
        });
        is_newest
    }

    pub(super) fn tell_batch(
        &mut self,
        origin: Origin,
        changes: &[Change],
        outcome: &ChainOutcome,
        restarting: Vec<String>,
    ) {
        let Some(applied) = self.knows.applied.as_ref().filter(|_| origin.batch > 0) else {
            return;
        };
        let (root, took) = (applied.root, origin.seen_at.elapsed());
        let line = batch::line(changes, root, took, &outcome.steps, restarting);
        let before = self.knows.outcome.as_ref();
        let other_outputs = before.is_some_and(|before| before.outputs != outcome.outputs);
        let events = self
            .knows
            .repeats
            .events(line, other_outputs, Instant::now());
        events
            .into_iter()
            .for_each(|event| self.shared.events.tell(event));
    }
}

impl Handler<Rebuild> for Invalidator {
    type Result = ResponseActFuture<Self, Result<Settled, BatchError>>;

    fn handle(&mut self, wish: Rebuild, _: &mut Self::Context) -> Self::Result {
        // An earlier wish may not have come to its steps yet.
        self.rerun.extend(wish.rerun);
        let origin = Origin {
            batch: 0,
            seen_at: Instant::now(),
        };
        self.advance(origin, Paths::Rescan, Why::Asked)
    }
}

impl Handler<StepsDone> for Invalidator {
    type Result = ();

    fn handle(&mut self, done: StepsDone, ctx: &mut Self::Context) {
        self.steps_done(done, ctx);
    }
}
