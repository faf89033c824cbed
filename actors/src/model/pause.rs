//! Whether edits are held back, because a person wants it so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hd_supervision::Latest;

use super::report::WatchingReport;
use crate::messages::{Paths, PauseChanged};

/// Shared by the Debouncer, which holds edits back, and whoever asks or looks; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Pause {
    held: Arc<Mutex<Held>>,
    changed: Latest<PauseChanged>,
}

#[derive(Debug, Default)]
struct Held {
    paused: bool,
    /// Paths that wait; none when everything is to be looked at.
    waiting: Option<u64>,
}

impl Pause {
    /// Holds edits back, or lets them go; tells whether that is news.
    pub fn set(&self, paused: bool) -> bool {
        let mut held = self.held();
        if held.paused == paused {
            return false;
        }
        let waiting = Some(0);
        *held = Held { paused, waiting };
        drop(held);
        self.changed.put(PauseChanged);
        true
    }

    /// Tells whether edits are held back.
    pub fn is_set(&self) -> bool {
        self.held().paused
    }

    /// Gives where its holder hears of a change.
    pub(crate) fn changed(&self) -> Latest<PauseChanged> {
        self.changed.clone()
    }

    /// Notes what waits.
    pub(crate) fn waits(&self, paths: Option<&Paths>) {
        self.held().waiting = match paths {
            None => Some(0),
            Some(Paths::These(paths)) => Some(paths.len() as u64),
            Some(Paths::Rescan) => None,
        };
    }

    /// Gives what `status` shows; nothing while edits go through.
    pub fn report(&self) -> Option<WatchingReport> {
        let held = self.held();
        held.paused.then_some(WatchingReport {
            paused: true,
            waiting: held.waiting,
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debouncer::window::these;

    #[test]
    fn what_waits_is_told_while_it_waits() {
        let pause = Pause::default();
        assert!(pause.report().is_none() && !pause.set(false));
        assert!(pause.set(true) && !pause.set(true) && pause.is_set());
        let path = hd_dag::TreePath::new(b"a").unwrap();
        pause.waits(Some(&these([path])));
        assert_eq!(pause.report().unwrap().waiting, Some(1));
        pause.waits(Some(&Paths::Rescan));
        assert_eq!(pause.report().unwrap().waiting, None);
        assert!(pause.set(false) && pause.report().is_none());
    }
}
