//! The life of a service as a pure state machine: an event and the time go in, actions come out.
//!
//! The shell around it ([`super::actor`]) owns processes, probes and timers. Every start has a
//! number (*run*), so that an answer about an older process is void.

mod rest;

use std::time::{Duration, Instant};

use hd_config::RestartPolicy;

pub use super::input::{Action, Input, Past, Rules, describe};
use crate::messages::Ended;
use crate::model::report::{STOPPED, ServiceState};

/// A service between `up` and `down`.
#[derive(Debug)]
pub struct Lifecycle {
    rules: Rules,
    state: ServiceState,
    reason: String,
    run: u64,
    started_at: Option<Instant>,
    deadline: Option<Instant>,
    crashes: u32,
    crash_restarts: u64,
    wants_start: bool,
    /// Why it is started this time; empty for the first start.
    because: String,
    /// The next start follows an end of its own.
    after_crash: bool,
    /// What it waits for, if anything.
    missing: Option<String>,
    unhealthy: bool,
    succeeded: bool,
    /// A person stopped it: it is not to start by itself.
    is_stopped: bool,
}

impl Lifecycle {
    /// A service that waits for a start.
    pub fn new(rules: Rules, past: Past) -> Self {
        let waiting = || {
            (
                ServiceState::Waiting,
                "waiting for the steps".to_owned(),
                false,
            )
        };
        let (state, reason, succeeded) = past.rests.unwrap_or_else(waiting);
        Self {
            rules,
            state,
            reason,
            run: past.run,
            started_at: None,
            deadline: None,
            crashes: 0,
            crash_restarts: past.crash_restarts,
            wants_start: false,
            because: String::new(),
            after_crash: false,
            missing: None,
            unhealthy: false,
            succeeded,
            is_stopped: past.is_stopped,
        }
    }

    /// Takes how it is stopped and started again from now on.
    pub fn rule(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Takes what the service waits for; nothing when its dependencies are as it needs them.
    pub fn depends(&mut self, missing: Option<String>) {
        self.missing = missing;
    }

    /// Gives the state.
    pub fn state(&self) -> ServiceState {
        self.state
    }

    /// Gives why it is in this state.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Gives why it was started the last time; empty for the first start.
    pub fn because(&self) -> &str {
        &self.because
    }

    /// Tells whether its probe gave up.
    pub fn unhealthy(&self) -> bool {
        self.unhealthy
    }

    /// Gives the number of the latest start.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Gives the next moment at which [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Counts restarts after it ended by itself.
    pub fn crash_restarts(&self) -> u64 {
        self.crash_restarts
    }

    /// Tells whether it has done its work: it ended with code 0 and stays so.
    pub fn succeeded(&self) -> bool {
        self.succeeded
    }

    /// Takes an input at a time and says what to do.
    pub fn on(&mut self, input: Input, now: Instant) -> Option<Action> {
        match input {
            Input::Start(because) => self.start(because, now),
            Input::Resume => self.resume(now),
            Input::DependenciesChanged => self.dependencies_changed(now),
            Input::Spawned => self.spawned(),
            Input::SpawnFailed(why) => self.spawn_failed(why, now),
            Input::CannotStart(why) => self.cannot_start(&why, now),
            Input::Healthy => self.passed(),
            Input::Unhealthy(why) => self.gave_up(why),
            Input::Ended(ended) => self.ended(ended, now),
            Input::Stop(at_once) => self.stop(at_once, now),
            Input::Hold(by) => self.hold(by, now),
            Input::Tick => self.tick(now),
        }
    }

    /// Tells whether it is being stopped to be started anew.
    pub fn restarts(&self) -> bool {
        self.state == ServiceState::Stopping && self.wants_start
    }

    fn runs(&self) -> bool {
        matches!(
            self.state,
            ServiceState::Starting | ServiceState::Ready | ServiceState::Stopping
        )
    }

    fn start(&mut self, because: String, now: Instant) -> Option<Action> {
        self.wants_start = true;
        self.is_stopped = false;
        self.after_crash = false;
        self.crashes = 0;
        self.succeeded = false;
        self.because = because;
        match self.state {
            ServiceState::Starting | ServiceState::Ready => {
                self.begin_stop(now, &format!("restarting: {}", self.because))
            }
            ServiceState::Stopping => None,
            _ => self.spawn_if_possible(now),
        }
    }

    fn resume(&mut self, now: Instant) -> Option<Action> {
        if self.state != ServiceState::Waiting {
            return None;
        }
        self.wants_start = true;
        self.after_crash = self.run > 0;
        self.because = if self.run > 0 {
            "its supervisor was restarted".to_owned()
        } else {
            String::new()
        };
        self.spawn_if_possible(now)
    }

    fn dependencies_changed(&mut self, now: Instant) -> Option<Action> {
        match self.state {
            ServiceState::Waiting if self.wants_start => self.spawn_if_possible(now),
            _ => None,
        }
    }

    fn spawn_if_possible(&mut self, now: Instant) -> Option<Action> {
        if let Some(missing) = self.missing.clone() {
            self.enter(ServiceState::Waiting, &format!("waiting for {missing}"));
            return None;
        }
        self.wants_start = false;
        self.run += 1;
        self.crash_restarts += u64::from(std::mem::take(&mut self.after_crash));
        self.started_at = Some(now);
        self.unhealthy = false;
        self.succeeded = false;
        self.enter(ServiceState::Starting, &self.told("starting"));
        Some(Action::Spawn)
    }

    /// Says a state together with why the service was restarted, which stays of interest.
    fn told(&self, what: &str) -> String {
        if self.because.is_empty() {
            what.to_owned()
        } else {
            format!("{what}; restarted: {}", self.because)
        }
    }

    fn spawned(&mut self) -> Option<Action> {
        if self.state == ServiceState::Starting {
            self.reason = self.told(if self.rules.oneshot {
                "running"
            } else {
                "started"
            });
        }
        None
    }

    fn spawn_failed(&mut self, why: String, now: Instant) -> Option<Action> {
        match self.state {
            ServiceState::Stopping => self.stopped(now),
            ServiceState::Starting if self.rules.policy == RestartPolicy::Never => {
                self.enter(ServiceState::Failed, &why);
                None
            }
            ServiceState::Starting => self.crashed(why, now),
            _ => None,
        }
    }

    fn cannot_start(&mut self, why: &str, now: Instant) -> Option<Action> {
        match self.state {
            ServiceState::Stopping => return self.stopped(now),
            ServiceState::Starting => self.enter(ServiceState::Failed, why),
            _ => {}
        }
        None
    }

    fn passed(&mut self) -> Option<Action> {
        let recovers = self.state == ServiceState::Ready && self.unhealthy;
        if self.state == ServiceState::Starting || recovers {
            self.unhealthy = false;
            self.enter(ServiceState::Ready, &self.told("ready"));
        }
        None
    }

    fn gave_up(&mut self, why: String) -> Option<Action> {
        // A service that never became ready is told to be so, but not killed: its log is what
        // the person needs, and a slow start is no crash.
        if matches!(self.state, ServiceState::Starting | ServiceState::Ready) {
            self.unhealthy = true;
            self.reason = why;
        }
        None
    }

    fn ended(&mut self, ended: Ended, now: Instant) -> Option<Action> {
        if !self.runs() {
            return None;
        }
        if self.state == ServiceState::Stopping {
            return self.stopped(now);
        }
        let success = ended == Ended::Code(0);
        if self.rules.oneshot && success {
            self.succeeded = true;
            self.enter(ServiceState::Exited, "done");
            return None;
        }
        let again = match self.rules.policy {
            RestartPolicy::Always => !self.rules.oneshot,
            RestartPolicy::OnFailure => !success,
            RestartPolicy::Never => false,
        };
        if again {
            return self.crashed(describe(ended), now);
        }
        self.succeeded = success;
        let state = if success {
            ServiceState::Exited
        } else {
            ServiceState::Failed
        };
        self.enter(state, &describe(ended));
        None
    }

    fn stopped(&mut self, now: Instant) -> Option<Action> {
        if self.wants_start {
            return self.spawn_if_possible(now);
        }
        self.enter(ServiceState::Exited, STOPPED);
        None
    }

    fn crashed(&mut self, why: String, now: Instant) -> Option<Action> {
        let lasted = self
            .started_at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if lasted >= self.rules.backoff.reset_after {
            self.crashes = 0;
        }
        self.crashes += 1;
        self.because.clone_from(&why);
        let backoff = &self.rules.backoff;
        if backoff.max.is_some_and(|max| self.crashes > max) {
            self.enter(
                ServiceState::Failed,
                &format!("{why}; given up after {} tries", self.crashes),
            );
            return None;
        }
        let delay = backoff.delay(self.crashes);
        self.enter(
            ServiceState::Backoff,
            &format!("{why}; starting again in {} ms", delay.as_millis()),
        );
        self.deadline = Some(now + delay);
        None
    }

    fn begin_stop(&mut self, now: Instant, why: &str) -> Option<Action> {
        self.enter(ServiceState::Stopping, why);
        self.deadline = Some(now + self.rules.grace);
        Some(Action::Signal)
    }

    fn tick(&mut self, now: Instant) -> Option<Action> {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return None;
        }
        self.deadline = None;
        match self.state {
            ServiceState::Backoff => {
                (self.wants_start, self.after_crash) = (true, true);
                self.spawn_if_possible(now)
            }
            ServiceState::Stopping => Some(Action::Kill),
            _ => None,
        }
    }

    fn enter(&mut self, state: ServiceState, reason: &str) {
        self.state = state;
        self.reason = reason.to_owned();
        self.deadline = None;
        self.unhealthy &= state == ServiceState::Stopping;
    }
}
