//! The process that listens on a control socket: a runtime of hd.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A handle that names this process and no later one of the same number.
#[derive(Debug)]
pub(crate) struct Peer {
    pid: Pid,
    handle: OwnedFd,
}

impl Peer {
    /// Takes hold of a process; none when it is gone.
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        Some(Self { pid, handle })
    }

    /// Gives its number.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Tells whether it is the process of that number.
    pub(crate) fn is(&self, pid: u32) -> bool {
        u32::try_from(self.pid.as_raw_pid()).is_ok_and(|own| own == pid)
    }

    /// Lets it go on if it was stopped, as by Ctrl-Z or SIGSTOP; answers whether it was.
    pub(crate) fn wake(&self) -> bool {
        self.is_stopped() && self.signal(Signal::CONT)
    }

    /// Tells whether it was stopped, as by Ctrl-Z or SIGSTOP.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        stat.is_ok_and(|stat| is_stopped(&stat))
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Waits for its end, up to some time.
    pub(crate) fn wait(&self, within: Duration) {
        let mut wanted = [PollFd::new(&self.handle, PollFlags::IN)];
        let _ = poll(&mut wanted, Timespec::try_from(within).ok().as_ref());
    }

    /// Answers whether it took the signal; one that is gone does not.
    fn signal(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.handle, signal).is_ok()
    }
}

/// Tells whether a line of `/proc/PID/stat` (`proc_pid_stat(5)`) is that of a stopped process; its name, in
/// parentheses, may hold anything.
fn is_stopped(stat: &str) -> bool {
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    after_name.is_some_and(|rest| rest.starts_with('T'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_process_is_one_by_its_state_not_by_its_name() {
        for (stat, stopped) in [
            ("7 (hd) T 1 7 7", true),
            ("7 (a) T (b) S 1 7 7", false),
            ("7 (hd) t 1 7 7", false),
            ("7 (hd) S 1 7 7", false),
            ("", false),
        ] {
            assert_eq!(is_stopped(stat), stopped, "{stat}");
        }
    }
}
