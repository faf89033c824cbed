//! The root of all trees, and how it ends.

use tokio::sync::{mpsc, oneshot};

use crate::runtime::Runtime;
use crate::tree::{Event, Verdict};

/// How the root tree ended. Anything but `Stopped` must become a non-zero exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum RootExit {
    /// It was told to stop, and all children are down.
    Stopped,
    /// It spent its restarts, and all children are down; the text names the child and the last cause.
    Escalated(String),
}

/// A running root tree.
#[derive(Debug)]
pub struct Root {
    stopper: Stopper,
    exit: oneshot::Receiver<Verdict>,
}

impl Root {
    pub(crate) fn new(
        events: mpsc::UnboundedSender<Event>,
        runtime: Runtime,
        exit: oneshot::Receiver<Verdict>,
    ) -> Self {
        let stopper = Stopper { events, runtime };
        Self { stopper, exit }
    }

    /// Returns a handle that ends the root, from any thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits until all children are down.
    pub async fn exit(self) -> RootExit {
        match self.exit.await {
            Ok(Verdict::Stopped) => RootExit::Stopped,
            Ok(Verdict::GaveUp(cause)) => RootExit::Escalated(cause),
            Err(_) => RootExit::Escalated("the supervising task panicked".to_owned()),
        }
    }
}

/// Ends the root tree.
#[derive(Clone, Debug)]
pub struct Stopper {
    events: mpsc::UnboundedSender<Event>,
    runtime: Runtime,
}

impl Stopper {
    /// Stops all children, last first, each within its grace.
    pub fn stop(&self) {
        // A root that has ended needs no stop.
        let _ = self.events.send(Event::Stop);
    }

    /// Stops all children without any grace, also when a stop is under way: for the second Ctrl-C.
    pub fn stop_now(&self) {
        self.runtime.hurry_up();
        self.stop();
    }
}
