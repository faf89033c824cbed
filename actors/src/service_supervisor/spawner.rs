//! Processes of a service: what a supervisor asks of one, and those in a view.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hd_config::{Command, Service};
use hd_sandbox::{End, Record, Sandbox, Spec, Stdio};

use super::log::Output;
use crate::messages::{BatchError, Ended};
use crate::model::process_book::{Entry, ProcessBook};
use crate::model::surroundings::Surroundings;
use crate::mount_server::view::{Launched, ServiceView};
use crate::shared::Shared;

/// Starts processes of one service.
pub(crate) trait Spawner: std::fmt::Debug + Send + Sync {
    /// Starts one and waits until it executes. Blocks.
    fn spawn(&self, output: Output) -> Result<Arc<dyn Process>, BatchError>;
}

/// A started process with all it has started itself. Dropping it kills all of them.
pub(crate) trait Process: std::fmt::Debug + Send + Sync {
    /// Process id of the main process on the host.
    fn pid(&self) -> u32;

    /// Sends the stop signal to the whole group.
    fn terminate(&self);

    /// Kills all of it.
    fn kill(&self);

    /// Waits until all of it is gone; nothing when the time is over first.
    fn wait(&self, within: Option<Duration>) -> Option<Ended>;

    /// Tells whether a process belongs to it.
    fn owns(&self, pid: u32) -> bool;

    /// Runs a command beside it, in its surroundings; exit code 0 is success. Blocks.
    fn check(&self, command: &Command, within: Duration) -> Result<(), String>;
}

/// Starts a service in a view.
#[derive(Debug)]
pub(crate) struct ViewSpawner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) service: Arc<Service>,
    pub(crate) view: Arc<ServiceView>,
    pub(crate) book: ProcessBook,
}

impl Spawner for ViewSpawner {
    fn spawn(&self, output: Output) -> Result<Arc<dyn Process>, BatchError> {
        let Output { stdout, stderr } = output;
        let stdio = Stdio {
            stdin: None,
            stdout: Some(stdout),
            stderr: Some(stderr),
            extra: Vec::new(),
        };
        let Launched { sandbox, spec, .. } = self.view.start(&self.shared, &self.service, stdio)?;
        // It may have ended already: then there is nothing to write down.
        let record = sandbox.record().ok();
        if let Some(record) = &record {
            self.tell_how_to_enter(record, &spec);
        }
        let entry = record.map(|record| self.book.enter(record));
        let namespace = std::fs::read_link(pid_namespace(sandbox.pid())).ok();
        let (shared, service, view) =
            (self.shared.clone(), self.service.clone(), self.view.clone());
        Ok(Arc::new(ViewProcess {
            sandbox,
            _entry: entry,
            namespace,
            shared,
            service,
            view,
        }))
    }
}

impl ViewSpawner {
    /// A disk that refuses is no reason not to run it: it cannot be entered then.
    fn tell_how_to_enter(&self, record: &Record, spec: &Spec) {
        let path = self.shared.settings.paths.service(&self.service.name);
        if let Err(error) = Surroundings::new(record.clone(), spec).write(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot write down how to enter a service");
        }
    }
}

/// A process in a view, which it keeps alive.
#[derive(Debug)]
struct ViewProcess {
    /// First, so that it is gone before its entry is.
    sandbox: Sandbox,
    _entry: Option<Entry>,
    namespace: Option<PathBuf>,
    shared: Arc<Shared>,
    service: Arc<Service>,
    view: Arc<ServiceView>,
}

impl Process for ViewProcess {
    fn pid(&self) -> u32 {
        self.sandbox
            .workload_pid()
            .unwrap_or_else(|| self.sandbox.pid())
    }

    fn terminate(&self) {
        if let Err(error) = self.sandbox.signal(libc::SIGTERM) {
            tracing::debug!(service = self.service.name, %error, "the stop signal did not arrive");
        }
    }

    fn kill(&self) {
        if let Err(error) = self.sandbox.kill() {
            tracing::warn!(service = self.service.name, %error, "a service could not be killed");
        }
    }

    fn wait(&self, within: Option<Duration>) -> Option<Ended> {
        match self.sandbox.wait(within) {
            Ok(status) => status.map(|status| match status.end {
                End::Code(code) => Ended::Code(code),
                End::Signal(signal) => Ended::Signal(signal),
            }),
            Err(error) => {
                tracing::error!(service = self.service.name, %error, "a service cannot be waited for; it is killed");
                self.kill();
                Some(Ended::Signal(libc::SIGKILL))
            }
        }
    }

    fn owns(&self, pid: u32) -> bool {
        // What cannot be looked up is not held against it.
        let of = std::fs::read_link(pid_namespace(pid)).ok();
        of.zip(self.namespace.as_ref())
            .is_none_or(|(of, own)| of == *own)
    }

    fn check(&self, command: &Command, within: Duration) -> Result<(), String> {
        let argv = match command {
            Command::Shell(line) => ["/bin/sh", "-c", line].map(str::to_owned).into(),
            Command::Exec(argv) => argv.clone(),
        };
        let command = self.view.command(&self.shared, Some(&self.service), argv);
        let launcher = self.shared.launcher().map_err(|e| e.to_string())?;
        let entered = launcher
            .enter(&self.sandbox, &command, Stdio::default())
            .map_err(|e| e.to_string())?;
        match entered.wait(Some(within)) {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(format!("healthcheck exited with code {}", status.code())),
            Ok(None) => Err(format!("healthcheck took longer than {within:?}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn pid_namespace(pid: u32) -> String {
    format!("/proc/{pid}/ns/pid")
}
