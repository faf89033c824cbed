//! Starts that wait while the service goes on serving: replicas start anew one after the other, so that the others
//! serve meanwhile, and who may not be started now is not stopped before.

use std::time::Duration;

use hd_config::Healthcheck;
use hd_supervision::actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{ServiceSupervisor, now};
use crate::events::Event;
use crate::messages::RestartCause;
use crate::model::report::ServiceState;
use crate::service_supervisor::board::Standing;
use crate::service_supervisor::common::Turn;
use crate::service_supervisor::lifecycle::Input;
use crate::service_supervisor::memory::told;

/// A start that waits for its turn.
#[derive(Debug)]
pub(super) struct Queued {
    because: String,
    /// The run that is to be replaced: a later one has seen what this start is for.
    run: u64,
}

impl ServiceSupervisor {
    /// Starts it anew: at once, unless it runs and may not be started now, or is a replica that serves and another
    /// one is on its way.
    pub(super) fn start_in_turn(&mut self, cause: &RestartCause, ctx: &mut Context<Self>) {
        let because = told(cause);
        let state = self.life.state();
        let serves = state == ServiceState::Ready && !self.life.unhealthy();
        let is_broken = matches!(
            cause,
            RestartCause::ViewLost | RestartCause::MountPoint(_) | RestartCause::ProjectReplaced
        );
        let waits = match self.held(ctx) {
            // It could not be started after it has ended.
            Some(_) => self.run.is_some() && (serves || state == ServiceState::Starting),
            None => serves && self.parts.service().replica.is_some(),
        };
        if !waits || is_broken {
            self.queued = None;
            return self.feed(Input::Start(because), ctx);
        }
        let run = self.life.run();
        let is_first = self.queued.replace(Queued { because, run }).is_none();
        self.publish(now(), ctx);
        if is_first {
            self.await_turn(ctx);
        }
    }

    /// Asks for the turn of the start that is queued, if one is; while the service is held, its release does so.
    pub(super) fn await_turn(&mut self, ctx: &mut Context<Self>) {
        if self.queued.is_none() || self.held(ctx).is_some() {
            return;
        }
        if self.parts.service().replica.is_none() {
            return Self::has_turn(None, self, ctx);
        }
        let turn = self.parts.common.clone().turn();
        ctx.spawn(turn.into_actor(self).map(Self::has_turn));
    }

    fn has_turn(turn: Option<Turn>, this: &mut Self, ctx: &mut Context<Self>) {
        if this.held(ctx).is_some() {
            return;
        }
        let Some(queued) = this.queued.take() else {
            return;
        };
        if this.life.run() == queued.run {
            this.turn = turn.map(|turn| (turn, queued.run));
            ctx.run_later(this.patience(), move |this, _| this.overdue(queued.run));
            this.feed(Input::Start(queued.because), ctx);
        } else {
            this.publish(now(), ctx);
        }
    }

    /// How long it may take from its old process to where it serves: as long as it may take until it counts as
    /// unhealthy, which nothing says while `pre_start` runs.
    fn patience(&self) -> Duration {
        let service = self.parts.service();
        let probes = match &service.healthcheck {
            Some(health) => {
                health.start_period + (health.interval + health.timeout) * health.retries.max(1)
            }
            None => Healthcheck::START_PERIOD,
        };
        self.parts.rules().grace + probes
    }

    /// Lets the next one start although this one is still on its way: what runs is never stale for ever.
    fn overdue(&mut self, run: u64) {
        if self.turn.take_if(|(_, of)| *of == run).is_some() {
            let note = format!(
                "{} has not come up; the other replicas start anew meanwhile",
                self.parts.name
            );
            self.parts.shared.events.tell(Event::Note(note));
        }
    }

    /// Lets the next one start when this one serves, or does not come back by itself soon.
    pub(super) fn end_turn(&mut self) {
        use ServiceState::{Starting, Stopping};
        let is_on_its_way =
            matches!(self.life.state(), Starting | Stopping) && !self.life.unhealthy();
        if !is_on_its_way {
            self.turn = None;
        }
    }

    /// Says of one that serves that it is to start anew.
    pub(super) fn tell_queued(&self, standing: &mut Standing) {
        if let Some(queued) = &self.queued {
            standing.is_due = true;
            let holds = self.parts.directory.holds();
            let after = holds.by(&self.parts.service());
            let after = after.unwrap_or("another replica");
            standing.report.reason = format!("{}; restarts after {after}", queued.because);
        }
    }
}
