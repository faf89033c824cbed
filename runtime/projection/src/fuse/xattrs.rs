//! Finds out whether what a mount shows has extended attributes at all.
//!
//! overlayfs asks for one of every file it looks up, and the kernel keeps no such answer. ENOSYS
//! is the one answer that ends the questions, for good and for the whole mount, so it must be true of every
//! lower shown in it, also of those to come. That is found out in the background, once enough was asked to
//! make it worth the while.
//!
//! A program can tell: it is told ENODATA before and EOPNOTSUPP after. So a mount that lasts waits for a view of
//! which so much is asked that it counts; what runs beside and after small ones is told the same each time.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use crate::error::ProjectionError;
use crate::lower::Lower;

/// Questions before the lower of a mount that shows only one is searched.
pub(super) const ASKED_OF_ONE: u32 = 64;
/// Questions about one of many before all are searched.
pub(super) const ASKED_OF_MANY: u32 = 4096;

/// The state when nothing has an attribute, and when something has; 0 while that is not known.
const ABSENT: u8 = 1;
const PRESENT: u8 = 2;

/// What is known of the attributes of all lowers of a mount.
#[derive(Debug)]
pub(super) struct Xattrs<L> {
    asked: AtomicU32,
    asked_min: u32,
    known: Arc<Known<L>>,
}

#[derive(Debug)]
struct Known<L> {
    state: AtomicU8,
    unsearched: Mutex<Unsearched<L>>,
}

/// Lowers of which nothing is known yet.
#[derive(Debug)]
struct Unsearched<L> {
    lowers: Vec<Weak<L>>,
    /// How many were taken out and are being searched.
    taken: usize,
}

impl<L> Default for Unsearched<L> {
    fn default() -> Self {
        Self {
            lowers: Vec::new(),
            taken: 0,
        }
    }
}

impl<L: Lower> Xattrs<L> {
    /// Knows nothing of no lowers; they are searched after so many questions since one was added.
    pub(super) fn new(asked_min: u32) -> Self {
        Self {
            asked: AtomicU32::new(0),
            asked_min,
            known: Arc::new(Known {
                state: AtomicU8::new(0),
                unsearched: Mutex::default(),
            }),
        }
    }

    /// Takes a lower in; false when it has attributes and the kernel asks for none any more.
    pub(super) fn add(&self, lower: &Arc<L>) -> Result<bool, ProjectionError> {
        let mut unsearched = self.known.unsearched();
        match self.known.state.load(Ordering::Relaxed) {
            ABSENT => return Ok(lower.has_xattrs(&|| false)? == Some(false)),
            PRESENT => {}
            _ => {
                unsearched.lowers.retain(|lower| lower.strong_count() > 0);
                unsearched.lowers.push(Arc::downgrade(lower));
                self.asked.store(0, Ordering::Relaxed);
            }
        }
        Ok(true)
    }

    /// Counts a question; says whether nothing in any lower has an attribute.
    pub(super) fn are_absent(&self) -> bool {
        if self.known.state.load(Ordering::Relaxed) == ABSENT {
            return true;
        }
        if self.asked.fetch_add(1, Ordering::Relaxed) + 1 == self.asked_min {
            let known = Arc::downgrade(&self.known);
            // Without the thread every question is answered by itself, which is slower, not wrong.
            let _ = thread::Builder::new()
                .name("xattrs".into())
                .spawn(move || search(&known));
        }
        false
    }
}

impl<L> Known<L> {
    fn unsearched(&self) -> MutexGuard<'_, Unsearched<L>> {
        self.unsearched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a lower to search; with none left, and none that another thread searches, nothing has an attribute.
    fn next(&self) -> Option<Weak<L>> {
        let mut unsearched = self.unsearched();
        let next = unsearched.lowers.pop();
        if next.is_some() {
            unsearched.taken += 1;
        } else if unsearched.taken == 0 && self.state.load(Ordering::Relaxed) != PRESENT {
            self.state.store(ABSENT, Ordering::Relaxed);
        }
        next
    }

    /// Notes that a lower was searched, and whether it may have attributes.
    fn searched(&self, has_some: bool) {
        let mut unsearched = self.unsearched();
        unsearched.taken -= 1;
        if has_some {
            self.state.store(PRESENT, Ordering::Relaxed);
            unsearched.lowers.clear();
        }
    }
}

fn search<L: Lower>(known: &Weak<Known<L>>) {
    while let Some(lower) = known.upgrade().and_then(|known| known.next()) {
        // A lower that is gone, as a mount that is gone, needs no answer.
        let has_some = lower.upgrade().is_some_and(|lower| {
            let found = lower.has_xattrs(&|| known.strong_count() == 0);
            !matches!(found, Ok(Some(false)))
        });
        if let Some(known) = known.upgrade() {
            known.searched(has_some);
        }
        if has_some {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_thread_searches_still_counts_as_unknown() {
        let lower = Arc::new(());
        let known = Known {
            state: AtomicU8::new(0),
            unsearched: Mutex::default(),
        };
        known.unsearched().lowers.push(Arc::downgrade(&lower));
        let state = || known.state.load(Ordering::Relaxed);
        assert!(known.next().is_some());
        assert!(known.next().is_none(), "it is taken");
        assert_eq!(state(), 0);
        known.searched(false);
        assert!(known.next().is_none());
        assert_eq!(state(), ABSENT);

        let known = Known {
            state: AtomicU8::new(0),
            unsearched: Mutex::default(),
        };
        known.unsearched().lowers.push(Arc::downgrade(&lower));
        assert!(known.next().is_some() && known.next().is_none());
        known.searched(true);
        assert!(known.next().is_none());
        assert_eq!(known.state.load(Ordering::Relaxed), PRESENT);
    }
}
