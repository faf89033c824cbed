//! Garbage collection: mark from the roots, rewrite thin segments, remove dead ones.
//!
//! A collection is alone: every writer holds the lock it takes exclusively, so nothing it did not
//! mark can become live while it runs. Its order makes every crash harmless: nodes, lists and history
//! that are dead but lie in segments that stay are taken back by FORGET records, lest somebody
//! builds on them after their targets went; copies of what lives in a segment that goes are
//! committed; then the epoch moves, so that stat caches ask again; only then are segments removed.

pub(crate) mod mark;
pub(crate) mod plan;
mod sweep;

use std::time::Duration;

use crate::{Id, Links, Result, Store};

/// Says what a collection may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcOptions {
    /// Wait for writers to end; otherwise a busy store is [`crate::Error::Busy`].
    pub wait: bool,
    /// Only tell what would be done.
    pub dry_run: bool,
    /// The time that ages are counted from, in milliseconds since the epoch.
    pub now_unix_ms: u64,
    /// Entries kept of each history, the newest first.
    pub history_per_key: usize,
    /// Age from which history entries go, however few there are.
    pub history_max_age: Option<Duration>,
}

impl GcOptions {
    /// The usual budget: 16 entries per key of any age; waits for writers.
    pub fn new(now_unix_ms: u64) -> GcOptions {
        GcOptions {
            wait: true,
            dry_run: false,
            now_unix_ms,
            history_per_key: 16,
            history_max_age: None,
        }
    }
}

/// Tells what a collection did, or with `dry_run` would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// References followed.
    pub roots: u64,
    /// Objects that stay.
    pub live_objects: u64,
    /// Bytes of segment files they take.
    pub live_bytes: u64,
    /// Bytes of segment files given back to the file system.
    pub freed_bytes: u64,
    /// Segments removed, rewritten ones included.
    pub segments_removed: u64,
    /// Segments of which live objects were copied elsewhere.
    pub segments_rewritten: u64,
    /// History entries beyond the budget, or no longer whole.
    pub history_dropped: u64,
    /// What a reference leads to and is not stored.
    pub missing: Vec<Id>,
    /// Segments that would have gone, but hold damaged objects that are live.
    pub segments_kept_damaged: u64,
}

impl Store {
    /// Deletes what no reference and no history entry within the budget leads to.
    ///
    /// # Errors
    /// [`crate::Error::Busy`], [`crate::Error::Unfollowable`] when a live node is damaged,
    /// [`crate::Error::DamagedRef`]; nothing was deleted then. And I/O errors.
    pub fn gc(&self, links: &dyn Links, options: &GcOptions) -> Result<GcReport> {
        let _alone = self.inner.locks.be_alone(options.wait)?;
        self.refresh()?;
        let marks = mark::mark_all(self, links, options)?;
        let plan = plan::plan(self, &marks)?;
        let mut report = GcReport {
            roots: marks.roots,
            live_objects: marks.objects(),
            live_bytes: plan.live_bytes(),
            history_dropped: marks.history_dropped,
            missing: marks.missing.clone(),
            ..GcReport::default()
        };
        if options.dry_run {
            plan.foretell(&mut report);
            return Ok(report);
        }
        sweep::sweep(self, &marks, plan, &mut report)?;
        Ok(report)
    }
}
