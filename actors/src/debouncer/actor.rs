//! The Debouncer actor.
//!
//! - **Owns** the paths that have not come to rest, and the batch that awaits its acknowledgement.
//! - **Receives** `PathsTouched`, `PauseChanged`.
//! - **Sends** `LookAhead` to the StepRunner, `PathsSettled` to the Invalidator, one in flight (*Coalesce*).
//! - **When full** the watcher keeps a flag and offers `Rescan` (*Rescan*).
//! - **After restart** it begins with `Rescan`: what it had gathered is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hd_supervision::actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture,
};
use hd_supervision::{ActorSpec, AskError, ChildSpec, Latest, Port, Status};

use super::window::Window;
use crate::messages::{
    BatchError, LookAhead, Origin, Paths, PathsSettled, PathsTouched, PauseChanged, Settled,
};
use crate::model::pause::Pause;

/// How long a batch may take: a whole scan of a huge project is in it.
const SETTLED_WITHIN: Duration = Duration::from_secs(600);
/// Timers have a resolution of a millisecond; waiting for less is not worth another round.
const SLACK: Duration = Duration::from_millis(1);
/// Pause before a batch that failed is sent again; doubled each time up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_millis(50);
/// The longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Gathers file events and sends them on when they have come to rest.
#[derive(Debug)]
pub struct Debouncer {
    window: Window,
    settled: Port<PathsSettled>,
    ahead: Latest<LookAhead>,
    batches: Arc<AtomicU64>,
    status: Status,
    pause: Pause,
    is_restart: bool,
    timer: Option<Timer>,
    /// Failures since the last batch that got through.
    failures: u32,
    /// No batch goes out before, after a failure.
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Timer {
    due: Instant,
    handle: SpawnHandle,
}

/// Describes the actor `debouncer`, which serves `touched` and speaks to `ahead` and `settled`. Batches are
/// numbered from 1; the count goes on over restarts, and so does a pause.
pub fn child(
    touched: &Port<PathsTouched>,
    (ahead, settled): (Latest<LookAhead>, Port<PathsSettled>),
    pause: Pause,
) -> ActorSpec<Debouncer> {
    let batches = Arc::new(AtomicU64::new(0));
    let spec = ChildSpec::actor("debouncer", move |birth| Debouncer {
        window: Window::default(),
        settled: settled.clone(),
        ahead: ahead.clone(),
        batches: batches.clone(),
        status: birth.status.clone(),
        pause: pause.clone(),
        is_restart: birth.is_restart(),
        timer: None,
        failures: 0,
        not_before: None,
    });
    spec.serves(touched)
}

/// The clock of the event loop, so that a paused one holds here too.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Actor for Debouncer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.is_restart {
            self.window.touch(Paths::Rescan, now());
        }
        self.status.idle("nothing gathered");
        self.pause.changed().attach(ctx);
        self.arm(ctx);
    }
}

impl Handler<PathsTouched> for Debouncer {
    type Result = ();

    fn handle(&mut self, touched: PathsTouched, ctx: &mut Self::Context) {
        if self.window.gathered().is_none() && !self.pause.is_set() {
            self.ahead.put(LookAhead);
        }
        self.window.touch(touched.paths, touched.seen_at);
        self.arm(ctx);
    }
}

impl Handler<PauseChanged> for Debouncer {
    type Result = ();

    fn handle(&mut self, _: PauseChanged, ctx: &mut Self::Context) {
        self.arm(ctx);
    }
}

impl Debouncer {
    fn due(&self) -> Option<Instant> {
        let due = self.window.deadline()?;
        Some(self.not_before.map_or(due, |earliest| earliest.max(due)))
    }

    /// Sets the timer unless one is set that comes early enough: it looks again when it fires, so
    /// a storm does not set a timer per event.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        if self.pause.is_set() {
            return self.hold();
        }
        let Some(due) = self.due() else { return };
        if self.timer.as_ref().is_some_and(|timer| timer.due <= due) {
            return;
        }
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer.handle);
        }
        let wait = due.saturating_duration_since(now());
        let handle = ctx.run_later(wait, |this, ctx| {
            this.timer = None;
            this.look(ctx);
        });
        self.timer = Some(Timer { due, handle });
    }

    /// Gathers on: all of it goes out as one batch when the pause is over.
    fn hold(&self) {
        let waiting = self.window.gathered();
        self.pause.waits(waiting);
        let what = waiting.map_or_else(|| "nothing".to_owned(), describe);
        self.status.idle(format!("paused: {what} waits"));
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.pause.is_set() {
            return self.hold();
        }
        let now = now();
        match self.due() {
            Some(due) if due > now + SLACK => self.arm(ctx),
            Some(due) => {
                if let Some((paths, seen_at)) = self.window.take(now.max(due)) {
                    self.send(paths, seen_at, ctx);
                }
            }
            None => {}
        }
    }

    fn send(&mut self, paths: Paths, seen_at: Instant, ctx: &mut Context<Self>) {
        let batch = self.batches.fetch_add(1, Ordering::Relaxed) + 1;
        let origin = Origin { batch, seen_at };
        let waited = now().saturating_duration_since(seen_at);
        tracing::debug!(batch, since_event = ?waited, what = %describe(&paths), "batch goes out");
        self.status
            .busy(format!("batch {batch} on its way: {}", describe(&paths)));
        let settled = self.settled.clone();
        let asked = async move {
            settled
                .ask(PathsSettled { origin, paths }, SETTLED_WITHIN)
                .await
        };
        ctx.spawn(asked.into_actor(self).map(move |answer, this, ctx| {
            this.answered(batch, answer, ctx);
        }));
    }

    fn answered(
        &mut self,
        batch: u64,
        answer: Result<Result<Settled, BatchError>, AskError>,
        ctx: &mut Context<Self>,
    ) {
        let now = now();
        let failure = match answer {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        self.window.settled(failure.is_none(), now);
        match failure {
            None => {
                self.failures = 0;
                self.not_before = None;
                self.status.idle(format!("batch {batch} is through"));
            }
            Some(error) => {
                let pause = RETRY_FIRST
                    .saturating_mul(1 << self.failures.min(16))
                    .min(RETRY_MAX);
                tracing::debug!(batch, error, ?pause, "batch failed, will be tried again");
                self.failures = self.failures.saturating_add(1);
                self.not_before = Some(now + pause);
                self.status
                    .busy(format!("batch {batch} will be tried again: {error}"));
            }
        }
        self.arm(ctx);
    }
}

fn describe(paths: &Paths) -> String {
    match paths {
        Paths::Rescan => "everything".to_owned(),
        Paths::These(paths) if paths.len() == 1 => paths.iter().map(ToString::to_string).collect(),
        Paths::These(paths) => format!("{} paths", paths.len()),
    }
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
