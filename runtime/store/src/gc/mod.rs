//! Garbage collection beside everything else: mark, condemn, wait, mark again, rewrite, remove.
//!
//! 1. Mark what references, leases and the kept part of histories lead to.
//! 2. Condemn what is dead: thin segments whole, single objects in segments that stay. The list is
//!    published, then the page is turned: a transaction that begins from here on relies on no
//!    condemned copy, and writes again what it would have found there.
//! 3. Wait until the transactions of the page before have ended. They may have relied on anything,
//!    but by then their references or leases say so.
//! 4. Mark again, from what was a root at first and what is one now. What is condemned and marked
//!    stays after all: nothing that was not condemned is ever touched, so what the newer
//!    transactions build upon stays too, whatever they are doing now.
//! 5. Commit copies of what lives in segments that go, take dead nodes, lists and history in
//!    segments that stay back by FORGET records, remove the segments, withdraw the list.
//!
//! A crash in between leaves duplicates, and a list that counts for nothing without its collection;
//! never a hole. Readers take no lock: open segments stay readable.

mod budget;
mod collected;
mod copier;
mod leftovers;
pub(crate) mod mark;
pub(crate) mod plan;
pub(crate) mod sizes;
mod sweep;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::locks::condemned::Condemned;
use crate::{Id, Links, Result, Store};
pub use budget::Budget;
pub use collected::Collected;
pub(crate) use copier::rewrite;
use mark::Marker;
pub(crate) use sweep::remove as without;

/// How long a collection waits, unless told otherwise, for commands that began before it.
const USUAL_WAIT: Duration = Duration::from_secs(60);

/// Says what a collection may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcOptions {
    /// How long to wait for another collection, and for commands that began before this one; a
    /// store that is busy for longer is [`crate::Error::Busy`].
    pub wait: Duration,
    /// Only tell what would be done.
    pub dry_run: bool,
    /// The time that ages are counted from, in milliseconds since the epoch.
    pub now_unix_ms: u64,
    /// Entries kept of each history, the newest first.
    pub history_per_key: usize,
    /// Age from which history entries go, however few there are.
    pub history_max_age: Option<Duration>,
    /// How much may stay; without one, all that is needed does.
    pub budget: Option<Budget>,
    /// What goes although there is room for it.
    pub unwanted: Unwanted,
    /// Copies what lives elsewhere as soon as a tenth of a segment is dead, not only half of it:
    /// more of the disk is given back for more work.
    pub thorough: bool,
    /// Names of references that stay, however old, unless they are unwanted by name.
    pub in_use: Vec<String>,
}

/// What a collection drops although there is room for it; what others lead to as well stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unwanted {
    /// References, by name.
    pub refs: Vec<String>,
    /// Entries of histories, by key and the time they were made.
    pub entries: BTreeSet<(Id, u64)>,
    /// References and history that were not used for this long.
    pub unused_for: Option<Duration>,
}

impl GcOptions {
    /// The usual budget: 32 entries per key, none older than 30 days; waits for a minute.
    pub fn new(now_unix_ms: u64) -> GcOptions {
        GcOptions {
            wait: USUAL_WAIT,
            dry_run: false,
            now_unix_ms,
            history_per_key: 32,
            history_max_age: Some(Duration::from_secs(30 * 24 * 3600)),
            budget: None,
            unwanted: Unwanted::default(),
            thorough: false,
            in_use: Vec::new(),
        }
    }
}

/// Tells what a collection did, or with `dry_run` would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// References and leases followed.
    pub roots: u64,
    /// Objects that stay.
    pub live_objects: u64,
    /// Bytes of segment files they take.
    pub live_bytes: u64,
    /// Bytes of segment files given back to the file system.
    pub freed_bytes: u64,
    /// Bytes of raw copies given back, which are of what is not stored any more.
    pub raw_freed_bytes: u64,
    /// Segments removed, rewritten ones included.
    pub segments_removed: u64,
    /// Segments of which live objects were copied elsewhere.
    pub segments_rewritten: u64,
    /// History entries beyond the budget, or no longer whole.
    pub history_dropped: u64,
    /// References dropped to keep within the budget, by name.
    pub refs_dropped: Vec<String>,
    /// What a reference leads to and is not stored.
    pub missing: Vec<Id>,
    /// Segments that would have gone, but hold damaged objects that are live.
    pub segments_kept_damaged: u64,
    /// Segments with dead objects that a writer is using: left for the next collection.
    pub segments_busy: u64,
}

impl Store {
    /// Deletes what no reference, no lease and no history entry within the budget leads to. Runs
    /// beside readers and writers of any process; see the module for why nothing is lost.
    ///
    /// # Errors
    /// [`crate::Error::Busy`], [`crate::Error::Unfollowable`] when a live node is damaged,
    /// [`crate::Error::DamagedRef`]; no object was deleted then. And I/O errors.
    pub fn gc(&self, links: &dyn Links, options: &GcOptions) -> Result<GcReport> {
        let locks = &self.inner.locks;
        let deadline = Instant::now() + options.wait;
        let _only_one = locks.collect(deadline)?;
        self.refresh()?;
        let segments = self.inner.shelf.segments();
        let mut marker = Marker::new(self, links, options);
        marker.mark_at_first()?;
        let mut plan = plan::plan(&segments, &marker.marks, options)?;
        if options.dry_run {
            let mut report = marker.report(plan.live_bytes());
            plan.foretell(&mut report);
            return Ok(report);
        }
        // Of one that was killed. Who relies on what it named has begun before this one turns the page.
        Condemned::withdraw(&locks.condemned_path())?;
        leftovers::sweep(self)?;
        let busy = plan.lock()?;
        let condemned = plan.condemned();
        let mut report = if condemned.is_empty() && marker.marks.refs_dropped.is_empty() {
            marker.report(plan.live_bytes())
        } else {
            let removed = self.remove(&mut marker, plan, &condemned, deadline);
            // Also where it failed: the next one needs it as much.
            locks.fill_reserve();
            removed?
        };
        report.segments_busy = busy;
        self.note_collected(options);
        locks.fill_reserve();
        report.raw_freed_bytes = self.sweep_pool()?;
        Ok(report)
    }

    fn remove(
        &self,
        marker: &mut Marker<'_>,
        plan: plan::Plan,
        condemned: &Condemned,
        deadline: Instant,
    ) -> Result<GcReport> {
        let locks = &self.inner.locks;
        let path = locks.condemned_path();
        locks.wait_for_stragglers(deadline)?;
        // A full disk has to be written to before it gets emptier.
        locks.use_reserve()?;
        self.spare_pool()?;
        self.drop_unused_refs(&marker.marks.refs_dropped)?;
        condemned.publish(&path)?;
        let removed = locks
            .advance_epoch()
            .and_then(|()| locks.turn(deadline))
            .and_then(|()| self.refresh())
            .and_then(|()| marker.mark_again(condemned))
            .and_then(|()| sweep::sweep(self, &marker.marks, plan, condemned));
        // Who had not seen the list yet may have remembered something as whole that is gone now.
        let advanced = locks.advance_epoch();
        // The newcomers of this page wrote again what was condemned, so it may be trusted again.
        Condemned::withdraw(&path)?;
        let swept = removed?;
        advanced?;
        self.refresh()?;
        let mut report = marker.report(swept.live_bytes);
        swept.tell(&mut report);
        Ok(report)
    }
}
