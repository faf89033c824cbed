//! pid 1 of a sandbox: makes the view, starts the command, watches over it.

use super::mounts::Stage as StageDir;
use super::namespace::cut_propagation;
use super::{FAILED, Outcome, Tried, supervise, workload};
use crate::event::Stage;
use crate::spec::{Network, Spec};
use crate::sys;
use crate::wire::{Channel, Order, Report, Rights};
use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsFd, OwnedFd};

/// Runs pid 1 to its end; answers its exit code.
pub(super) fn run(
    channel: &Channel,
    spec: Spec,
    user: bool,
    stdio: workload::Descriptors,
) -> Outcome<i32> {
    // Nothing may happen before the guardian knows this process.
    match channel
        .receive::<Order>()
        .tried(Stage::Helper, "wait for the word to go")?
    {
        Some((Order::Go, _)) => {}
        _ => return Ok(FAILED),
    }
    settle(&spec, user)?;
    view(channel, &spec)?;
    let started = workload::start(channel, &spec.command, Rights::from(&spec), stdio)?;
    // Of the descriptors opened outside only the channel stays: a checkpoint could not tell where they belong.
    reopen_standard().tried(Stage::Helper, "open /dev/null inside")?;
    channel
        .send(&Report::Started, &[started.pidfd.as_fd()])
        .tried(Stage::Helper, "report the start")?;
    supervise::until_end(channel, started.pid).tried(Stage::Helper, "watch the command")?;
    Ok(0)
}

fn settle(spec: &Spec, user: bool) -> Outcome<()> {
    rustix::process::setsid().tried(Stage::Namespaces, "make a session")?;
    rustix::process::umask(Mode::empty());
    if !user {
        // Its memory and descriptors are nothing for the processes inside. In a user namespace the flag would keep hd
        // itself out, and there the capabilities of pid 1, which others lack, have the same effect.
        nix::sys::prctl::set_dumpable(false).tried(Stage::Privileges, "protect pid 1")?;
    }
    nix::unistd::sethostname(&spec.hostname).tried(Stage::Namespaces, "set the host name")?;
    if spec.network == Network::None {
        sys::bring_up_loopback().tried(Stage::Namespaces, "bring up the loopback device")?;
    }
    Ok(())
}

fn view(channel: &Channel, spec: &Spec) -> Outcome<()> {
    cut_propagation()?;
    let stage = StageDir::mount(&spec.stage, &spec.root)?;
    for op in &spec.mounts {
        stage.execute(op, channel)?;
    }
    stage.pivot()
}

fn reopen_standard() -> rustix::io::Result<()> {
    let null = |flags| {
        rustix::fs::open(
            "/dev/null",
            flags | OFlags::CLOEXEC | OFlags::NOCTTY,
            Mode::empty(),
        )
    };
    let fd: OwnedFd = match null(OFlags::RDWR) {
        Ok(fd) => fd,
        // A root without devices.
        Err(_) => rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
    };
    rustix::stdio::dup2_stdin(&fd)?;
    rustix::stdio::dup2_stdout(&fd)?;
    rustix::stdio::dup2_stderr(&fd)
}
