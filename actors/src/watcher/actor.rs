//! The Watcher actor.
//!
//! - **Owns** the inotify instance and which directories it watches.
//! - **Receives** `WatchAnew`, and work from notify's thread: directories that came or went, changed
//!   ignore files.
//! - **Sends** `PathsTouched` to the Debouncer and `MountPointLost` to the MountServer; notify's
//!   thread and jobs in a pool offer them directly.
//! - **When full** it remembers that everything is to be looked at (*Rescan*) and offers that until
//!   it is accepted.
//! - **After restart** it watches everything anew and sends `Rescan`, as it does at boot: an edit
//!   made before its directory was watched is not lost.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hd_supervision::actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture,
};
use hd_supervision::{ActorSpec, ChildSpec, Coalesce, JobError, Latest, Merge, Pool, Port, Status};

use super::lack::Lack;
use super::look::LookAt;
use super::outbox::Outbox;
use super::overflow::Overflows;
use super::session::{self, Done, Session};
use super::watched::Watched;
use crate::events::Event;
use crate::messages::{MountPointLost, Paths, PathsTouched, WatchAnew};

/// The actor's name, also that of its fault point.
pub(super) const NAME: &str = "watcher";

/// Pause before what was refused is offered again.
const OWED_AGAIN: Duration = Duration::from_millis(20);
/// How often everything is looked at while not everything is watched.
const RESCAN_EVERY: Duration = Duration::from_secs(2);
/// Pause before a project directory that is gone is looked for again.
const ROOT_AGAIN: Duration = Duration::from_millis(500);
/// Pause before inotify is tried again where it is refused altogether.
const INOTIFY_AGAIN: Duration = Duration::from_secs(30);

/// Keeps the watches and restarts what breaks.
pub struct Watcher {
    project: Arc<Watched>,
    anew: Latest<WatchAnew>,
    pool: Pool,
    status: Status,
    outbox: Arc<Outbox>,
    work: Coalesce<LookAt>,
    session: Option<Arc<Session>>,
    todo: LookAt,
    is_at_work: bool,
    /// The periodic look at everything, while not everything is watched or events were lost.
    rescans: Option<SpawnHandle>,
    overflows: Overflows,
    /// Overflows follow each other: after this pause everything is watched anew, until then looked at.
    pause: Option<Duration>,
    /// What people were told last of what is not watched, by whatever incarnation.
    noted: Arc<Mutex<String>>,
    stop: StopJobs,
}

/// Ends a job that runs when the actor is gone.
struct StopJobs(Arc<AtomicBool>);

impl Drop for StopJobs {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Describes the actor `watcher`. It serves no port: notify's thread gives it its work. One job at a
/// time runs in `pool`, which should be its own: one thread will do.
pub fn child(
    project: Watched,
    anew: Latest<WatchAnew>,
    touched: Port<PathsTouched>,
    lost: Port<MountPointLost>,
    pool: Pool,
) -> ActorSpec<Watcher> {
    let project = Arc::new(project);
    let noted = Arc::<Mutex<String>>::default();
    ChildSpec::actor(NAME, move |birth| Watcher {
        project: project.clone(),
        anew: anew.clone(),
        pool: pool.clone(),
        status: birth.status.clone(),
        outbox: Arc::new(Outbox::new(touched.clone(), lost.clone())),
        work: Coalesce::default(),
        session: None,
        todo: LookAt::default(),
        is_at_work: false,
        rescans: None,
        overflows: Overflows::default(),
        pause: None,
        noted: noted.clone(),
        stop: StopJobs(Arc::default()),
    })
}

impl Actor for Watcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.work.clone().attach(ctx);
        self.anew.clone().attach(ctx);
        self.look_at_everything(ctx);
    }
}

impl Handler<LookAt> for Watcher {
    type Result = ();

    fn handle(&mut self, mut look: LookAt, ctx: &mut Self::Context) {
        if let Some(reason) = look.ended.take() {
            end(reason);
        }
        if std::mem::take(&mut look.owed) {
            self.settle(ctx);
        }
        if std::mem::take(&mut look.overflow) {
            self.overflowed(ctx);
        }
        self.todo.merge(look);
        self.start_job(ctx);
    }
}

impl Handler<WatchAnew> for Watcher {
    type Result = ();

    fn handle(&mut self, anew: WatchAnew, ctx: &mut Self::Context) {
        self.project = Arc::new(self.project.redeclared(&anew.declared));
        self.look_at_everything(ctx);
    }
}

/// Lets the actor end as if it had panicked itself: what it relied upon did, and was reported.
fn end(reason: String) -> ! {
    std::panic::resume_unwind(Box::new(reason))
}

impl Watcher {
    fn look_at_everything(&mut self, ctx: &mut Context<Self>) {
        self.todo.merge(LookAt::all());
        self.start_job(ctx);
    }

    /// Watches everything anew: a directory that came may have gone unseen. Where that has to wait, everything is
    /// looked at until then.
    fn overflowed(&mut self, ctx: &mut Context<Self>) {
        if self.pause.is_some() {
            return;
        }
        let pause = self.overflows.enter(tokio::time::Instant::now().into_std());
        tracing::debug!(?pause, "file events were lost, watching everything anew");
        if pause.is_zero() {
            self.rescan(ctx);
            self.todo.merge(LookAt::all());
            return;
        }
        self.pause = Some(pause);
        self.tell_pause(pause);
        self.rescan_at_intervals(ctx);
        ctx.run_later(pause, |this, ctx| {
            this.pause = None;
            this.look_at_everything(ctx);
        });
    }

    fn tell_pause(&self, pause: Duration) {
        let (every, pause) = (RESCAN_EVERY.as_secs(), pause.as_secs());
        self.status.busy(format!(
            "file events were lost again: looking at everything every {every} s, watching it anew after {pause} s"
        ));
    }

    fn settle(&self, ctx: &mut Context<Self>) {
        if self.outbox.settle() {
            ctx.run_later(OWED_AGAIN, |this, ctx| this.settle(ctx));
        }
    }

    fn start_job(&mut self, ctx: &mut Context<Self>) {
        if self.is_at_work || self.todo.is_empty() {
            return;
        }
        self.is_at_work = true;
        self.status.busy("setting watches");
        let mut look = std::mem::take(&mut self.todo);
        // Without a session there is nothing to add to.
        look.all |= self.session.is_none();
        let all = look.all;
        let (project, outbox, work) =
            (self.project.clone(), self.outbox.clone(), self.work.clone());
        let (session, stop, pool) = (self.session.take(), self.stop.0.clone(), self.pool.clone());
        let job = move || match session {
            Some(session) if !look.all => session::again(&session, look, &stop),
            old => {
                // Its watches count against the same limit.
                drop(old);
                session::open(&project, &outbox, &work, &stop)
            }
        };
        let began = Instant::now();
        let run = async move { pool.run(job).await };
        ctx.spawn(run.into_actor(self).map(move |done, this, ctx| {
            tracing::debug!(took = ?began.elapsed(), all, "watches set");
            this.job_done(done, all, ctx);
        }));
    }

    fn job_done(&mut self, done: Result<Done, JobError>, all: bool, ctx: &mut Context<Self>) {
        let done = done.unwrap_or_else(|error| end(error.to_string()));
        self.is_at_work = false;
        self.session = done.session;
        match &done.lack {
            None => match self.pause {
                // What was lost may have come after what this job did.
                Some(pause) => self.tell_pause(pause),
                None => {
                    // A job on a part says nothing about the rest.
                    if all && let Some(rescans) = self.rescans.take() {
                        ctx.cancel_future(rescans);
                    }
                    self.status
                        .idle(format!("watching {} directories", done.directories));
                }
            },
            Some(Lack::Root) => {
                self.status.busy("the project directory is gone");
                ctx.run_later(ROOT_AGAIN, Self::look_at_everything);
            }
            Some(Lack::Declaration) => {
                self.status
                    .busy("nothing is declared in the project directory");
                ctx.run_later(ROOT_AGAIN, Self::look_at_everything);
            }
            Some(lack @ Lack::Watches(refusal)) => {
                self.status.busy(format!(
                    "watching {} directories only: {refusal}",
                    done.directories
                ));
                self.look_at_intervals(lack, ctx);
            }
            Some(lack @ Lack::Everything(reason)) => {
                self.status.busy(format!("watching nothing: {reason}"));
                self.look_at_intervals(lack, ctx);
                ctx.run_later(INOTIFY_AGAIN, Self::look_at_everything);
            }
        }
        self.start_job(ctx);
    }

    /// Covers what is not watched.
    fn look_at_intervals(&mut self, lack: &Lack, ctx: &mut Context<Self>) {
        let told = lack.told(RESCAN_EVERY.as_secs());
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if *noted != told {
            noted.clone_from(&told);
            self.project.events.tell(Event::Note(told));
        }
        drop(noted);
        self.rescan_at_intervals(ctx);
    }

    fn rescan_at_intervals(&mut self, ctx: &mut Context<Self>) {
        if self.rescans.is_none() {
            self.rescan(ctx);
            self.rescans = Some(ctx.run_interval(RESCAN_EVERY, Self::rescan));
        }
    }

    fn rescan(&mut self, ctx: &mut Context<Self>) {
        if self.outbox.touch(Paths::Rescan, Instant::now()) {
            self.settle(ctx);
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("project", &self.project)
            .field("todo", &self.todo)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
