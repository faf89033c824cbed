//! How a runtime comes to its end: the first reason given wins.

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
    told: Arc<Notify>,
}

impl Finish {
    /// Ends the runtime. A second wish can only hurry the first one.
    pub fn end(&self, end: End) {
        let mut slot = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *slot, &end) {
            (Some(End::Asked { now }), End::Asked { now: true }) => *now = true,
            (Some(_), _) => {}
            (none, _) => *none = Some(end),
        }
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
            if self.get() == Some(End::Asked { now: true }) {
                return;
            }
            told.await;
        }
    }
}
