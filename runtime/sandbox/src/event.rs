//! What a starting or ended sandbox tells hd.

use crate::sandbox::Sandbox;
use crate::terminal::Terminal;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A step on the way of a sandbox to its running command.
#[derive(Debug)]
pub enum Event {
    /// A FUSE mount was made ([`crate::MountOp::Fuse`]): serve this connection now.
    Fuse {
        /// The name of the operation.
        name: String,
        /// The connection (`/dev/fuse`).
        fd: OwnedFd,
    },
    /// An overlay's upper directory ([`crate::MountOp::Overlay`]), on its own file system: capture walks it from here.
    Upper {
        /// The name of the operation.
        name: String,
        /// The directory, opened for reading.
        fd: OwnedFd,
    },
    /// What is mounted at a path of the view ([`crate::MountOp::Report`]).
    Mount {
        /// The name of the operation.
        name: String,
        /// The mount, opened as a path only.
        fd: OwnedFd,
    },
    /// The terminal of the command ([`crate::Command::tty`]), opened inside.
    Terminal(Terminal),
    /// The command runs: `execve` succeeded.
    Started(Sandbox),
    /// An operation that copies is at work: told about once a second.
    Going,
    /// The operations of [`crate::Launcher::run_in`] are all done.
    Done,
    /// The start failed. Nothing is left of the sandbox.
    Failed(Failure),
}

/// The phase in which a start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The helper process itself.
    Helper,
    /// Making or joining namespaces.
    Namespaces,
    /// A mount operation.
    Mount,
    /// Changing to the new root.
    Root,
    /// Opening the terminal.
    Terminal,
    /// Limits, ids, capabilities, seccomp.
    Privileges,
    /// The working directory.
    WorkingDirectory,
    /// Finding or executing the program.
    Exec,
}

/// Why a start failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The phase.
    pub stage: Stage,
    /// The system's error number; 0 when there is none.
    pub errno: i32,
    /// What was tried and what the kernel said.
    pub message: String,
}

impl Failure {
    /// Gives the conventional exit code: 127 for a program that was not found, 126 for one that cannot be executed,
    /// 125 for a sandbox that could not be made.
    pub fn exit_code(&self) -> i32 {
        match (self.stage, self.errno) {
            (Stage::Exec, libc::ENOENT) => 127,
            (Stage::Exec | Stage::WorkingDirectory, _) => 126,
            _ => 125,
        }
    }

    pub(crate) fn new(stage: Stage, what: impl fmt::Display, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        Self {
            stage,
            errno: error.raw_os_error().unwrap_or(0),
            message: format!("{what}: {error}"),
        }
    }

    /// Says in front of the message what the failure belongs to.
    pub(crate) fn during(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// Code or signal.
    pub end: End,
    /// What the command and its reaped descendants used; absent when pid 1 was killed.
    pub usage: Option<Usage>,
}

impl ExitStatus {
    /// Tells whether the command ended with code 0.
    pub fn success(&self) -> bool {
        self.end == End::Code(0)
    }

    /// Gives the code as a shell does: the code itself, or 128 + n for signal n.
    pub fn code(&self) -> i32 {
        match self.end {
            End::Code(code) => code,
            End::Signal(signal) => 128 + signal,
        }
    }
}

/// The way a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Resources used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Largest resident set of one process, bytes.
    pub max_rss: u64,
}
