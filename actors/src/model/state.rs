//! The last published state of the environment: what `status` shows, whoever is busy.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hd_store::Id;

use super::report::{ErrorReport, Report, SCHEMA, StepReport};
use crate::messages::BatchError;

/// What the Invalidator knows, published on each change.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Root of the Env node.
    pub root: Option<Id>,
    /// Id of the composed tree with outputs.
    pub view: Option<Id>,
    /// Project files.
    pub files: u64,
    /// Bytes of the project files.
    pub bytes: u64,
    /// Steps of the latest batch.
    pub steps: Vec<StepReport>,
    /// What stands in the way, if anything does.
    pub error: Option<Failure>,
    /// Generation of steps asked for and answered last.
    pub generations: (u64, u64),
}

/// A failure with the exit code a command gives for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What failed.
    pub error: ErrorReport,
    /// Exit code (DESIGN §12).
    pub exit: i32,
}

impl From<&BatchError> for Failure {
    fn from(error: &BatchError) -> Self {
        let exit = match error.code {
            "config" | "image" => 2,
            "step" => 3,
            "service" => 5,
            "timeout" => 6,
            "sandbox" | "fuse" => 7,
            _ => 1,
        };
        let report = ErrorReport {
            code: error.code.to_owned(),
            message: error.message.clone(),
            place: error.place.clone(),
            hint: error.hint.clone(),
        };
        Self {
            error: report,
            exit,
        }
    }
}

impl State {
    /// Tells whether the steps of all that was asked for are done.
    pub fn is_settled(&self) -> bool {
        self.generations.0 == self.generations.1 && self.generations.0 > 0
    }

    /// Notes that a generation was answered, and tells whether it is the newest of those: one that was
    /// overtaken has no word about what stands in the way now.
    pub fn answered(&mut self, generation: u64) -> bool {
        let is_newest = generation >= self.generations.1;
        self.generations.1 = self.generations.1.max(generation);
        is_newest
    }
}

/// Shared holder of the [`State`]; clones are the same.
#[derive(Clone, Debug)]
pub struct StateBoard {
    state: Arc<Mutex<State>>,
    changed: Arc<tokio::sync::watch::Sender<u64>>,
}

impl Default for StateBoard {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            changed: Arc::new(tokio::sync::watch::Sender::new(0)),
        }
    }
}

impl StateBoard {
    /// Changes the state and tells all who wait.
    pub fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|version| *version += 1);
    }

    /// Gives the state.
    pub fn get(&self) -> State {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until a condition holds; `None` after the time is over.
    pub async fn wait_until(
        &self,
        within: Duration,
        holds: impl Fn(&State) -> bool,
    ) -> Option<State> {
        let mut changes = self.changed.subscribe();
        let wait = async {
            loop {
                let state = self.get();
                if holds(&state) {
                    return Some(state);
                }
                if changes.changed().await.is_err() {
                    return None;
                }
            }
        };
        tokio::time::timeout(within, wait).await.ok().flatten()
    }

    /// Tells of each change from now on.
    pub fn subscribe(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Gives the state as a report, without services and actors.
    pub fn report(&self, name: &str, base: Option<&str>, took: Duration) -> Report {
        let state = self.get();
        Report {
            schema: SCHEMA,
            name: name.to_owned(),
            base: base.map(str::to_owned),
            root: state.root.map(|id| id.to_string()),
            view: state.view.map(|id| id.to_string()),
            files: state.files,
            bytes: state.bytes,
            ms: took.as_secs_f64() * 1000.0,
            steps: state.steps,
            error: state.error.map(|failure| failure.error),
            ..Report::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_answer_settles_nothing_and_takes_no_newer_one_back() {
        let mut state = State {
            generations: (3, 1),
            ..State::default()
        };
        assert!(state.answered(2) && !state.is_settled());
        assert!(state.answered(3) && state.is_settled());
        assert!(!state.answered(2) && state.is_settled());
        assert!(state.answered(3), "a second word about the same one counts");
    }
}
