//! A child process of hd with a channel: a helper or the pid 1 of a sandbox.

use crate::error::{Context, Result, SandboxError};
use crate::event::{End, ExitStatus};
use crate::guardian::Registration;
use crate::wire::{Channel, Order, Received, Report, retry, wait_readable};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long dropping waits for a process that was killed.
const DROP_WAIT: Duration = Duration::from_secs(2);

/// Owns the process: dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    pid: u32,
    pidfd: OwnedFd,
    channel: Channel,
    /// Gets the chance to kill what it started elsewhere before it is killed itself.
    gentle: bool,
    end: Mutex<Option<ExitStatus>>,
    registration: Option<Registration>,
}

impl Process {
    /// Takes over a child of this process that nobody else waits for.
    pub(crate) fn adopt(name: String, pid: u32, channel: Channel) -> Result<Self> {
        let pidfd = open_pidfd(pid).what(|| format!("open a pidfd of {name} ({pid})"))?;
        Ok(Self {
            name,
            pid,
            pidfd,
            channel,
            gentle: false,
            end: Mutex::new(None),
            registration: None,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(crate) fn set_gentle(&mut self) {
        self.gentle = true;
    }

    pub(crate) fn set_registration(&mut self, registration: Registration) {
        self.registration = Some(registration);
    }

    /// Lets the channel live on with another process: pid 1 takes over from the helper that made it.
    pub(crate) fn hand_over(mut self, name: String, pid: u32) -> Result<Self> {
        let (channel, _) = Channel::pair().what(|| "make a socket pair".into())?;
        let channel = std::mem::replace(&mut self.channel, channel);
        let next = Self::adopt(name, pid, channel)?;
        self.wait(Some(DROP_WAIT))?;
        Ok(next)
    }

    /// Receives the next report before the deadline.
    pub(crate) fn report(&self, timeout: Duration) -> Result<(Report, Vec<OwnedFd>)> {
        let what = || self.name.clone();
        match self.channel.receive_by(Instant::now() + timeout) {
            Ok(Some(got)) => Ok(got),
            Ok(None) => Err(SandboxError::Ended {
                what: what(),
                how: self.how_it_ended(),
            }),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(SandboxError::Deadline {
                what: what(),
                after: timeout,
            }),
            Err(source) => Err(SandboxError::Io {
                what: what(),
                source,
            }),
        }
    }

    fn how_it_ended(&self) -> String {
        match self.wait(Some(DROP_WAIT)) {
            Ok(Some(status)) => match status.end {
                End::Code(code) => format!(" (exit code {code})"),
                End::Signal(signal) => format!(" (signal {signal})"),
            },
            _ => String::new(),
        }
    }

    pub(crate) fn unexpected(&self, report: &Report) -> SandboxError {
        match report {
            Report::Failed(failure) => SandboxError::Failed(failure.clone()),
            other => SandboxError::Protocol {
                what: self.name.clone(),
                message: format!("{other:?}"),
            },
        }
    }

    pub(crate) fn signal(&self, signal: i32) -> Result<()> {
        self.channel
            .send_now(&Order::Signal(signal), &[])
            .what(|| format!("send signal {signal} to {}", self.name))
    }

    pub(crate) fn kill(&self) -> Result<()> {
        kill(self.pidfd()).what(|| format!("kill {}", self.name))
    }

    /// Waits for the end and reaps; `None` when it did not come in time.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Result<Option<ExitStatus>> {
        let lock = || self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = *lock() {
            return Ok(Some(end));
        }
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        if !wait_readable(self.pidfd(), deadline).what(|| format!("wait for {}", self.name))? {
            return Ok(None);
        }
        let mut end = lock();
        if end.is_none() {
            *end = Some(self.reap());
        }
        Ok(*end)
    }

    /// Collects the ended process and what it said last.
    fn reap(&self) -> ExitStatus {
        // ECHILD would mean that somebody else collected it: then only its own words are left.
        let told = retry(|| waitid(WaitId::PidFd(self.pidfd()), WaitIdOptions::EXITED));
        let told = told.ok().flatten();
        let code = told.as_ref().and_then(|status| status.exit_status());
        let signal = told.and_then(|status| status.terminating_signal());
        let mut last = ExitStatus {
            end: match (code, signal) {
                (Some(code), _) => End::Code(code),
                (None, signal) => End::Signal(signal.unwrap_or(libc::SIGKILL)),
            },
            usage: None,
        };
        while let Ok(Some((report, _))) = self.channel.receive_now() as io::Result<Received<Report>>
        {
            if let Report::Exited(status) = report {
                last = status;
            }
        }
        last
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = |process: &Self, time| matches!(process.wait(Some(time)), Ok(Some(_)));
        if ended(self, Duration::ZERO) {
            return;
        }
        if self.gentle && self.signal(libc::SIGKILL).is_ok() && ended(self, DROP_WAIT) {
            return;
        }
        if self.kill().is_err() || !ended(self, DROP_WAIT) {
            tracing::warn!(
                name = self.name,
                pid = self.pid,
                "process did not end after SIGKILL"
            );
        }
    }
}

pub(crate) fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Kills a process; one that is gone already is as good.
pub(crate) fn kill(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    match pidfd_send_signal(pidfd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
