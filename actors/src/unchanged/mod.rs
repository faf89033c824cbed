//! `hd up --once` where nothing has changed: found out by looking, before any actor is started.
//!
//! What the outcome of the last chain followed from is kept beside the instance. A command that only
//! builds looks whether all of that is as it was: the project file by file, the `hd.toml`, the bases,
//! the stored results, what steps observed of the host, and that nothing was removed from the store.
//! If so the outcome is the same, and so is everything that would have been computed on the way.
//! Otherwise, and whenever it cannot tell, the actors go to work as if nobody had looked.

mod look;
mod record;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use hd_store::Writer;

pub use look::look;
pub use record::Record;

use crate::messages::{Ingested, Paths};
use crate::session::AtWork;

/// A look at the project that found something to do, for the actor that would look next.
#[derive(Debug, Default)]
pub struct FirstLook(Mutex<Option<Looked>>);

#[derive(Debug)]
struct Looked {
    ingested: Ingested,
    /// What it put into the store becomes durable while the actors are started: it answers whether that went well.
    commit: Option<JoinHandle<bool>>,
    _work: Arc<AtWork>,
}

impl FirstLook {
    fn put(&self, ingested: Ingested, new: Option<Writer>, work: Arc<AtWork>) {
        let commit = match new.map(committing).transpose() {
            Ok(commit) => commit,
            // Whoever looks next does without this look.
            Err(error) => return tracing::debug!(%error, "no thread to commit a look"),
        };
        let looked = Looked {
            ingested,
            commit,
            _work: work,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(looked);
    }

    /// Takes it once it is durable, for whoever wants to know of the whole project. Whoever asks is at work itself,
    /// and looks anew where that failed.
    pub fn take(&self, paths: &Paths) -> Option<Ingested> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = held.take_if(|_| *paths == Paths::Rescan)?;
        drop(held);
        let is_durable = looked
            .commit
            .is_none_or(|commit| commit.join().unwrap_or(false));
        is_durable.then_some(looked.ingested)
    }
}

fn committing(mut new: Writer) -> std::io::Result<JoinHandle<bool>> {
    let commit = move || {
        let done = new.commit();
        if let Err(error) = &done {
            tracing::debug!(%error, "what a look found is not durable");
        }
        done.is_ok()
    };
    std::thread::Builder::new()
        .name("commit".to_owned())
        .spawn(commit)
}
