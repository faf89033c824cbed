//! What all trees of a process share: lanes, pools, the status board, the hurry of a second Ctrl-C.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::System;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::lane::Lanes;
use crate::lock;
use crate::observe::{Board, Snapshot};
use crate::panics;
use crate::pool::Pool;

/// Runs `main` on this thread as the main lane, and returns what it returns.
///
/// # Errors
/// When the system refuses the event loop.
pub fn block_on<F: Future>(main: F) -> io::Result<F::Output> {
    let event_loop = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(System::with_tokio_rt(|| event_loop).block_on(main))
}

/// Lanes, pools and status of one process. Clones are the same; create it inside [`block_on`].
#[derive(Clone)]
pub struct Runtime(Arc<Shared>);

struct Shared {
    lanes: Lanes,
    board: Board,
    pools: Mutex<Vec<Pool>>,
    hurry: watch::Sender<bool>,
}

/// What was still busy when [`Runtime::close`] had to return.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// Names of pools.
    pub pools: Vec<String>,
    /// Names of lanes.
    pub lanes: Vec<String>,
}

impl Overdue {
    /// Tells whether everything had ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pools.is_empty() && self.lanes.is_empty()
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime {
    /// Creates a runtime without threads, and installs the panic hook.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Lanes::new(false))
    }

    /// Creates a runtime that runs every lane on the main one, so that all share its (paused) clock.
    #[cfg(feature = "testkit")]
    #[must_use]
    pub fn single_lane() -> Self {
        Self::with(Lanes::new(true))
    }

    fn with(lanes: Lanes) -> Self {
        panics::install();
        Self(Arc::new(Shared {
            lanes,
            board: Board::default(),
            pools: Mutex::default(),
            hurry: watch::Sender::new(false),
        }))
    }

    /// Starts a pool that [`Runtime::close`] drains; see [`Pool::new`].
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn pool(&self, name: &str, threads: usize, queue_max: usize) -> io::Result<Pool> {
        let pool = Pool::new(name, threads, queue_max)?;
        lock(&self.0.pools).push(pool.clone());
        Ok(pool)
    }

    /// Ends the pools of this name before the end of the runtime: whose they were is gone.
    ///
    /// Returns whether their threads ended within `within`; others are left to the end of the process.
    pub async fn close_pool(&self, name: &str, within: Duration) -> bool {
        let ended: Vec<Pool> = {
            let mut pools = lock(&self.0.pools);
            let (ended, rest) = pools.drain(..).partition(|pool| pool.name() == name);
            *pools = rest;
            ended
        };
        let deadline = Instant::now() + within;
        let mut all = true;
        for pool in ended {
            all &= pool.close(deadline).await;
        }
        all
    }

    /// Asks all actors what they are doing, in the order they first started.
    ///
    /// Returns within `within` (usually [`OBSERVE_WITHIN`](crate::OBSERVE_WITHIN)) whatever they do:
    /// an actor that does not answer is shown with its last snapshot, as busy or dead.
    pub async fn observe_all(&self, within: Duration) -> Vec<Snapshot> {
        self.0.board.observe_all(within).await
    }

    /// Returns how often the actor `name` was rebuilt.
    #[must_use]
    pub fn restarts(&self, name: &str) -> u32 {
        self.0.board.restarts(name)
    }

    /// Ends what is left after the root tree has ended: drains the pools, joins the lanes.
    ///
    /// Returns what was still busy after `within`; its threads are left to the end of the process.
    pub async fn close(&self, within: Duration) -> Overdue {
        let deadline = Instant::now() + within;
        let mut overdue = Overdue::default();
        let pools = std::mem::take(&mut *lock(&self.0.pools));
        for pool in pools {
            if !pool.close(deadline).await {
                overdue.pools.push(pool.name().to_owned());
            }
        }
        for lane in self.0.lanes.join(deadline).await {
            tracing::error!(lane, "still busy at the deadline, left behind");
            overdue.lanes.push(lane.to_owned());
        }
        overdue
    }

    pub(crate) fn lanes(&self) -> &Lanes {
        &self.0.lanes
    }

    pub(crate) fn board(&self) -> &Board {
        &self.0.board
    }

    pub(crate) fn hurry(&self) -> watch::Receiver<bool> {
        self.0.hurry.subscribe()
    }

    pub(crate) fn hurry_up(&self) {
        self.0.hurry.send_replace(true);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("lanes", &self.0.lanes)
            .field("pools", &lock(&self.0.pools))
            .finish_non_exhaustive()
    }
}
