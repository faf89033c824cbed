//! What can go wrong, on hd's side of the channel.

use crate::event::Failure;
use std::io;
use std::time::Duration;

/// The answer of this crate's operations.
pub type Result<T, E = SandboxError> = std::result::Result<T, E>;

/// An error of starting or steering a sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A system call or a file failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// The helper or pid 1 reported a failure.
    #[error("{0}")]
    Failed(Failure),
    /// Nothing came within the time given.
    #[error("{what}: no answer within {after:?}")]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// The helper process ended without an answer.
    #[error("{what}: the helper process ended unexpectedly{how}")]
    Ended {
        /// What was under way.
        what: String,
        /// How it ended, in parentheses; empty when that is not known.
        how: String,
    },
    /// A message was not understood.
    #[error("{what}: unexpected message: {message}")]
    Protocol {
        /// What was under way.
        what: String,
        /// What was wrong.
        message: String,
    },
    /// The ids of a user namespace could not be set up.
    #[error("id map of the user namespace: {message}")]
    IdMap {
        /// The cause.
        message: String,
    },
}

/// Turns a system error into an error that says what was tried.
pub(crate) trait Context<T> {
    /// Adds what was tried.
    fn what(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn what(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| SandboxError::Io {
            what: what(),
            source: source.into(),
        })
    }
}
