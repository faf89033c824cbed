//! The supervising task of one tree: starts children, waits for their ends, does what the policy says.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Event, Roster, TreeSpec};
use crate::child::{ChildSpec, Control, Running};
use crate::exit::ChildDown;
use crate::life::Order;
use crate::lock;
use crate::policy::{Decision, Place, Policy, Restart};
use crate::runtime::Runtime;

/// How long a child that was dropped may still hold on to its lane before it is left behind.
const LET_GO: Duration = Duration::from_millis(500);

/// How a supervising task ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    Stopped,
    GaveUp(String),
}

struct Slot {
    spec: ChildSpec,
    epoch: u64,
    state: State,
}

enum State {
    Due(Instant),
    Up(Running),
    Down,
}

/// One incarnation of a tree.
pub(super) struct Supervisor {
    name: Arc<str>,
    runtime: Runtime,
    policy: Policy,
    stop_together: bool,
    roster: Arc<Mutex<Roster>>,
    slots: Vec<Slot>,
    last_epoch: u64,
    inbox: mpsc::UnboundedReceiver<Event>,
    events: mpsc::UnboundedSender<Event>,
}

impl Supervisor {
    /// Starts all children of the roster, in order, before it returns.
    pub(super) fn start(tree: &TreeSpec, runtime: &Runtime) -> Self {
        let (events, inbox) = mpsc::unbounded_channel();
        lock(&tree.roster).tree = Some((events.clone(), runtime.clone()));
        let mut supervisor = Self {
            name: Arc::clone(&tree.name),
            runtime: runtime.clone(),
            policy: Policy::new(tree.strategy, tree.intensity, tree.backoff),
            stop_together: tree.stop_together,
            roster: Arc::clone(&tree.roster),
            slots: Vec::new(),
            last_epoch: 0,
            inbox,
            events,
        };
        supervisor.take_up_new();
        supervisor
    }

    pub(super) fn events(&self) -> mpsc::UnboundedSender<Event> {
        self.events.clone()
    }

    pub(super) async fn run(mut self) -> Verdict {
        loop {
            let due = self.next_due();
            let event = tokio::select! {
                biased;
                event = self.inbox.recv() => event,
                () = until(due) => {
                    self.start_due();
                    continue;
                }
            };
            match event {
                Some(Event::Down(down)) => {
                    if let Some(cause) = self.on_down(down).await {
                        return Verdict::GaveUp(cause);
                    }
                }
                Some(Event::Reconcile(done)) => {
                    self.reconcile().await;
                    // The caller may not wait any more.
                    let _ = done.send(());
                }
                Some(Event::Stop) | None => {
                    self.stop(0..self.slots.len()).await;
                    return Verdict::Stopped;
                }
            }
        }
    }

    /// Handles the end of a child; returns the cause when the tree has to give up.
    async fn on_down(&mut self, down: ChildDown) -> Option<String> {
        let ChildDown { child, epoch, exit } = down;
        let of = self.slots.len();
        let ours = |slot: &Slot| slot.epoch == epoch && matches!(slot.state, State::Up(_));
        // A late report of an incarnation that was stopped or replaced means nothing any more.
        let index = self.slots.iter().position(ours)?;
        let slot = self.slots.get_mut(index)?;
        slot.state = State::Down;
        let restart = slot.spec.restart;
        let place = Place { index, of, restart };
        match self.policy.on_exit(place, &exit, Instant::now().into_std()) {
            Decision::Ignore => {
                tracing::debug!(tree = %self.name, %child, %exit, "child is down for good");
                None
            }
            Decision::Restart { children, after } => {
                tracing::warn!(tree = %self.name, %child, %exit, ?after, "restarting child");
                self.rebuild(index, children, after).await;
                None
            }
            Decision::Escalate => {
                tracing::error!(tree = %self.name, %child, %exit, "too many restarts, giving up");
                self.stop(0..of).await;
                Some(format!("{child} {exit}"))
            }
        }
    }

    /// Stops what runs of `children` and makes it due again, with the one that `ended`.
    ///
    /// A sibling that was down for good stays down, and one that is never restarted is not either.
    async fn rebuild(&mut self, ended: usize, children: Range<usize>, after: Duration) {
        let revived: Vec<usize> = children
            .clone()
            .filter(|&index| {
                index == ended
                    || self.slots.get(index).is_some_and(|slot| {
                        slot.spec.restart != Restart::Never && !matches!(slot.state, State::Down)
                    })
            })
            .collect();
        self.stop(children).await;
        let at = Instant::now() + after;
        for index in revived {
            if let Some(slot) = self.slots.get_mut(index) {
                slot.state = State::Due(at);
            }
        }
    }

    /// Makes the slots follow the roster.
    async fn reconcile(&mut self) {
        let wanted: Vec<u64> = lock(&self.roster)
            .children
            .iter()
            .map(|child| child.id)
            .collect();
        for index in (0..self.slots.len()).rev() {
            if !self
                .slots
                .get(index)
                .is_some_and(|slot| wanted.contains(&slot.spec.id))
            {
                self.stop(index..index + 1).await;
                let removed = self.slots.remove(index);
                removed.spec.forget(self.runtime.board());
            }
        }
        self.take_up_new();
    }

    fn take_up_new(&mut self) {
        for spec in &lock(&self.roster).children {
            if !self.slots.iter().any(|slot| slot.spec.id == spec.id) {
                self.slots.push(Slot {
                    spec: spec.clone(),
                    epoch: 0,
                    state: State::Due(Instant::now()),
                });
            }
        }
        self.start_due();
    }

    fn next_due(&self) -> Option<Instant> {
        let due = self.slots.iter().filter_map(|slot| match slot.state {
            State::Due(at) => Some(at),
            _ => None,
        });
        due.min()
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        for slot in &mut self.slots {
            if matches!(slot.state, State::Due(at) if at <= now) {
                self.last_epoch += 1;
                slot.epoch = self.last_epoch;
                slot.state = State::Up(slot.spec.launch(slot.epoch, &self.events, &self.runtime));
            }
        }
    }

    /// Stops what runs of `range`, last first, and leaves it down.
    async fn stop(&mut self, range: Range<usize>) {
        let slots = self.slots.get_mut(range).unwrap_or_default();
        if self.stop_together {
            for slot in slots.iter() {
                if let State::Up(running) = &slot.state {
                    running.ask_to_stop();
                }
            }
        }
        for slot in slots.iter_mut().rev() {
            if let State::Up(mut running) = std::mem::replace(&mut slot.state, State::Down) {
                stop_child(&slot.spec, &mut running, self.runtime.hurry()).await;
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Asks a child to stop, drops it after its grace, and leaves it behind if its lane is stuck.
async fn stop_child(spec: &ChildSpec, running: &mut Running, mut hurry: watch::Receiver<bool>) {
    let asked = Instant::now();
    running.ask_to_stop();
    let Control::Actor(orders) = &running.control else {
        // It hurries by itself; each of its own children is bounded.
        let _ = (&mut running.ended).await;
        return;
    };
    let grace = (spec.grace)();
    tokio::select! {
        biased;
        _ = &mut running.ended => {
            tracing::debug!(child = %spec.name, took = ?asked.elapsed(), "stopped");
            return;
        }
        _ = hurry.wait_for(|hurry| *hurry) => {}
        () = sleep(grace) => tracing::warn!(child = %spec.name, ?grace, "did not stop in time"),
    }
    // It may be over just now.
    let _ = orders.send(Order::Kill);
    if timeout(LET_GO, &mut running.ended).await.is_err() {
        tracing::error!(child = %spec.name, "its lane is stuck, left behind");
    }
}
