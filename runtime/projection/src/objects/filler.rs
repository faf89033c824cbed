//! Copies what was read into the pool, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, bounded};
use hd_store::{Id, Pool};

use super::Counts;

/// Copies that may wait; beyond, an object stays to be asked for by the next view.
const WAITING_MAX: usize = 8192;
/// After so many failures in a row (a full disk) nothing is copied any more.
const FAILURES_MAX: u32 = 8;

/// Where wishes go.
#[derive(Debug)]
pub(crate) struct Filler(Sender<Id>);

/// The other end.
#[derive(Debug)]
pub(crate) struct FillThread {
    wishes: Receiver<Id>,
    gate: Option<Receiver<()>>,
    pool: Arc<Pool>,
    counts: Arc<Counts>,
}

/// Makes both ends; with a gate nothing is copied before something came through it, and nothing at all
/// once it is closed.
pub(crate) fn pair(
    pool: Arc<Pool>,
    counts: Arc<Counts>,
    gate: Option<Receiver<()>>,
) -> (Filler, FillThread) {
    let (wishes, incoming) = bounded(WAITING_MAX);
    let thread = FillThread {
        wishes: incoming,
        gate,
        pool,
        counts,
    };
    (Filler(wishes), thread)
}

impl Filler {
    pub(crate) fn fill(&self, id: Id) {
        // Full means that the disk is slow: then it is not asked for more.
        let _ = self.0.try_send(id);
    }
}

impl FillThread {
    pub(super) fn run(self) {
        if self.gate.as_ref().is_some_and(|gate| gate.recv().is_err()) {
            return;
        }
        if let Err(error) = self.pool.forget_other_boots() {
            tracing::debug!(%error, "raw copies of another boot stay");
        }
        let mut failures = 0;
        for id in &self.wishes {
            match self.pool.fill(&id) {
                Ok(made) => {
                    failures = 0;
                    self.counts
                        .filled
                        .fetch_add(u64::from(made), Ordering::Relaxed);
                }
                Err(error) => {
                    failures += 1;
                    tracing::debug!(%error, %id, "a raw copy was not made");
                    if failures == FAILURES_MAX {
                        return;
                    }
                }
            }
        }
    }
}
