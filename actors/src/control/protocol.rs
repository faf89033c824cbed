//! What is spoken on the control socket: one JSON object per line, request then reply.
//!
//! The socket lies in the instance directory (0600, the peer's user is checked). A connection
//! carries one request. [`Request::Attach`] and [`Request::Events`] are answered by a stream of [`Reply::Event`] lines
//! until either side closes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::report::{ErrorReport, Report};
use crate::model::snapshot::Snapshot;
use crate::mount_server::written::Written;

/// Longest request line, in bytes.
pub const REQUEST_MAX: usize = 64 * 1024;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The state, actors included; answered within 300 ms.
    Status,
    /// The state without what actors do; answered at once.
    Brief,
    /// Look at the whole project again, run what must run, answer when it is done.
    Build {
        /// Steps to run even if a result is valid.
        rerun: Vec<String>,
    },
    /// End the runtime with its services.
    Down {
        /// Skip the grace of services.
        now: bool,
    },
    /// Start, stop or restart services; all when none is named.
    Service {
        /// What to do.
        action: ServiceAction,
        /// Which services.
        names: Vec<String>,
    },
    /// Run so many replicas of services, whatever the `hd.toml` says of that, until the runtime ends.
    Scale {
        /// Numbers by service.
        services: BTreeMap<String, u32>,
    },
    /// What another `hd up` wants: read the `hd.toml` with that too until the runtime ends, start what is
    /// missing.
    Up {
        /// Which services; all that profiles leave in when none is named.
        services: Vec<String>,
        /// Profiles, beside those asked for before.
        profiles: Vec<String>,
        /// Numbers of replicas by service.
        scale: BTreeMap<String, u32>,
    },
    /// Wait until services are ready (one-shots: done), or one of them has failed; all when none is
    /// named.
    WaitReady {
        /// Which services.
        #[serde(default)]
        names: Vec<String>,
    },
    /// List what services wrote into their views; all when none is named.
    Written {
        /// Which services.
        names: Vec<String>,
    },
    /// Drop what services wrote and restart those that run; all when none is named.
    Reset {
        /// Which services.
        names: Vec<String>,
    },
    /// Keep what services wrote, with their volumes, under a name; all when none is named.
    Snapshot {
        /// What a person calls it; one of this name is replaced.
        name: String,
        /// Which services.
        names: Vec<String>,
    },
    /// Put a snapshot in the place of what services wrote, and restart those that run; all it has when none
    /// is named.
    Restore {
        /// The snapshot.
        name: String,
        /// Which services.
        names: Vec<String>,
    },
    /// Hold edits back, or let them go and suspended rules hold again.
    Watching {
        /// Which of both.
        paused: bool,
    },
    /// Follow what happens, as it is printed.
    Attach,
    /// Follow what happens, each event a JSON object.
    Events,
}

/// What to do with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceAction {
    /// Start it if it does not run.
    Start,
    /// Stop it and keep it stopped.
    Stop,
    /// Kill it and keep it stopped.
    Kill,
    /// Stop it, then start it.
    Restart,
}

/// What the runtime answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// The state.
    Report {
        /// The state.
        report: Box<Report>,
    },
    /// What services wrote.
    Written {
        /// Sorted by service and path.
        written: Vec<Written>,
    },
    /// A snapshot was taken or brought back.
    Snapshot {
        /// What it holds of the services meant.
        snapshot: Box<Snapshot>,
    },
    /// It is done.
    Done,
    /// It could not be done.
    Error {
        /// Why.
        error: ErrorReport,
        /// Exit code for the client.
        exit: i32,
    },
    /// Something happened, as the foreground `up` would print it.
    Event {
        /// A line for people, or a JSON object.
        line: String,
    },
}
