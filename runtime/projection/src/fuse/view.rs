//! One lower as it is shown: what was observed of it, and what was learned of its readers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use fuser::Errno;

use super::scan::Scans;
use super::to_errno;
use crate::error::ProjectionError;
use crate::lower::{Lower, Node};
use crate::recorder::{Recorder, Watch};
use crate::world;

/// A lower with all that belongs to one showing of it.
#[derive(Debug)]
pub(super) struct View<L> {
    pub(super) lower: Arc<L>,
    pub(super) trace: Option<Tracing>,
    watch: Watch,
    pub(super) reads: Mutex<Scans>,
    /// Numbers of groups of hard-linked files.
    pub(super) groups: Mutex<HashMap<u64, u64>>,
}

/// What a traced view has besides.
#[derive(Debug)]
pub(super) struct Tracing {
    pub(super) recorder: Arc<Recorder>,
    pub(super) lookups: Mutex<Scans>,
}

impl<L: Lower> View<L> {
    pub(super) fn new(lower: Arc<L>, watch: Watch) -> Self {
        Self {
            lower,
            trace: watch.observations().cloned().map(|recorder| Tracing {
                recorder,
                lookups: Mutex::new(Scans::cautious()),
            }),
            watch,
            reads: Mutex::new(Scans::bold()),
            groups: Mutex::default(),
        }
    }

    /// Gives the answer to a request that failed, and notes that one did.
    pub(super) fn failed(&self, error: &ProjectionError) -> Errno {
        self.note_failed(error);
        to_errno(error)
    }

    /// Notes that a request failed.
    pub(super) fn note_failed(&self, error: &ProjectionError) {
        if let Some(recorder) = self.watch.failures() {
            recorder.failed(error);
        }
    }

    /// Notes that another file was read for one that was looked up.
    pub(super) fn note_overtaken(&self) {
        if let Some(recorder) = self.watch.failures() {
            recorder.overtaken();
        }
    }

    /// Records what a look-up in a directory found.
    pub(super) fn record_lookup(
        &self,
        dir: &Node,
        name: &[u8],
        found: Option<&Node>,
    ) -> Result<(), Errno> {
        let Some(trace) = &self.trace else {
            return Ok(());
        };
        let observed =
            found.map_or_else(|| world::observes_absence(dir, name), |node| node.observed);
        if observed {
            let path = world::child_path(dir, name).map_err(|error| self.failed(&error))?;
            trace.recorder.looked_up(&path, world::seen(dir, found));
        }
        Ok(())
    }
}
