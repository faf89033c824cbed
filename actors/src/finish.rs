//! How a runtime comes to its end: the first reason given wins.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::state::Failure;

/// Why the runtime ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Asked to: Ctrl-C, `hd down`; `now` skips the grace of services.
    Asked {
        /// Skip the grace.
        now: bool,
    },
    /// What was to be done once is done.
    Done,
    /// It cannot go on.
    Failed(Failure),
}

/// Shared by all who may end the runtime; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Finish {
    end: Arc<Mutex<Option<End>>>,
    hurry: Arc<AtomicBool>,
    told: Arc<Notify>,
}

impl Finish {
    /// Ends the runtime. A second wish can only hurry the first one, whatever that was for.
    pub fn end(&self, end: End) {
        if end == (End::Asked { now: true }) {
            self.hurry.store(true, Ordering::Release);
        }
        let mut slot = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(end);
        drop(slot);
        self.told.notify_waiters();
        self.told.notify_one();
    }

    /// Gives the reason, once there is one.
    pub fn get(&self) -> Option<End> {
        self.end
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for a reason.
    pub async fn wait(&self) -> End {
        loop {
            let told = self.told.notified();
            if let Some(end) = self.get() {
                return end;
            }
            told.await;
        }
    }

    /// Waits until the end is to be reached at once.
    pub async fn wait_for_hurry(&self) {
        loop {
            let told = self.told.notified();
            if self.hurry.load(Ordering::Acquire) {
                return;
            }
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::model::report::ErrorReport;

    #[test]
    fn an_end_for_a_failure_can_be_hurried_and_keeps_its_reason() {
        let finish = Finish::default();
        let failed = End::Failed(Failure {
            error: ErrorReport::default(),
            exit: 3,
        });
        finish.end(failed.clone());
        finish.end(End::Asked { now: false });
        assert!(finish.wait_for_hurry().now_or_never().is_none());
        finish.end(End::Asked { now: true });
        assert!(finish.wait_for_hurry().now_or_never().is_some());
        assert_eq!(finish.get(), Some(failed));
    }
}
