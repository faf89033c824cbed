//! A process of a service in a view.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hd_config::{Command, Service, Signal};
use hd_sandbox::{End, Sandbox};

use super::announced::Announced;
use super::log::Output;
use super::reach::Reach;
use super::spawner::{Process, argv, stdio};
use crate::messages::{BatchError, Ended};
use crate::model::limits::Limits;
use crate::model::process_book::Entry;
use crate::mount_server::view::ServiceView;
use crate::shared::Shared;
use crate::witness::Attached;

/// How often it is looked whether a service has reached a limit.
const LIMITS_EVERY: Duration = Duration::from_millis(500);

/// A process in a view, which it keeps alive.
#[derive(Debug)]
pub(super) struct ViewProcess {
    /// First, so that it is gone before its entry is.
    pub(super) sandbox: Sandbox,
    /// After it, since a control group with processes cannot be removed.
    pub(super) limits: Option<Limits>,
    pub(super) _entry: Option<Entry>,
    pub(super) _witness: Option<Attached>,
    pub(super) announced: Option<Announced>,
    pub(super) namespace: Option<PathBuf>,
    pub(super) reach: Reach,
    pub(super) shared: Arc<Shared>,
    pub(super) service: Arc<Service>,
    pub(super) view: Arc<ServiceView>,
    /// It was asked, or made, to end.
    pub(super) is_ended_by_us: AtomicBool,
}

impl ViewProcess {
    /// Says what is behind a failure, if a limit is. One that was met long before, by a process that somebody
    /// else replaced, is not why a service ends that was asked to.
    fn ended(&self, end: End) -> Ended {
        let is_ours = self.is_ended_by_us.load(Ordering::Relaxed);
        let limits = self.limits.as_ref().filter(|_| !is_ours);
        let memory = limits
            .and_then(Limits::out_of_memory)
            .map(Ended::OutOfMemory);
        let processes = || {
            limits
                .and_then(Limits::out_of_processes)
                .map(Ended::OutOfProcesses)
        };
        let by_limit = memory.or_else(processes);
        by_limit.unwrap_or(match end {
            End::Code(code) => Ended::Code(code),
            End::Signal(signal) => Ended::Signal(signal),
        })
    }
}

impl Process for ViewProcess {
    fn pid(&self) -> u32 {
        self.sandbox
            .workload_pid()
            .unwrap_or_else(|| self.sandbox.pid())
    }

    fn terminate(&self) {
        self.is_ended_by_us.store(true, Ordering::Relaxed);
        self.signal(self.service.stop_signal);
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = self.sandbox.signal(signal.number()) {
            tracing::debug!(service = self.service.name, %signal, %error, "a signal did not arrive");
        }
    }

    fn kill(&self) {
        self.is_ended_by_us.store(true, Ordering::Relaxed);
        if let Err(error) = self.sandbox.kill() {
            tracing::warn!(service = self.service.name, %error, "a service could not be killed");
        }
    }

    fn wait(&self, within: Option<Duration>) -> Option<Ended> {
        match self.sandbox.wait(within) {
            Ok(status) => status.map(|status| match status.end {
                End::Code(0) => Ended::Code(0),
                end => self.ended(end),
            }),
            Err(error) => {
                tracing::error!(service = self.service.name, %error, "a service cannot be waited for; it is killed");
                self.kill();
                Some(Ended::Signal(libc::SIGKILL))
            }
        }
    }

    fn announced(&self) -> Result<(), String> {
        let none = || Err("it has no way to say that it is ready".to_owned());
        self.announced.as_ref().map_or_else(none, Announced::check)
    }

    fn complains(&self) -> Option<Duration> {
        let has = self.service.resources.pids.is_some() && self.limits.is_some();
        has.then_some(LIMITS_EVERY)
    }

    fn complaint(&self) -> Option<String> {
        let limit = self.limits.as_ref()?.out_of_processes()?;
        Some(format!(
            "at its limit of {limit} processes: more are refused"
        ))
    }

    fn reach(&self) -> Reach {
        self.reach.clone()
    }

    fn owns(&self, pid: u32) -> bool {
        // What cannot be looked up is not held against it.
        let of = std::fs::read_link(pid_namespace(pid)).ok();
        of.zip(self.namespace.as_ref())
            .is_none_or(|(of, own)| of == *own)
    }

    fn beside(
        &self,
        command: &Command,
        output: Option<Output>,
        within: Duration,
    ) -> Result<(), String> {
        let told = |error: BatchError| format!("cannot be run: {error}");
        let command = self
            .view
            .command(&self.shared, Some(&self.service), argv(command))
            .map_err(told)?;
        let launcher = self.shared.launcher().map_err(told)?;
        let broken = |error: hd_sandbox::SandboxError| format!("cannot be run: {error}");
        let entered = launcher
            .enter_limited(
                &self.sandbox,
                self.limits.as_ref().and_then(Limits::group),
                &command,
                stdio(output, None),
            )
            .map_err(broken)?;
        match entered.wait(Some(within)).map_err(broken)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("exited with code {}", status.code())),
            None => Err(format!("took longer than {within:?}")),
        }
    }
}

/// Gives where the pid namespace of a process is told.
pub(super) fn pid_namespace(pid: u32) -> String {
    format!("/proc/{pid}/ns/pid")
}
