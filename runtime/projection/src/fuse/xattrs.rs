//! Finds out whether a lower has extended attributes at all.
//!
//! overlayfs asks for one of every file it looks up, and the kernel keeps no such answer. ENOSYS
//! is the one answer that ends the questions, so it must be true of the whole lower. That is
//! found out in the background, once enough was asked to make it worth the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::thread;

use crate::lower::Lower;

/// Questions before the lower is searched.
const ASKED_MIN: u32 = 64;

/// The state when nothing has an attribute; 0 while that is not known.
const ABSENT: u8 = 1;

/// What is known of the attributes of one lower.
#[derive(Debug, Default)]
pub(super) struct Xattrs {
    asked: AtomicU32,
    state: Arc<AtomicU8>,
}

impl Xattrs {
    /// Counts a question; says whether nothing in the lower has an attribute.
    pub(super) fn are_absent<L: Lower>(&self, lower: &Arc<L>) -> bool {
        if self.state.load(Ordering::Relaxed) == ABSENT {
            return true;
        }
        if self.asked.fetch_add(1, Ordering::Relaxed) + 1 == ASKED_MIN {
            self.search(lower.clone());
        }
        false
    }

    fn search<L: Lower>(&self, lower: Arc<L>) {
        let state = Arc::downgrade(&self.state);
        let search = move || {
            // A view that is gone needs no answer.
            let found = lower.has_xattrs(&|| state.strong_count() == 0);
            if let (Ok(Some(false)), Some(state)) = (found, state.upgrade()) {
                state.store(ABSENT, Ordering::Relaxed);
            }
        };
        // Without the thread every question is answered by itself, which is slower, not wrong.
        let _ = thread::Builder::new().name("xattrs".into()).spawn(search);
    }
}
