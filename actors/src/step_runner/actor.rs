//! The StepRunner actor.
//!
//! - **Owns** the chain of steps that runs, at most one.
//! - **Receives** `RunSteps`, `LookAhead`.
//! - **Sends** `StepsDone` to the Invalidator.
//! - **When full** newer wishes are merged into the one that waits (*Coalesce*).
//! - **After restart** the chain it ran has been killed; the Invalidator asks again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hd_dag::Change;
use hd_supervision::actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use hd_supervision::{Coalesce, Latest, Pool, Port, Status};

use super::basis::Chosen;
use super::cancel::Cancel;
use super::chain::{ChainOutcome, make_true};
use super::host_ahead::HostAhead;
use super::prepare;
use super::wanted::Wanted;
use super::world::Worlds;
use crate::chunk_store::actor::job;
use crate::messages::{BatchError, LookAhead, Origin, RunSteps, StepsDone};
use crate::model::declared::Declared;
use crate::model::heap;
use crate::model::report::{StepOutcome, StepReport};
use crate::session::AtWork;
use crate::shared::Shared;

/// After so long a view is made and services have started.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// The generation with which a runtime begins.
const FIRST: u64 = 1;

/// Runs chains, one after the other.
#[derive(Debug)]
pub struct StepRunner {
    /// Shared handles.
    pub shared: Arc<Shared>,
    /// Where chains run: one thread.
    pub pool: Pool,
    /// Where wishes arrive.
    pub wishes: Coalesce<RunSteps>,
    /// Where it hears that an edit has begun.
    pub ahead: Latest<LookAhead>,
    /// What it then looks at.
    pub host: HostAhead,
    /// Where answers go.
    pub done: Port<StepsDone>,
    /// Where it says what it does.
    pub status: Status,
    /// The chain that runs.
    pub running: Option<RunningChain>,
    /// The wish that waits for it to end.
    pub next: Option<RunSteps>,
}

/// A chain in the pool; killed when the actor goes without it.
#[derive(Debug)]
pub struct RunningChain {
    cancel: Arc<Cancel>,
    declared: Arc<Declared>,
    rerun: Vec<String>,
}

impl RunningChain {
    /// Gives the steps that were to run in any case and did not come to their end.
    fn rerun_left(&self) -> Vec<String> {
        let mut left = self.rerun.clone();
        left.retain(|name| !self.cancel.has_ended(name));
        left
    }
}

impl Drop for RunningChain {
    fn drop(&mut self) {
        self.cancel.kill();
    }
}

impl Actor for StepRunner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.wishes.clone().attach(ctx);
        self.ahead.clone().attach(ctx);
    }
}

impl Handler<RunSteps> for StepRunner {
    type Result = ();

    fn handle(&mut self, wish: RunSteps, ctx: &mut Self::Context) {
        let Some(RunningChain {
            cancel, declared, ..
        }) = &self.running
        else {
            return self.start(wish, ctx);
        };
        let killed = match prepare::workdirs(&self.shared, &wish.declared, &wish.base) {
            Ok(workdirs) if declared.same_surroundings(&wish.declared) => {
                let all = workdirs.iter().flat_map(|dir| below(dir, &wish.changed));
                cancel.supersede(&all.collect::<Vec<_>>(), &wish.declared.steps)
            }
            _ => {
                cancel.kill();
                true
            }
        };
        tracing::debug!(
            batch = wish.origin.batch,
            killed,
            "a newer edit arrived while a step runs"
        );
        match &mut self.next {
            Some(next) => hd_supervision::Merge::merge(next, wish),
            none => *none = Some(wish),
        }
    }
}

impl Handler<LookAhead> for StepRunner {
    type Result = ();

    fn handle(&mut self, _: LookAhead, ctx: &mut Self::Context) {
        if self.running.is_some() {
            return;
        }
        if let Some(look) = self.host.job(self.shared.clone(), Instant::now()) {
            let pool = self.pool.clone();
            let looked = async move { pool.run(look).await };
            ctx.spawn(looked.into_actor(self).map(|_, _, _| ()));
        }
    }
}

impl StepRunner {
    fn start(&mut self, wish: RunSteps, ctx: &mut Context<Self>) {
        self.status.idle(format!("generation {}", wish.generation));
        let cancel = Arc::new(Cancel::default());
        self.running = Some(RunningChain {
            cancel: cancel.clone(),
            declared: wish.declared.clone(),
            rerun: wish.rerun.clone(),
        });
        let (shared, pool) = (self.shared.clone(), self.pool.clone());
        let steps: Vec<Wanted> = wish
            .declared
            .steps
            .iter()
            .map(|step| asked(step, &wish.rerun))
            .collect();
        let (origin, generation) = (wish.origin, wish.generation);
        let work = wish.work.clone();
        let (found, surroundings) = (
            self.host.found(),
            (wish.declared.clone(), wish.base.clone()),
        );
        let chain = async move {
            job(pool
                .run(move || {
                    let mut worlds = Worlds::of(&shared, &wish.declared, &wish.base)?;
                    worlds.host = found.take(&wish, Instant::now());
                    make_true(&shared, &wish, &worlds, &steps, &cancel)
                })
                .await)
        };
        ctx.spawn(chain.into_actor(self).map(move |outcome, this, ctx| {
            this.host.note(surroundings, chosen(&outcome));
            this.ended(origin, generation, work, outcome, ctx);
        }));
    }

    fn ended(
        &mut self,
        origin: Origin,
        generation: u64,
        work: Arc<AtWork>,
        outcome: Result<Option<ChainOutcome>, BatchError>,
        ctx: &mut Context<Self>,
    ) {
        let ended = self.running.take();
        self.status.idle("waiting");
        if let Some(mut next) = self.next.take() {
            // Who asked waits for the newest chain, and a stored result is not what was asked for.
            next.rerun
                .extend(ended.iter().flat_map(RunningChain::rerun_left));
            return self.start(next, ctx);
        }
        let outcome = match outcome {
            Ok(Some(outcome)) => {
                // The first time all that was kept was looked through.
                let ran = |one: &StepReport| one.result == StepOutcome::Ran;
                if generation <= FIRST || outcome.steps.iter().any(ran) {
                    self.give_back_memory(ctx);
                }
                Ok(Arc::new(outcome))
            }
            // Nobody supersedes a chain without a next one but the end of the runtime.
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Err(refused) = self.done.offer(StepsDone {
            origin,
            generation,
            outcome,
            work,
        }) {
            tracing::warn!(%refused, "nobody takes the outcome of the steps; they will be asked for again");
        }
    }
}

impl StepRunner {
    /// Gives back what steps needed once what follows them is over: it would only be taken again.
    fn give_back_memory(&self, ctx: &mut Context<Self>) {
        ctx.run_later(SETTLED_AFTER, |this, ctx| {
            let (pool, store) = (this.pool.clone(), this.shared.store.clone());
            let give_back = move || {
                store.forget_read();
                heap::give_back();
            };
            let given = async move { pool.run(give_back).await };
            // A pool that is full is at work on the next steps, after which it is tried again.
            ctx.spawn(given.into_actor(this).map(|_, _, _| ()));
        });
    }
}

/// Gives where the outputs came from, when every step has a stored result.
fn chosen(outcome: &Result<Option<ChainOutcome>, BatchError>) -> Option<Vec<Chosen>> {
    let outcome = outcome.as_ref().ok()?.as_ref()?;
    Some(outcome.basis.as_ref()?.chosen.clone())
}

fn asked(step: &Wanted, rerun: &[String]) -> Wanted {
    Wanted {
        rerun: rerun.iter().any(|name| step.is_called(name)),
        ..step.clone()
    }
}

/// Says project changes as changes of the view.
fn below(workdir: &hd_dag::TreePath, changes: &[Change]) -> Vec<Change> {
    changes
        .iter()
        .map(|change| Change {
            path: workdir.join_path(&change.path),
            ..change.clone()
        })
        .collect()
}
