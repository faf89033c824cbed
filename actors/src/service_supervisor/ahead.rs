//! The sandbox of the next run, made while the process of the run before still ends: only its process is
//! left to be started then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hd_config::{Kind, Service};

use super::log::{Drained, ServiceLog};
use super::seen::Seen;
use super::spawner::{Process, Spawner, Waiting};
use crate::messages::BatchError;

/// Holds at most one sandbox for the next run; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ahead(Arc<Mutex<Option<Prepared>>>);

/// A sandbox that waits for its process, with what reads its output.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What it was made for: only for that it may be used.
    spawner: Arc<dyn Spawner>,
    service: Arc<Service>,
    sandbox: Box<dyn Waiting>,
    drained: Drained,
    seen: Seen,
}

impl Ahead {
    /// Makes the sandbox of the next run; without one that run makes its own, and tells what fails. Blocks.
    pub(crate) fn set_up(
        &self,
        spawner: Arc<dyn Spawner>,
        service: Arc<Service>,
        log: &ServiceLog,
    ) {
        // Commands before the start may make what is mounted; a held socket is handed over with the mounts.
        if service.kind != Kind::Service
            || !service.pre_start.is_empty()
            || service.socket.is_some()
        {
            return;
        }
        let seen = Seen::of(&service);
        let made = log
            .pipes(&seen)
            .map_err(|error| BatchError::new("service", error))
            .and_then(|(output, drained)| Ok((spawner.set_up(output)?, drained)));
        match made {
            Ok((Some(sandbox), drained)) => {
                *self.lock() = Some(Prepared {
                    spawner,
                    service,
                    sandbox,
                    drained,
                    seen,
                });
            }
            Ok((None, _)) => {}
            Err(error) => {
                tracing::debug!(service = service.name, %error, "the next sandbox is not made ahead");
            }
        }
    }

    /// Tells whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.lock().is_some()
    }

    /// Takes it out, whatever it was made for.
    pub(crate) fn take(&self) -> Option<Prepared> {
        self.lock().take()
    }

    /// Takes it out if it was made for just this; removes it if not. Blocks.
    pub(crate) fn take_for(
        &self,
        spawner: &Arc<dyn Spawner>,
        service: &Service,
    ) -> Option<Prepared> {
        let made = self.take();
        made.filter(|made| Arc::ptr_eq(&made.spawner, spawner) && *made.service == *service)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Prepared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prepared {
    /// Starts its process; gives what reads the output with it. Blocks.
    pub(crate) fn start(self) -> Result<(Arc<dyn Process>, Drained, Seen), BatchError> {
        Ok((self.sandbox.start()?, self.drained, self.seen))
    }
}
