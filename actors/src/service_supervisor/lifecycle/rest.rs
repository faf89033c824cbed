//! How a service comes to rest, and what a later supervisor has to know of it.

use std::time::Instant;

use super::{Action, Lifecycle, Past};
use crate::model::report::{STOPPED, ServiceState};

impl Lifecycle {
    /// Gives what a later supervisor of the service has to know.
    pub fn past(&self) -> Past {
        let rests = match self.state {
            ServiceState::Exited | ServiceState::Failed => {
                Some((self.state, self.reason.clone(), self.succeeded))
            }
            _ if self.is_stopped => Some((ServiceState::Exited, STOPPED.to_owned(), false)),
            _ => None,
        };
        Past {
            run: self.run,
            crash_restarts: self.crash_restarts,
            rests,
            is_stopped: self.is_stopped,
        }
    }

    /// Takes that a person stops it. [`Input::Stop`] does that; whoever starts it later decides by
    /// [`Lifecycle::is_stopped`] whether he may.
    pub fn rest(&mut self) {
        self.is_stopped = true;
        if self.state == ServiceState::Failed {
            self.enter(ServiceState::Exited, STOPPED);
        }
    }

    /// Tells whether a person stopped it, and nobody has started it since.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    pub(super) fn stop(&mut self, at_once: bool, now: Instant) -> Option<Action> {
        self.wants_start = false;
        match self.state {
            ServiceState::Starting | ServiceState::Ready if at_once => {
                self.enter(ServiceState::Stopping, "being killed");
                Some(Action::Kill)
            }
            ServiceState::Starting | ServiceState::Ready => self.begin_stop(now, "being stopped"),
            ServiceState::Stopping => at_once.then_some(Action::Kill),
            ServiceState::Waiting | ServiceState::Backoff => {
                self.enter(ServiceState::Exited, STOPPED);
                None
            }
            ServiceState::Failed | ServiceState::Exited => None,
        }
    }

    pub(super) fn hold(&mut self, by: String, now: Instant) -> Option<Action> {
        match self.state {
            ServiceState::Starting | ServiceState::Ready | ServiceState::Backoff => {
                self.start(by, now)
            }
            // What waits or is being stopped starts no more without a look at what is missing.
            _ => None,
        }
    }
}
