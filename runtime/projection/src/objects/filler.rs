//! Copies what was read into the pool, on a thread of its own, while nobody reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use hd_store::{Id, Pool};

use super::Counts;

/// Wishes that may wait to be taken in; beyond, an object stays to be asked for by the next view.
const WISHES_MAX: usize = 8192;
/// Wishes that are taken in before copies are made although somebody still reads.
const WAITING_MAX: usize = 1 << 16;
/// So long nobody must have read anything new: copies want the same processors and the same disk, and a cold read of a
/// whole tree beside them takes a tenth longer and more.
const CALM: Duration = Duration::from_millis(20);
/// Copies are made in the time that nobody else wants: whoever reads waits for the reading alone.
const NICE: i32 = 19;
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
    let (wishes, incoming) = bounded(WISHES_MAX);
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
        let own = Some(rustix::thread::gettid());
        if let Err(error) = rustix::process::setpriority_process(own, NICE) {
            tracing::debug!(%error, "raw copies are made at the usual priority");
        }
        if let Err(error) = self.pool.forget_other_boots() {
            tracing::debug!(%error, "raw copies of another boot stay");
        }
        let (mut waiting, mut failures) = (VecDeque::new(), 0);
        while self.take_in(&mut waiting)
            && let Some(id) = waiting.pop_front()
        {
            failures = if self.copy(&id) { 0 } else { failures + 1 };
            if failures == FAILURES_MAX {
                return;
            }
        }
    }

    /// Takes wishes in until nobody has one; answers whether any are left to be fulfilled.
    fn take_in(&self, waiting: &mut VecDeque<Id>) -> bool {
        if waiting.is_empty() {
            let Ok(first) = self.wishes.recv() else {
                return false;
            };
            waiting.push_back(first);
        } else if self.wishes.is_empty() {
            return true;
        }
        while waiting.len() < WAITING_MAX {
            match self.wishes.recv_timeout(CALM) {
                Ok(id) => waiting.push_back(id),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        true
    }

    /// Makes a copy, unless there is one; answers whether that went well.
    fn copy(&self, id: &Id) -> bool {
        match self.pool.fill(id) {
            Ok(made) => {
                let made = u64::from(made);
                self.counts.filled.fetch_add(made, Ordering::Relaxed);
                true
            }
            Err(error) => {
                tracing::debug!(%error, %id, "a raw copy was not made");
                false
            }
        }
    }
}
