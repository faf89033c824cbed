//! The ServiceSupervisor actor, one per service.
//!
//! - **Owns** the process of its service: when the actor goes, the process is killed.
//! - **Receives** `RestartFor`, `ProcessExited`, `Probed`, `DependencyReady`, `StopService`,
//!   `StartService`, `HoldService`.
//! - **Sends** `DependencyReady` to the supervisors of what depends on it; publishes on the board.
//! - **When full** wishes are merged (*Coalesce*); threads wait (*Await*); a refused
//!   `DependencyReady` is not needed: the one that waits leads to the same look at the board.
//! - **After restart** it starts its service anew in the view it was last told, and counts that.

mod beside;
mod hold;
mod restart;
mod start;
mod turn;

use std::time::Instant;

use hd_supervision::Status;
use hd_supervision::actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, Running,
    SpawnHandle, WrapFuture,
};
use tokio::sync::oneshot;

use super::ahead::Ahead;
use super::common::Turn;
use super::dependencies;
use super::hooks::Meanwhile;
use super::lifecycle::{Action, Input, Lifecycle};
use super::memory::{Wish, starts_stopped};
use super::ports::Parts;
use super::publish::Publisher;
use super::run::Run;
use crate::messages::{
    DependencyReady, Origin, Probed, ProcessExited, RestartCause, StartService, StopService,
};
use crate::model::report::ServiceState;

/// Supervises one service.
#[derive(Debug)]
pub struct ServiceSupervisor {
    parts: Parts,
    status: Status,
    life: Lifecycle,
    run: Option<Run>,
    /// A start is under way; what was to be done to its process meanwhile.
    spawning: Option<(Option<Action>, Meanwhile)>,
    /// What is made for the next run before its turn.
    ahead: Ahead,
    timer: Option<SpawnHandle>,
    /// Who waits for it to be gone.
    stops: Vec<oneshot::Sender<()>>,
    /// When the edit was seen that the next start is for.
    edit: Option<Instant>,
    /// When the edit was seen or the run was started: what transitions are timed from.
    since: Option<Instant>,
    publisher: Publisher,
    /// The start it is to make when it has its turn.
    queued: Option<turn::Queued>,
    /// It has its turn, to replace this run: no other replica starts anew meanwhile.
    turn: Option<(Turn, u64)>,
    /// It is held, and will look again when that changes.
    awaits_release: bool,
    /// How often it was to be started anew.
    wishes: u64,
    /// The tree stops it: not the service is done for, only this incarnation.
    leaving: bool,
}

impl ServiceSupervisor {
    pub(crate) fn new(parts: Parts, status: Status) -> Self {
        Self {
            life: Lifecycle::new(parts.rules(), parts.memory.past()),
            publisher: Publisher::new(
                &parts.service(),
                parts.board.clone(),
                parts.shared.events.clone(),
                parts.directory.clone(),
            ),
            parts,
            status,
            run: None,
            spawning: None,
            ahead: Ahead::default(),
            timer: None,
            stops: Vec::new(),
            edit: None,
            wishes: 0,
            since: None,
            queued: None,
            turn: None,
            awaits_release: false,
            leaving: false,
        }
    }

    /// Takes a wish; remembered first, so that a later incarnation knows it whatever happens.
    pub(crate) fn wished(&mut self, mut wish: Wish, ctx: &mut Context<Self>) {
        if wish.cause == RestartCause::Boot
            && let Some(last) = self.parts.memory.last_wish()
        {
            // The conductor was restarted and knows no better. A crash of the engine restarts no
            // service that sees what it has seen.
            if last.view == wish.view {
                return;
            }
            wish.cause = RestartCause::View(Vec::new());
        }
        let (cause, seen_at) = (wish.cause.clone(), wish.origin.seen_at);
        tracing::debug!(batch = wish.origin.batch, since_event = ?seen_at.elapsed(), ?cause, "restart wished");
        self.parts.memory.wish(wish);
        if self.life.is_stopped() && !starts_stopped(&cause) {
            // It starts in the newest view when somebody asks for it.
            return;
        }
        self.parts.memory.runs();
        if self.leaving {
            return;
        }
        self.edit = (cause != RestartCause::Boot).then_some(seen_at);
        self.since = self.edit;
        self.start_in_turn(&cause, ctx);
    }

    /// Hands an input to the life of the service, does what follows and tells it.
    fn feed(&mut self, input: Input, ctx: &mut Context<Self>) {
        let now = now();
        self.life.rule(self.parts.rules());
        let missing = self.missing(ctx);
        self.life.depends(missing);
        if let Some(action) = self.life.on(input, now) {
            self.act(action, now, ctx);
        }
        self.drop_ahead(ctx);
        self.publish(now, ctx);
        self.end_turn();
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        self.timer = self.life.deadline().map(|deadline| {
            ctx.run_later(deadline.saturating_duration_since(now), |this, ctx| {
                this.feed(Input::Tick, ctx)
            })
        });
        if self.is_idle() {
            if matches!(
                self.life.state(),
                ServiceState::Exited | ServiceState::Failed
            ) {
                self.parts.common.release(&self.parts.name);
            }
            self.answer_stops();
            if self.leaving {
                ctx.stop();
            }
        }
    }

    fn missing(&mut self, ctx: &mut Context<Self>) -> Option<String> {
        if let Some(by) = self.held(ctx) {
            return Some(by.to_owned());
        }
        if self.parts.memory.last_wish().is_none() {
            return Some("the steps".to_owned());
        }
        dependencies::missing(
            &self.parts.service().depends_on,
            |name| self.parts.board.standing(name),
            |name| self.parts.directory.is_due(name),
        )
    }

    fn act(&mut self, action: Action, now: Instant, ctx: &mut Context<Self>) {
        match (action, &self.run, &mut self.spawning) {
            (Action::Spawn, ..) => self.spawn(now, ctx),
            (Action::Signal, Some(_), _) => {
                self.ask_to_stop();
                self.set_up_ahead(ctx);
            }
            (Action::Kill, Some(run), _) => run.process().kill(),
            (action, None, Some(meanwhile)) => {
                meanwhile.1.end(action);
                meanwhile.0 = Some(action);
            }
            (_, None, None) => {}
        }
    }

    fn is_idle(&self) -> bool {
        self.run.is_none() && self.spawning.is_none()
    }

    fn publish(&mut self, now: Instant, ctx: &mut Context<Self>) {
        let pid = self.run.as_ref().map(|run| run.process().pid());
        let mut standing = self.publisher.standing(
            &self.parts.service(),
            &self.life,
            pid,
            self.parts.memory.watch_restarts(),
        );
        self.tell_queued(&mut standing);
        let after = self.since.map(|since| now.saturating_duration_since(since));
        if !self.leaving {
            self.parts.memory.stands(self.life.past());
        }
        let Some(news) = self.publisher.publish(standing, after) else {
            return;
        };
        self.status.idle(news.status);
        if let Some(remark) = news.remark {
            self.remark(remark, ctx);
        }
    }
}

impl Actor for ServiceSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.parts.ports.restart.clone().attach(ctx);
        if self.parts.memory.last_wish().is_some() {
            self.feed(Input::Resume, ctx);
        }
        // A predecessor may have fallen over with a restart in its hands that they waited for.
        self.parts.directory.wake_dependants(&self.parts.name);
    }

    fn stopping(&mut self, ctx: &mut Self::Context) -> Running {
        let first = !std::mem::replace(&mut self.leaving, true);
        self.queued = None;
        if self.is_idle() {
            self.feed(Input::Stop(false), ctx);
            return Running::Stop;
        }
        if first {
            let (directory, name) = (&self.parts.directory, &self.parts.name);
            let dependants = directory.dependants(name).into_iter();
            let names: Vec<String> = dependants.map(|(name, _)| name).collect();
            let (board, within) = (self.parts.board.clone(), directory.dependants_grace(name));
            let gone = async move {
                board
                    .wait_until(within, |board| board.are_down(&names))
                    .await
            };
            ctx.spawn(
                gone.into_actor(self)
                    .map(|_, this, ctx| this.feed(Input::Stop(false), ctx)),
            );
        }
        Running::Continue
    }
}

impl Handler<ProcessExited> for ServiceSupervisor {
    type Result = ();

    fn handle(&mut self, exit: ProcessExited, ctx: &mut Self::Context) {
        if self.run.as_ref().is_none_or(|run| run.number() != exit.run) {
            return;
        }
        self.run = None;
        self.answer_stops();
        self.feed(Input::Ended(exit.ended), ctx);
    }
}

impl Handler<Probed> for ServiceSupervisor {
    type Result = ();

    fn handle(&mut self, probed: Probed, ctx: &mut Self::Context) {
        if self
            .run
            .as_ref()
            .is_some_and(|run| run.number() == probed.run)
        {
            let input = probed
                .outcome
                .map_or_else(Input::Unhealthy, |()| Input::Healthy);
            self.feed(input, ctx);
        }
    }
}

impl Handler<DependencyReady> for ServiceSupervisor {
    type Result = ();

    fn handle(&mut self, _: DependencyReady, ctx: &mut Self::Context) {
        self.feed(Input::DependenciesChanged, ctx);
    }
}

impl Handler<StopService> for ServiceSupervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: StopService, ctx: &mut Self::Context) -> Self::Result {
        let (gone, is_gone) = oneshot::channel();
        self.stops.push(gone);
        self.queued = None;
        self.life.rest();
        self.feed(Input::Stop(message.now), ctx);
        Box::pin(async move {
            // Dropped unanswered, it went with its supervisor.
            let _ = is_gone.await;
        })
    }
}

impl Handler<StartService> for ServiceSupervisor {
    type Result = ();

    fn handle(&mut self, message: StartService, ctx: &mut Self::Context) {
        let runs = matches!(
            self.life.state(),
            ServiceState::Starting | ServiceState::Ready
        );
        if runs && !message.restart {
            return;
        }
        let origin = Origin {
            batch: 0,
            seen_at: now(),
        };
        match self.parts.memory.last_wish() {
            Some(last) => self.wished(
                Wish {
                    origin,
                    cause: RestartCause::Asked,
                    ..last
                },
                ctx,
            ),
            None => self.feed(Input::Start(String::new()), ctx),
        }
    }
}

/// The time, which tests may hold.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
