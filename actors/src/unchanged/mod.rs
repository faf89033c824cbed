//! `hd up --once` where no step has anything to do: found out by looking, before any actor is started.
//!
//! What the outcome of the last chain followed from is kept beside the instance. A command that only
//! builds looks whether all of that is as it was: the project file by file, the `hd.toml`, the bases,
//! the stored results, what steps observed of the host, and that nothing was removed from the store.
//! If so the outcome is the same, and so is everything that would have been computed on the way. Without steps the
//! outcome follows from the project alone, and is worked out on the spot, edited or not.
//! Otherwise, and whenever it cannot tell, the actors go to work as if nobody had looked.

mod look;
mod record;

use std::sync::{Arc, Mutex, PoisonError};

pub use look::look;
pub use record::Record;

use crate::messages::{Ingested, Paths};
use crate::session::AtWork;

/// A look at the project that found something to do, for the actor that would look next.
#[derive(Debug, Default)]
pub struct FirstLook(Mutex<Option<(Ingested, Arc<AtWork>)>>);

impl FirstLook {
    fn put(&self, looked: Ingested, work: Arc<AtWork>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((looked, work));
    }

    /// Takes it, for whoever wants to know of the whole project. Whoever asks is at work itself.
    pub fn take(&self, paths: &Paths) -> Option<Ingested> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (looked, _work) = held.take_if(|_| *paths == Paths::Rescan)?;
        Some(looked)
    }
}
