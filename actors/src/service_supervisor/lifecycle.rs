//! The life of a service as a pure state machine: an event and the time go in, actions come out.
//!
//! The shell around it ([`super::actor`]) owns processes, probes and timers. Every start has a
//! number (*run*), so that an answer about an older process is void.

use std::time::{Duration, Instant};

use hd_config::RestartPolicy;

use crate::messages::Ended;
use crate::model::report::ServiceState;

/// What stays the same over the life of a service.
#[derive(Clone, Debug)]
pub struct Rules {
    /// When to start again after the process ended by itself.
    pub policy: RestartPolicy,
    /// Whether it is meant to end.
    pub oneshot: bool,
    /// Time between the stop signal and the kill.
    pub grace: Duration,
    /// First delay after a crash.
    pub delay_min: Duration,
    /// Longest delay after a crash.
    pub delay_max: Duration,
    /// A run that lasted this long makes the next crash the first one again.
    pub reset_after: Duration,
    /// Crashes in a row after which it is given up.
    pub crashes_max: u32,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Start it, or start it anew: first start, a watched change, a person's wish.
    Start,
    /// Its dependencies are as it needs them.
    DependenciesMet,
    /// A process was started.
    Spawned,
    /// No process could be started.
    SpawnFailed(String),
    /// The probe passed.
    Healthy,
    /// The probe gave up.
    Unhealthy(String),
    /// The process ended.
    Ended(Ended),
    /// Stop it and keep it so; with `true` at once.
    Stop(bool),
    /// A deadline has passed.
    Tick,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a process.
    Spawn,
    /// Send the stop signal to the whole group.
    Signal,
    /// Kill the process namespace.
    Kill,
}

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
    dependencies_met: bool,
    succeeded: bool,
}

impl Lifecycle {
    /// A service that waits for its first start.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: ServiceState::Waiting,
            reason: "waiting for the steps".to_owned(),
            run: 0,
            started_at: None,
            deadline: None,
            crashes: 0,
            crash_restarts: 0,
            wants_start: false,
            dependencies_met: false,
            succeeded: false,
        }
    }

    /// Gives the state.
    pub fn state(&self) -> ServiceState {
        self.state
    }

    /// Gives why it is in this state.
    pub fn reason(&self) -> &str {
        &self.reason
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

    /// Tells whether a one-shot has done its work.
    pub fn succeeded(&self) -> bool {
        self.succeeded
    }

    /// Takes an input at a time and says what to do.
    pub fn on(&mut self, input: Input, now: Instant) -> Option<Action> {
        match input {
            Input::Start => self.start(now),
            Input::DependenciesMet => self.dependencies_met(now),
            Input::Spawned => None,
            Input::SpawnFailed(why) => self.spawn_failed(why, now),
            Input::Healthy => self.healthy(),
            Input::Unhealthy(why) => self.unhealthy(why),
            Input::Ended(ended) => self.ended(ended, now),
            Input::Stop(at_once) => self.stop(at_once, now),
            Input::Tick => self.tick(now),
        }
    }

    fn runs(&self) -> bool {
        matches!(self.state, ServiceState::Starting | ServiceState::Ready | ServiceState::Stopping)
    }

    fn start(&mut self, now: Instant) -> Option<Action> {
        self.wants_start = true;
        self.crashes = 0;
        self.succeeded = false;
        match self.state {
            ServiceState::Starting | ServiceState::Ready => self.begin_stop(now, "restarting"),
            ServiceState::Stopping => None,
            _ => self.spawn_if_possible(now),
        }
    }

    fn dependencies_met(&mut self, now: Instant) -> Option<Action> {
        self.dependencies_met = true;
        match self.state {
            ServiceState::Waiting if self.wants_start => self.spawn_if_possible(now),
            _ => None,
        }
    }

    fn spawn_if_possible(&mut self, now: Instant) -> Option<Action> {
        if !self.dependencies_met {
            self.enter(ServiceState::Waiting, "waiting for its dependencies");
            return None;
        }
        self.wants_start = false;
        self.run += 1;
        self.started_at = Some(now);
        self.enter(ServiceState::Starting, "started");
        Some(Action::Spawn)
    }

    fn spawn_failed(&mut self, why: String, now: Instant) -> Option<Action> {
        if self.state != ServiceState::Starting {
            return None;
        }
        self.crashed(why, now)
    }

    fn healthy(&mut self) -> Option<Action> {
        if self.state == ServiceState::Starting {
            self.enter(ServiceState::Ready, "ready");
        }
        None
    }

    fn unhealthy(&mut self, why: String) -> Option<Action> {
        // A service that never became ready is told to be so, but not killed: its log is what
        // the person needs, and a slow start is no crash.
        if matches!(self.state, ServiceState::Starting | ServiceState::Ready) {
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
        let state = if success { ServiceState::Exited } else { ServiceState::Failed };
        self.enter(state, &describe(ended));
        None
    }

    fn stopped(&mut self, now: Instant) -> Option<Action> {
        if self.wants_start {
            return self.spawn_if_possible(now);
        }
        self.enter(ServiceState::Exited, "stopped");
        None
    }

    fn crashed(&mut self, why: String, now: Instant) -> Option<Action> {
        let lasted = self.started_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if lasted >= self.rules.reset_after {
            self.crashes = 0;
        }
        self.crashes += 1;
        if self.crashes > self.rules.crashes_max {
            self.enter(ServiceState::Failed, &format!("{why}; given up after {} tries", self.crashes));
            return None;
        }
        let doubled = self.rules.delay_min.saturating_mul(1 << (self.crashes - 1).min(16));
        let delay = doubled.min(self.rules.delay_max);
        self.enter(ServiceState::Backoff, &format!("{why}; starting again in {} ms", delay.as_millis()));
        self.deadline = Some(now + delay);
        None
    }

    fn stop(&mut self, at_once: bool, now: Instant) -> Option<Action> {
        self.wants_start = false;
        match self.state {
            ServiceState::Starting | ServiceState::Ready if at_once => {
                self.enter(ServiceState::Stopping, "being killed");
                Some(Action::Kill)
            }
            ServiceState::Starting | ServiceState::Ready => self.begin_stop(now, "being stopped"),
            ServiceState::Stopping => at_once.then_some(Action::Kill),
            ServiceState::Waiting | ServiceState::Backoff => {
                self.enter(ServiceState::Exited, "stopped");
                None
            }
            ServiceState::Failed | ServiceState::Exited => None,
        }
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
                self.crash_restarts += 1;
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
    }
}

fn describe(ended: Ended) -> String {
    match ended {
        Ended::Code(code) => format!("exited with code {code}"),
        Ended::Signal(signal) => format!("killed by signal {signal}"),
    }
}
