//! A running chain as seen from outside: superseded or not, and what its step has observed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hd_dag::Change;
use hd_dag::trace::touched_by;
use hd_projection::Recorder;

/// Shared between the actor, which decides, and the job, which runs.
#[derive(Debug, Default)]
pub struct Cancel {
    superseded: AtomicBool,
    killed: AtomicBool,
    running: Mutex<Option<Arc<Recorder>>>,
}

impl Cancel {
    /// Tells the chain that a newer one waits: no further step begins.
    ///
    /// The step that runs goes on unless `changes` (paths from the root of the view) touch what
    /// it has observed so far; then it is killed. Answers whether it is.
    pub fn supersede(&self, changes: &[Change]) -> bool {
        self.superseded.store(true, Ordering::SeqCst);
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let touched = running
            .as_ref()
            .is_some_and(|recorder| touched_by(&recorder.trace(), changes).is_some());
        if touched {
            self.kill();
        }
        touched
    }

    /// Ends the chain and the step that runs.
    pub fn kill(&self) {
        self.superseded.store(true, Ordering::SeqCst);
        self.killed.store(true, Ordering::SeqCst);
    }

    /// Tells whether no further step may begin.
    pub fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::SeqCst)
    }

    /// Tells whether the running step must end.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// Says which step runs now, by its recorder.
    pub fn set_running(&self, recorder: Option<Arc<Recorder>>) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = recorder;
    }
}
