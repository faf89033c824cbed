//! How a supervisor starts a process: on a thread, since it takes a while.

use std::time::Instant;

use hd_config::Kind;
use hd_supervision::JobError;
use hd_supervision::actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{ServiceSupervisor, now};
use crate::service_supervisor::hooks::{Meanwhile, UNHURRIED};
use crate::service_supervisor::lifecycle::Input;
use crate::service_supervisor::run::{NotStarted, Run, Start, Started};
use crate::service_supervisor::schedule::Plan;
use crate::service_supervisor::seen::Seen;

impl ServiceSupervisor {
    pub(super) fn spawn(&mut self, now: Instant, ctx: &mut Context<Self>) {
        let run = self.life.run();
        let edit = self.edit.take();
        self.since = Some(edit.unwrap_or(now));
        if edit.is_some() && run > 1 {
            self.parts.memory.count_watch_restart();
        }
        // Without a wish it misses the steps and is not started.
        let Some(wish) = self.parts.memory.last_wish() else {
            return;
        };
        let meanwhile = Meanwhile::default();
        let start = Start {
            run,
            because: self.life.because().to_owned(),
            service: self.parts.service(),
            meanwhile: meanwhile.clone(),
            spawner: wish.spawner,
            log: self.parts.log.clone(),
            memory: self.parts.memory.clone(),
            common: self.parts.common.clone(),
            board: self.parts.board.clone(),
            ahead: self.ahead.clone(),
        };
        self.spawning = Some((None, meanwhile));
        let pool = self.parts.pool.clone();
        let job = async move { pool.run(move || start.start()).await };
        ctx.spawn(
            job.into_actor(self)
                .map(move |outcome, this, ctx| this.spawned(run, outcome, ctx)),
        );
    }

    /// Makes the sandbox of the next run while the process of this one ends.
    pub(super) fn set_up_ahead(&mut self, ctx: &mut Context<Self>) {
        let Some(wish) = self
            .parts
            .memory
            .last_wish()
            .filter(|_| self.life.restarts() && !self.is_held())
        else {
            return;
        };
        let (ahead, log, service) = (
            self.ahead.clone(),
            self.parts.log.clone(),
            self.parts.service(),
        );
        let pool = self.parts.pool.clone();
        let job = async move {
            // A pool that is closed means the end of the runtime.
            let set_up = move || ahead.set_up(wish.spawner, service, &log);
            let _ = pool.run(set_up).await;
        };
        ctx.spawn(
            job.into_actor(self)
                .map(|(), this, ctx| this.drop_ahead(ctx)),
        );
    }

    /// Removes the sandbox of a next run that will not come, from the pool: its processes are waited for.
    pub(super) fn drop_ahead(&mut self, ctx: &mut Context<Self>) {
        let is_wanted = self.spawning.is_some() || self.life.restarts();
        if is_wanted || !self.ahead.is_there() {
            return;
        }
        let (pool, ahead) = (self.parts.pool.clone(), self.ahead.clone());
        let job = async move {
            let _ = pool.run(move || drop(ahead.take())).await;
        };
        ctx.spawn(job.into_actor(self));
    }

    fn spawned(
        &mut self,
        run: u64,
        outcome: Result<Result<Started, NotStarted>, JobError>,
        ctx: &mut Context<Self>,
    ) {
        let meanwhile = self.spawning.take().and_then(|(action, _)| action);
        let service = self.parts.service();
        let ready_at_once =
            service.kind == Kind::Service && Plan::of(&service, &Seen::default()).is_none();
        let outcome = outcome.unwrap_or_else(|error| Err(NotStarted::Failed(error.to_string())));
        let news = self.parts.news();
        let watched = outcome.and_then(|started| {
            let plan = Plan::of(&service, started.seen());
            Run::watch(run, started, plan, &news)
                .map_err(|error| NotStarted::Failed(error.to_string()))
        });
        match watched {
            Err(NotStarted::InTheWay(why)) => return self.feed(Input::CannotStart(why), ctx),
            Err(NotStarted::Failed(why)) => return self.feed(Input::SpawnFailed(why), ctx),
            Ok(run) => self.run = Some(run),
        }
        self.feed(Input::Spawned, ctx);
        let after = service.post_start.clone();
        self.beside("post_start", after, UNHURRIED, |_| {});
        match meanwhile {
            Some(action) => self.act(action, now(), ctx),
            None if ready_at_once => self.feed(Input::Healthy, ctx),
            None => {}
        }
    }
}
