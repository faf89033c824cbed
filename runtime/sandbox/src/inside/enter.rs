//! The helper that runs a command in a running sandbox and stays outside as its parent.

use super::{Outcome, Tried, supervise, workload};
use crate::event::Stage;
use crate::spec::{Command, Network};
use crate::wire::{Channel, Report, Rights};
use nix::sched::{CloneFlags, setns};
use std::os::fd::{AsFd, BorrowedFd};

/// Joins all namespaces of the process behind `target`, runs the command, reports its end.
pub(super) fn run(
    channel: &Channel,
    target: BorrowedFd<'_>,
    user: bool,
    rights: Rights,
    command: &Command,
    stdio: workload::Descriptors,
) -> Outcome<i32> {
    let mut flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if rights.network != Network::Host {
        // The host's network is the one this process is in, and only its administrator may join it.
        flags |= CloneFlags::CLONE_NEWNET;
    }
    if user {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    setns(target, flags).tried(Stage::Namespaces, "join the namespaces of the sandbox")?;
    rustix::process::umask(rustix::fs::Mode::empty());
    let started = workload::start(channel, command, rights, stdio)?;
    let told = channel.send(&Report::Started, &[started.pidfd.as_fd()]);
    if told.is_err() {
        // hd is gone, and the sandbox that lives on must not keep the command.
        supervise::kill(started.pid);
    }
    told.tried(Stage::Helper, "report the start")?;
    supervise::until_end(channel, started.pid).tried(Stage::Helper, "watch the command")?;
    Ok(0)
}
