//! A running sandbox and a command that entered one.

use crate::error::Result;
use crate::event::ExitStatus;
use crate::process::Process;
use crate::record::Record;
use crate::terminal::Terminal;
use crate::wire::Rights;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// A running sandbox. Dropping it kills every process in it.
#[derive(Debug)]
pub struct Sandbox {
    process: Process,
    rights: Rights,
    workload: Option<u32>,
}

impl Sandbox {
    pub(crate) fn new(process: Process, rights: Rights, workload: Option<u32>) -> Self {
        Self {
            process,
            rights,
            workload,
        }
    }

    pub(crate) fn rights(&self) -> Rights {
        self.rights
    }

    /// Gives the name of the spec.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// Gives the process id of its pid 1, as seen by hd.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Gives the process id of the command, as seen by hd, as far as it is known.
    pub fn workload_pid(&self) -> Option<u32> {
        self.workload
    }

    /// Gives what a later hd needs to find and kill this sandbox ([`crate::reap_recorded`]).
    pub fn record(&self) -> Result<Record> {
        Record::of(self.pid())
    }

    /// Sends a signal to the whole process group of the command.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.process.signal(signal)
    }

    /// Kills pid 1 and thereby every process of the sandbox.
    pub fn kill(&self) -> Result<()> {
        self.process.kill()
    }

    /// Waits until every process of the sandbox is gone. `None` when `timeout` passed first; no timeout waits for ever.
    ///
    /// May be called from several threads and again after the end.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Option<ExitStatus>> {
        self.process.wait(timeout)
    }
}

/// The pidfd of pid 1: readable once every process of the sandbox is gone.
impl AsFd for Sandbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.pidfd()
    }
}

/// A command that runs in a sandbox beside its main command. Dropping it kills its process group.
#[derive(Debug)]
pub struct Entered {
    process: Process,
    workload: Option<u32>,
    terminal: Option<Terminal>,
}

impl Entered {
    pub(crate) fn new(process: Process, workload: Option<u32>, terminal: Option<Terminal>) -> Self {
        Self {
            process,
            workload,
            terminal,
        }
    }

    /// Gives the process id of the command, as seen by hd, as far as it is known.
    pub fn workload_pid(&self) -> Option<u32> {
        self.workload
    }

    /// Gives its terminal away; present once when [`crate::Command::tty`] was set.
    pub fn take_terminal(&mut self) -> Option<Terminal> {
        self.terminal.take()
    }

    /// Sends a signal to the process group of the command.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits for the end of the command. `None` when `timeout` passed first; no timeout waits for ever.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Option<ExitStatus>> {
        self.process.wait(timeout)
    }
}

/// Readable once the command has ended.
impl AsFd for Entered {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.pidfd()
    }
}

/// Reads which process a pidfd means, in the numbering of hd.
pub(crate) fn pid_of(pidfd: &OwnedFd) -> Option<u32> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    info.lines()
        .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
}
