//! Running commands in sandboxes that run already.

use crate::cgroup::Cgroup;
use crate::error::{Context, Result, SandboxError};
use crate::helper::Role;
use crate::launcher::{Launcher, PROMPT};
use crate::record::Record;
use crate::sandbox::{Entered, Sandbox, pid_of};
use crate::spec::{Command, Limits, Network, Privileges};
use crate::stdio::Stdio;
use crate::terminal::Terminal;
use crate::wire::{Job, Report, Rights};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

impl Launcher {
    /// Runs a command in a running sandbox, with the rights of the sandbox. Returns when the command executes.
    ///
    /// Errors: [`SandboxError::Failed`] says why it could not be executed ([`crate::Failure::exit_code`]).
    pub fn enter(&self, sandbox: &Sandbox, command: &Command, stdio: Stdio) -> Result<Entered> {
        self.enter_limited(sandbox, None, command, stdio)
    }

    /// The same within the limits of control groups: those of the sandbox.
    pub fn enter_limited(
        &self,
        sandbox: &Sandbox,
        group: Option<&Cgroup>,
        command: &Command,
        stdio: Stdio,
    ) -> Result<Entered> {
        let (target, rights) = ((sandbox.pid(), sandbox.as_fd()), sandbox.rights());
        let groups = group.map_or(&[][..], Cgroup::directories);
        self.enter_with(target, rights, groups, command, stdio)
    }

    /// Runs a command in a sandbox that another process started, found by its record; `None` when it has ended.
    ///
    /// `rights` are those it was started with (see [`Spec`]), `groups` those of [`Cgroup::directories`]. Errors as before.
    pub fn enter_recorded(
        &self,
        record: &Record,
        rights: (Privileges, Limits, Network),
        groups: &[PathBuf],
        command: &Command,
        stdio: Stdio,
    ) -> Result<Option<Entered>> {
        let Some(pidfd) = record.open() else {
            return Ok(None);
        };
        let (privileges, limits, network) = rights;
        let rights = Rights {
            privileges,
            limits,
            network,
        };
        let target = (record.pid, pidfd.as_fd());
        match self.enter_with(target, rights, groups, command, stdio) {
            Err(error) if is_its_end(&error, pidfd.as_fd()) => Ok(None),
            entered => entered.map(Some),
        }
    }

    fn enter_with(
        &self,
        (pid, pidfd): (u32, BorrowedFd<'_>),
        rights: Rights,
        groups: &[PathBuf],
        command: &Command,
        stdio: Stdio,
    ) -> Result<Entered> {
        let job = Job::Enter {
            rights,
            command: command.clone(),
            user: own_user_namespace(pid)?,
            wires: stdio.wires(),
        };
        let mut fds = vec![pidfd];
        fds.extend(stdio.fds());
        let mut process = self
            .helper()
            .start_job_in(Role::Enter, &job, &fds, groups)?;
        process.set_gentle();
        let mut terminal = None;
        loop {
            match process.report(PROMPT)? {
                (Report::Terminal, fds) => terminal = fds.into_iter().next().map(Terminal::new),
                (Report::Started, fds) => {
                    let workload = fds.first().and_then(pid_of);
                    return Ok(Entered::new(process, workload, terminal));
                }
                (other, _) => return Err(process.unexpected(&other)),
            }
        }
    }
}

/// How long a sandbox that has begun to end may take: pid 1 waits until all others in it are dead.
const ENDING: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

/// Tells whether a sandbox could not be entered because it ended meanwhile.
fn is_its_end(error: &SandboxError, pidfd: BorrowedFd<'_>) -> bool {
    let patience = if has_begun_to_end(error) {
        ENDING
    } else {
        Timespec::default()
    };
    let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
    poll(&mut ended, Some(&patience)).is_ok_and(|ready| ready > 0)
}

/// Tells whether the kernel refused because pid 1 of the sandbox is exiting, though its pidfd does not say so yet.
///
/// It lays its namespaces down first (`setns` then fails with ESRCH), kills and awaits all others (`fork` into the
/// namespace then fails with ENOMEM, pid_namespaces(7)), and only then counts as ended.
fn has_begun_to_end(error: &SandboxError) -> bool {
    let refusals = [Errno::SRCH, Errno::NOMEM].map(Errno::raw_os_error);
    matches!(error, SandboxError::Failed(failure) if refusals.contains(&failure.errno))
}

/// Tells whether a process lives in another user namespace than this one.
fn own_user_namespace(pid: u32) -> Result<bool> {
    let of = |who: &str| {
        let path = format!("/proc/{who}/ns/user");
        std::fs::read_link(&path).what(|| format!("read {path}"))
    };
    Ok(of(&pid.to_string())? != of("self")?)
}
