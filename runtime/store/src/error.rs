//! What can go wrong in the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::Id;

/// The result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Tells why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call on a file of the store or of the project failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A stream given by the caller failed while it was read.
    #[error("cannot read the content to store: {source}")]
    Source {
        /// The cause.
        source: io::Error,
    },
    /// Nothing is stored under this id.
    #[error("{id} is not in the store")]
    NotFound {
        /// What was asked for.
        id: Id,
    },
    /// Every stored copy of this id is damaged; no byte of it was served.
    #[error("{id} is damaged in segment {segment} at offset {offset}: {reason}")]
    Damaged {
        /// What was asked for.
        id: Id,
        /// The segment that holds the damaged copy.
        segment: String,
        /// Where its record starts, in bytes.
        offset: u64,
        /// What did not match.
        reason: &'static str,
    },
    /// A root file cannot be understood.
    #[error("the reference file {} is damaged: {reason}", path.display())]
    DamagedRef {
        /// The file.
        path: PathBuf,
        /// What did not match.
        reason: String,
    },
    /// A root points to something that is not stored (any more).
    #[error("reference `{name}` would point to {id}, which is not in the store")]
    DanglingRef {
        /// The reference.
        name: String,
        /// The missing target.
        id: Id,
    },
    /// The store was written by a newer program.
    #[error(
        "the store {} has format {found}, this program knows formats up to {supported}: use a newer hd",
        path.display()
    )]
    NewerFormat {
        /// The store.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest version this program knows.
        supported: u32,
    },
    /// The format file of the store cannot be understood.
    #[error("the format file {} is damaged: {reason}", path.display())]
    BadFormat {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A node or history entry is larger than a record may be.
    #[error("an object of {len} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// Its size in bytes.
        len: usize,
        /// The largest size in bytes.
        limit: usize,
    },
    /// A writer failed before; what it wrote since its last commit is void.
    #[error("this store writer failed before and takes nothing more; open a new one")]
    WriterFailed,
    /// Another command works on what it found in the store, or another collection runs, for
    /// longer than the caller wanted to wait.
    #[error("the store is in use by another command{}: {} is locked", named(holders), path.display())]
    Busy {
        /// The lock that is held.
        path: PathBuf,
        /// Processes that hold it, as far as the kernel tells.
        holders: Vec<u32>,
    },
    /// A live node cannot be understood, so a collection stopped before it deleted anything.
    #[error("cannot follow the links of {id}, reached from `{root}`: {reason}")]
    Unfollowable {
        /// The node.
        id: Id,
        /// The root from which it was reached.
        root: String,
        /// Why.
        reason: String,
    },
    /// A worker thread ended unexpectedly.
    #[error("a store worker ended unexpectedly")]
    WorkerLost,
}

fn named(holders: &[u32]) -> String {
    match holders {
        [] => String::new(),
        pids => {
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            format!(" (process {})", pids.join(", "))
        }
    }
}

impl Error {
    /// Makes the conversion of an I/O error that names the action and the file.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Error {
        let path = path.as_ref().to_owned();
        move |source| Error::Io {
            action,
            path,
            source: source.into(),
        }
    }
}
