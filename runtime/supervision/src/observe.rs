//! What every actor is doing, answered even when the actor cannot.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::exit::Exit;
use crate::lock;
use crate::mailbox::Depth;

/// How long an actor may take to answer before its last snapshot is shown as busy.
pub const OBSERVE_WITHIN: Duration = Duration::from_millis(250);

/// Questions that may wait at one actor; more of them are answered from the snapshot at once.
const PROBES_MAX: usize = 4;

/// Whether an actor can take up a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It answered and is ready for the next message.
    Alive,
    /// It says so itself, is inside an atomic response, or did not answer in time.
    Busy,
    /// It has ended, or waits for its restart.
    Dead,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Busy => "busy",
            Self::Dead => "dead",
        })
    }
}

/// One line of status about one actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The name of the child.
    pub name: Arc<str>,
    /// Whether it can take up a message.
    pub state: State,
    /// How often it was rebuilt, for whatever reason.
    pub restarts: u32,
    /// How many messages wait in its ports.
    pub queued: usize,
    /// What it last said about itself, or how it ended.
    pub detail: String,
}

/// Where an actor publishes what it is doing, on each transition. Clones write to the same line.
#[derive(Clone, Debug)]
pub struct Status(Arc<Cell>);

impl Status {
    /// Publishes that the actor waits for messages.
    pub fn idle(&self, detail: impl Into<String>) {
        self.publish(false, detail.into());
    }

    /// Publishes that the actor is working on something.
    pub fn busy(&self, detail: impl Into<String>) {
        self.publish(true, detail.into());
    }

    fn publish(&self, busy: bool, detail: String) {
        let mut line = lock(&self.0.line);
        line.busy = busy;
        line.detail = detail;
    }
}

/// Asks an incarnation whether it is free to take up a message.
pub(crate) type Probe = oneshot::Sender<bool>;

/// What is known of one actor over all its incarnations.
pub(crate) struct Cell {
    name: Arc<str>,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    births: u32,
    busy: bool,
    detail: String,
    live: Option<Live>,
}

struct Live {
    probes: mpsc::Sender<Probe>,
    mail: Arc<dyn Depth>,
}

impl Cell {
    /// Enters a new incarnation; returns its number and where its probes arrive.
    pub(crate) fn born(&self, mail: Arc<dyn Depth>) -> (u32, mpsc::Receiver<Probe>) {
        let (probes, incoming) = mpsc::channel(PROBES_MAX);
        let mut line = lock(&self.line);
        line.births += 1;
        line.busy = false;
        line.detail.clear();
        line.live = Some(Live { probes, mail });
        (line.births, incoming)
    }

    /// Enters the end of incarnation `number`, unless a later one lives already.
    pub(crate) fn died(&self, number: u32, exit: &Exit) {
        let mut line = lock(&self.line);
        if line.births == number {
            line.live = None;
            line.detail = exit.to_string();
        }
    }

    pub(crate) fn restarts(&self) -> u32 {
        lock(&self.line).births.saturating_sub(1)
    }

    /// Sends a probe; `None` when the actor is dead or too many probes wait already.
    fn probe(&self) -> Option<oneshot::Receiver<bool>> {
        let probes = lock(&self.line).live.as_ref()?.probes.clone();
        let (probe, answer) = oneshot::channel();
        probes.try_send(probe).ok()?;
        Some(answer)
    }

    fn snapshot(&self, free: Option<bool>) -> Snapshot {
        let line = lock(&self.line);
        let state = match (&line.live, free) {
            (None, _) => State::Dead,
            (Some(_), Some(true)) if !line.busy => State::Alive,
            (Some(_), _) => State::Busy,
        };
        Snapshot {
            name: Arc::clone(&self.name),
            state,
            restarts: line.births.saturating_sub(1),
            queued: line.live.as_ref().map_or(0, |live| live.mail.depth()),
            detail: line.detail.clone(),
        }
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The lines of all actors, in the order they first started.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Vec<Arc<Cell>>>);

impl Board {
    /// Returns the line of `name`, a new one when there is none.
    pub(crate) fn cell(&self, name: &Arc<str>) -> Arc<Cell> {
        let mut cells = lock(&self.0);
        if let Some(cell) = cells.iter().find(|cell| cell.name == *name) {
            return Arc::clone(cell);
        }
        let cell = Arc::new(Cell {
            name: Arc::clone(name),
            line: Mutex::default(),
        });
        cells.push(Arc::clone(&cell));
        cell
    }

    pub(crate) fn status(&self, name: &Arc<str>) -> Status {
        Status(self.cell(name))
    }

    pub(crate) fn restarts(&self, name: &str) -> u32 {
        let cells = lock(&self.0);
        let cell = cells.iter().find(|cell| &*cell.name == name);
        cell.map_or(0, |cell| cell.restarts())
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        lock(&self.0).iter().any(|cell| &*cell.name == name)
    }

    pub(crate) fn forget(&self, name: &str) {
        lock(&self.0).retain(|cell| &*cell.name != name);
    }

    /// Asks all actors at once and returns after `within` at the latest.
    pub(crate) async fn observe_all(&self, within: Duration) -> Vec<Snapshot> {
        let deadline = Instant::now() + within;
        let cells = lock(&self.0).clone();
        let asked: Vec<_> = cells.iter().map(|cell| cell.probe()).collect();
        let mut snapshots = Vec::with_capacity(cells.len());
        for (cell, answer) in cells.iter().zip(asked) {
            let free = match answer {
                Some(answer) => timeout_at(deadline, answer).await.ok().and_then(Result::ok),
                None => None,
            };
            snapshots.push(cell.snapshot(free));
        }
        snapshots
    }
}
