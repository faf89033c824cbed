//! What the runtime tells whoever watches it: the foreground `hd up`, an attached terminal.
//!
//! Events inform; nothing is decided by them. A listener must not block: it drops and counts
//! when its reader is slow (service logs are on disk anyway).

use std::sync::Arc;
use std::time::Duration;

use hd_store::Id;

use crate::model::report::{ServiceState, StepReport};
use crate::step_runner::chain::StepFailure;

/// Version of events as JSON objects; fields are only ever added to it.
pub const SCHEMA: u32 = 1;

/// Something worth telling a person.
#[derive(Clone, Debug)]
pub enum Event {
    /// Image transfer: bytes so far and in total, zero when unknown.
    Pulling {
        /// Reference of the image.
        image: String,
        /// Bytes received.
        received: u64,
        /// Bytes to receive.
        total: u64,
    },
    /// The image is unpacked; its digest is what the tag meant now.
    Pulled {
        /// Reference of the image.
        image: String,
        /// Manifest digest.
        digest: String,
    },
    /// Image on its way out: bytes so far and in total.
    Exporting {
        /// Where it goes.
        target: String,
        /// Bytes that are there.
        sent: u64,
        /// Bytes of all layers.
        total: u64,
    },
    /// A step begins to run.
    StepStarted {
        /// `step-1`, …
        name: String,
        /// The command.
        command: String,
        /// Why it runs.
        reason: String,
    },
    /// A line a running step printed.
    StepOutput {
        /// `step-1`, …
        name: String,
        /// The line without its end.
        line: String,
    },
    /// A step is done.
    StepDone(StepReport),
    /// A step failed; services keep the last good view.
    StepFailed(StepFailure),
    /// A batch of edits is through.
    Batch(BatchLine),
    /// A service changed state.
    Service {
        /// Name of the service.
        name: String,
        /// The new state.
        state: ServiceState,
        /// Why.
        reason: String,
        /// Time since it was started (ready) or since the edit was seen (restart by watch).
        after: Option<Duration>,
    },
    /// A line a service printed.
    Log {
        /// Name of the service.
        service: String,
        /// Whether it came from standard error.
        stderr: bool,
        /// The line without its end.
        line: String,
    },
    /// The `hd.toml` was edited and is of no use; what was declared before holds. The text shows the
    /// place, and may have several lines.
    Invalid(String),
    /// A remark for the person, such as an output that cannot be shown live.
    Note(String),
}

/// The one line printed per edit.
#[derive(Clone, Debug)]
pub struct BatchLine {
    /// Paths that changed, with `~`, `+` or `-`; at most a few, see `more`.
    pub changed: Vec<(char, String)>,
    /// How many changed besides those named.
    pub more: usize,
    /// The new root.
    pub root: Id,
    /// From the first event to the new root.
    pub took: Duration,
    /// Steps that ran.
    pub ran: Vec<String>,
    /// How many results were kept.
    pub kept: usize,
    /// Services being restarted.
    pub restarting: Vec<String>,
    /// Step that failed, if one did.
    pub failed: Option<String>,
}

/// Receives events; called from many threads, must not block.
pub trait Listener: Send + Sync + 'static {
    /// Takes one event.
    fn event(&self, event: Event);

    /// Gives the lines as they are printed, for those who attach; none when nothing is printed.
    fn lines(&self) -> Option<tokio::sync::broadcast::Receiver<String>> {
        None
    }

    /// Gives events as JSON objects, for programs that follow; none when nobody makes them. Who is too slow
    /// for all of them gets one of the kind `missed` with a `count` in their place.
    fn objects(&self) -> Option<tokio::sync::broadcast::Receiver<String>> {
        None
    }
}

/// Shared handle to the listener.
#[derive(Clone)]
pub struct Events(Arc<dyn Listener>);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events(..)")
    }
}

impl Events {
    /// Wraps a listener.
    pub fn new(listener: Arc<dyn Listener>) -> Self {
        Self(listener)
    }

    /// Gives the lines as they are printed from now on.
    pub fn lines(&self) -> Option<tokio::sync::broadcast::Receiver<String>> {
        self.0.lines()
    }

    /// Gives events as JSON objects from now on.
    pub fn objects(&self) -> Option<tokio::sync::broadcast::Receiver<String>> {
        self.0.objects()
    }

    /// Tells an event.
    pub fn tell(&self, event: Event) {
        self.0.event(event);
    }
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence;

impl Listener for Silence {
    fn event(&self, _event: Event) {}
}
