//! What goes into the life of a service, and what comes out.

use std::time::Duration;

use hd_config::{Backoff, RestartPolicy};

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
    /// How often it is started again after a crash, and how long that waits.
    pub backoff: Backoff,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Start it, or start it anew, and why; nothing for the first start.
    Start(String),
    /// Its supervisor is a new one: the process of the old one is gone, start it again.
    Resume,
    /// A dependency changed, see [`Lifecycle::depends`].
    DependenciesChanged,
    /// A process was started.
    Spawned,
    /// No process could be started, which counts like a crash.
    SpawnFailed(String),
    /// No process can be started until somebody changes something: no crash, not tried again.
    CannotStart(String),
    /// The probe passed.
    Healthy,
    /// The probe gave up.
    Unhealthy(String),
    /// The process ended.
    Ended(Ended),
    /// Stop it and keep it so; with `true` at once.
    Stop(bool),
    /// It is held, and by what: end what runs, and start it again once nothing is missing.
    Hold(String),
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

/// What a new supervisor of a service has to know of its past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Number of the latest start.
    pub run: u64,
    /// Restarts after it ended by itself.
    pub crash_restarts: u64,
    /// State, reason and success of a service that is to stay as it is.
    pub rests: Option<(ServiceState, String, bool)>,
    /// A person stopped it.
    pub is_stopped: bool,
}

/// Says an end.
pub fn describe(ended: Ended) -> String {
    match ended {
        Ended::Code(code) => format!("exited with code {code}"),
        Ended::Signal(signal) => format!("killed by signal {signal}"),
        Ended::OutOfMemory(bytes) => {
            format!("out of memory: killed at its limit of {} MiB", bytes >> 20)
        }
        Ended::OutOfProcesses(pids) => {
            format!("failed at its limit of {pids} processes")
        }
    }
}
