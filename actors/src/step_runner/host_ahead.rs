//! Looking at the host while an edit comes to rest.
//!
//! A kept result holds only while the host is as its step saw it. That takes hundreds of questions, and what
//! was edited in the project plays no part in them: they are asked before it is known what that is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hd_projection::HostMemo;

use super::basis::{self, Chosen};
use super::world::Worlds;
use crate::base::Bases;
use crate::messages::{BatchError, RunSteps};
use crate::model::declared::Declared;
use crate::shared::Shared;

/// What was seen longer ago is asked again: an edit seldom takes so long to come to rest.
const FRESH_FOR: Duration = Duration::from_millis(250);

/// What the last chain kept, and what the host was found to hold since then.
#[derive(Debug, Default)]
pub struct HostAhead {
    last: Option<Last>,
    found: Found,
}

/// What a job has found, for the chain that runs after it in the same thread.
#[derive(Clone, Debug, Default)]
pub struct Found(Arc<Mutex<Option<Seen>>>);

#[derive(Clone, Debug)]
struct Last {
    declared: Arc<Declared>,
    base: Arc<Bases>,
    chosen: Vec<Chosen>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    declared: Arc<Declared>,
    base: Arc<Bases>,
    host: HostMemo,
}

impl HostAhead {
    /// Notes what a chain came to; `None` when that is no ground to look ahead from.
    pub fn note(&mut self, of: (Arc<Declared>, Arc<Bases>), chosen: Option<Vec<Chosen>>) {
        let (declared, base) = of;
        self.last = chosen.map(|chosen| Last {
            declared,
            base,
            chosen,
        });
    }

    /// Gives the job that looks, `now` or later; `None` when nothing is known to look at.
    pub fn job(&self, shared: Arc<Shared>, now: Instant) -> Option<impl FnOnce() + Send + 'static> {
        let (last, found) = (self.last.clone()?, self.found.clone());
        let on_host = !last.base.environment.is_image();
        on_host.then_some(move || match last.look(&shared, now) {
            Ok(seen) => found.put(seen),
            // The chain asks again, and says what is wrong.
            Err(error) => tracing::debug!(%error, "the host was not looked at ahead"),
        })
    }

    /// Gives the place where jobs put what they find.
    pub fn found(&self) -> Found {
        self.found.clone()
    }
}

impl Last {
    fn look(self, shared: &Shared, at: Instant) -> Result<Seen, BatchError> {
        let _held = shared.session.work()?;
        let worlds = Worlds::of(shared, &self.declared, &self.base)?;
        for (chosen, step) in self.chosen.iter().zip(self.declared.steps.iter()) {
            basis::look_at_host(shared, &worlds, chosen, step)?;
        }
        Ok(Seen {
            at,
            host: worlds.host,
            declared: self.declared,
            base: self.base,
        })
    }
}

impl Found {
    fn put(&self, seen: Seen) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    /// Takes what is known of the host as of just `now`, in the surroundings of a wish.
    ///
    /// Nothing for one that a person asked for: what they changed on the host before they did so counts, however
    /// short before.
    pub fn take(&self, wish: &RunSteps, now: Instant) -> HostMemo {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |seen: &Seen| {
            wish.origin.batch > 0
                && now.saturating_duration_since(seen.at) < FRESH_FOR
                && Arc::ptr_eq(&seen.declared, &wish.declared)
                && Arc::ptr_eq(&seen.base, &wish.base)
        };
        let seen = place.take().filter(fits);
        seen.map(|seen| seen.host).unwrap_or_default()
    }
}
