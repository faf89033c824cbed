//! Directories waiting to be looked at, shared by the threads of a scan.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::segment::lock;

/// The last in is the first out, so that few directories wait at any time.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: Vec<T>,
    busy: usize,
    given_up: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(first: T) -> Queue<T> {
        let state = State {
            waiting: vec![first],
            busy: 0,
            given_up: false,
        };
        Queue {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// Takes the next task; `None` when all is done or somebody gave up.
    pub(super) fn take(&self) -> Option<T> {
        let mut state = lock(&self.state);
        loop {
            if state.given_up {
                return None;
            }
            if let Some(task) = state.waiting.pop() {
                state.busy += 1;
                return Some(task);
            }
            if state.busy == 0 {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends a task and adds those it led to.
    pub(super) fn done(&self, more: &mut Vec<T>) {
        let mut state = lock(&self.state);
        state.busy -= 1;
        let woken = !more.is_empty() || state.busy == 0;
        // The first one added is to be taken first.
        state.waiting.extend(more.drain(..).rev());
        if woken {
            self.changed.notify_all();
        }
    }

    /// Ends the work of all threads.
    pub(super) fn give_up(&self) {
        lock(&self.state).given_up = true;
        self.changed.notify_all();
    }
}
