//! Lanes: threads with an event loop each, found by name and replaced when dead.

use std::collections::btree_map::{BTreeMap, Entry};
use std::io;
use std::sync::Mutex;
use std::thread;

use actix::{Arbiter, System};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::lock;

/// Where an actor runs. Actors on one lane take turns; actors on different lanes run in parallel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The thread of the root tree.
    #[default]
    Main,
    /// A thread of its own, shared by all who name it.
    Named(&'static str),
}

/// The threads behind the lanes.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// Everything runs on the main lane: one clock, for tests.
    single: bool,
    live: Mutex<BTreeMap<&'static str, Thread>>,
    replaced: Mutex<Vec<(&'static str, Thread)>>,
}

#[derive(Debug)]
struct Thread {
    arbiter: Arbiter,
    /// Yields `None` once the thread's event loop is gone.
    over: mpsc::Receiver<()>,
}

impl Lanes {
    pub(crate) fn new(single: bool) -> Self {
        Self {
            single,
            ..Self::default()
        }
    }

    /// Runs `start` on `lane`, on a fresh thread when the lane's thread has died.
    pub(crate) fn run(&self, lane: Lane, start: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let name = match lane {
            Lane::Named(name) if !self.single => name,
            _ => {
                System::current().arbiter().spawn_fn(start);
                return Ok(());
            }
        };
        let mut live = lock(&self.live);
        if let Some(thread) = live.get(name)
            && !thread.arbiter.alive()
            && let Some(dead) = live.remove(name)
        {
            tracing::warn!(lane = name, "lane died, starting it afresh");
            lock(&self.replaced).push((name, dead));
        }
        let thread = match live.entry(name) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Thread::spawn()?),
        };
        thread.arbiter.spawn_fn(start);
        Ok(())
    }

    /// Stops all threads and joins those that end before `deadline`; returns the lanes of the others.
    pub(crate) async fn join(&self, deadline: Instant) -> Vec<&'static str> {
        let mut threads = std::mem::take(&mut *lock(&self.replaced));
        threads.extend(std::mem::take(&mut *lock(&self.live)));
        for (_, thread) in &threads {
            thread.arbiter.stop();
        }
        let mut overdue = Vec::new();
        for (name, mut thread) in threads {
            let is_over = timeout_at(deadline, thread.over.recv()).await.is_ok();
            if !is_over
                || timeout_at(deadline, joined(name, thread.arbiter))
                    .await
                    .is_err()
            {
                overdue.push(name);
            }
        }
        overdue
    }
}

/// Waits for a thread whose event loop is over: it ends with the last of the blocking jobs that were begun there.
async fn joined(name: &'static str, arbiter: Arbiter) {
    let (done, ended) = oneshot::channel();
    let join = move || {
        // Nobody may wait any more.
        let _ = done.send(arbiter.join().is_ok());
    };
    let waiter = thread::Builder::new()
        .name(format!("join {name}"))
        .spawn(join);
    if waiter.is_err() || ended.await == Ok(false) {
        tracing::error!(
            lane = name,
            "lane ended by a panic, or could not be waited for"
        );
    }
}

impl Thread {
    fn spawn() -> io::Result<Self> {
        let arbiter = Arbiter::try_new()?;
        let (held, over) = mpsc::channel(1);
        arbiter.spawn(async move {
            // Lives until the event loop is torn down, and drops `held` then.
            let _held = held;
            std::future::pending::<()>().await;
        });
        Ok(Self { arbiter, over })
    }
}
