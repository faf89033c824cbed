//! The loop of a tiny init: reaps, forwards signals, tells how the command ended.

use crate::event::{End, ExitStatus, Usage};
use crate::wire::{Channel, Order, Report, retry};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::WaitOptions;
use std::io;
use std::time::Duration;

/// Watches over the command until it ends, which is reported, or until hd is gone, when its group is killed.
pub(super) fn until_end(channel: &Channel, main: u32) -> io::Result<()> {
    let main = Pid::from_raw(main.cast_signed());
    let signals = block_signals()?;
    loop {
        // A child may have ended before the signals were blocked, so look before waiting.
        if let Some(end) = reap(main)? {
            let usage = getrusage(UsageWho::RUSAGE_CHILDREN)
                .ok()
                .map(|usage| Usage {
                    user: duration(usage.user_time()),
                    system: duration(usage.system_time()),
                    max_rss: u64::try_from(usage.max_rss())
                        .unwrap_or(0)
                        .saturating_mul(1024),
                });
            return channel.send(&Report::Exited(ExitStatus { end, usage }), &[]);
        }
        let mut fds = [
            PollFd::new(&signals, PollFlags::IN),
            PollFd::new(channel, PollFlags::IN),
        ];
        retry(|| poll(&mut fds, None))?;
        if fds.iter().any(|fd| !fd.revents().is_empty()) {
            forward_signals(&signals, main);
        }
        if !fds[1].revents().is_empty() && !obey(channel, main) {
            kill(main.as_raw().cast_unsigned());
            return Ok(());
        }
    }
}

fn block_signals() -> nix::Result<SignalFd> {
    let mut mask = SigSet::all();
    for fatal in [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGFPE,
    ] {
        mask.remove(fatal);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Passes on what was sent to this process itself.
fn forward_signals(signals: &SignalFd, main: Pid) {
    while let Ok(Some(info)) = signals.read_signal() {
        match info.ssi_signo.cast_signed() {
            libc::SIGCHLD | libc::SIGPIPE => {}
            // A group that is gone is about to be reaped.
            number => drop(crate::sys::signal_group(main.as_raw(), number)),
        }
    }
}

/// Does what hd says; `false` when hd is gone.
fn obey(channel: &Channel, main: Pid) -> bool {
    match channel.receive_now::<Order>() {
        Ok(Some((Order::Signal(number), _))) => {
            // A group that is gone is about to be reaped.
            let _ = crate::sys::signal_group(main.as_raw(), number);
            true
        }
        Ok(Some(_)) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error().is_none(),
        Ok(None) => false,
    }
}

/// Kills the group of a child and collects it.
pub(super) fn kill(child: u32) {
    // A group that is gone is about to be reaped.
    let _ = killpg(Pid::from_raw(child.cast_signed()), Signal::SIGKILL);
    collect(child);
}

/// Waits for a child that is about to end.
///
/// A helper outside the pid namespace of its child must not leave it as a zombie to the init of the machine: pid 1 of
/// the sandbox cannot end before that one finds the time to collect it.
pub(super) fn collect(child: u32) {
    if let Some(child) = rustix::process::Pid::from_raw(child.cast_signed()) {
        let _ = retry(|| rustix::process::waitpid(Some(child), WaitOptions::empty()));
    }
}

/// Collects every ended child; answers how the command ended when it was among them.
fn reap(main: Pid) -> io::Result<Option<End>> {
    let mut found = None;
    loop {
        let (pid, status) = match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(ended)) => ended,
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(found),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if pid.as_raw_nonzero().get() != main.as_raw() {
            continue;
        }
        let code = status.exit_status().map(End::Code);
        found = code
            .or_else(|| status.terminating_signal().map(End::Signal))
            .or(found);
    }
}

fn duration(time: TimeVal) -> Duration {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec())) + Duration::from_micros(part(time.tv_usec()))
}
