//! Processes of a service: what a supervisor asks of one, and those in a view.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hd_config::{Command, Probe, Service, Signal};
use hd_sandbox::cgroup::Cgroup;
use hd_sandbox::{End, NetworkNamespace, Record, Sandbox, Spec, Stdio};

use super::announced::Announced;
use super::directory::Definition;
use super::log::Output;
use super::reach::Reach;
use crate::messages::{BatchError, Ended};
use crate::model::limits::Limits;
use crate::model::process_book::{Entry, ProcessBook};
use crate::model::surroundings::Surroundings;
use crate::mount_server::view::{Launched, More, NotStarted, ServiceView};
use crate::shared::Shared;
use crate::witness::Attached;

/// How often it is looked whether a service has reached a limit.
const LIMITS_EVERY: Duration = Duration::from_millis(500);

/// Starts processes of one service.
pub(crate) trait Spawner: std::fmt::Debug + Send + Sync {
    /// Starts one, with the socket hd holds for it, and waits until it executes. Blocks.
    fn spawn(
        &self,
        output: Output,
        socket: Option<OwnedFd>,
    ) -> Result<Arc<dyn Process>, BatchError>;

    /// Starts a command in a sandbox like that of the service, before it. Blocks.
    fn before(&self, command: &Command, output: Output) -> Result<Arc<dyn Process>, BatchError>;

    /// Gives the network that its processes listen on. Blocks.
    fn reach(&self) -> Result<Reach, BatchError> {
        Ok(Reach::Host)
    }
}

/// A started process with all it has started itself. Dropping it kills all of them.
pub(crate) trait Process: std::fmt::Debug + Send + Sync {
    /// Process id of the main process on the host.
    fn pid(&self) -> u32;

    /// Sends the stop signal to the whole group.
    fn terminate(&self);

    /// Sends a signal to the whole group.
    fn signal(&self, signal: Signal);

    /// Kills all of it.
    fn kill(&self);

    /// Waits until all of it is gone; nothing when the time is over first.
    fn wait(&self, within: Option<Duration>) -> Option<Ended>;

    /// Says how often a run has to be asked for [`Process::complaint`], if at all.
    fn complains(&self) -> Option<Duration> {
        None
    }

    /// Says what keeps it from working though it runs.
    fn complaint(&self) -> Option<String> {
        None
    }

    /// Gives the network it listens on.
    fn reach(&self) -> Reach {
        Reach::Host
    }

    /// Tells whether a process belongs to it.
    fn owns(&self, pid: u32) -> bool;

    /// Tells whether it has said itself that it is ready.
    fn announced(&self) -> Result<(), String> {
        Err("it has no way to say that it is ready".to_owned())
    }

    /// Runs a command beside it, in its surroundings; exit code 0 is success, the error goes on
    /// after the command's name. Without output it is silent. Blocks.
    fn beside(
        &self,
        command: &Command,
        output: Option<Output>,
        within: Duration,
    ) -> Result<(), String>;
}

/// Starts a service in a view.
#[derive(Debug)]
pub(crate) struct ViewSpawner {
    pub(crate) shared: Arc<Shared>,
    /// What is started is what the service is to be then.
    pub(crate) definition: Definition,
    pub(crate) view: Arc<ServiceView>,
    pub(crate) book: ProcessBook,
}

impl Spawner for ViewSpawner {
    fn spawn(
        &self,
        output: Output,
        socket: Option<OwnedFd>,
    ) -> Result<Arc<dyn Process>, BatchError> {
        let (stdio, service) = (stdio(Some(output), socket), self.definition.service());
        self.shared.witnesses.of(&service.name).begins();
        let announced = self.listen(&service)?;
        let place = announced.as_ref().map(Announced::place);
        let launched = self.view.start(&self.shared, &service, stdio, place)?;
        let Launched {
            sandbox,
            spec,
            limits,
            witness,
            ..
        } = launched;
        // It may have ended already: then there is nothing to write down.
        let groups = limits.as_ref().and_then(Limits::group);
        if let Ok(record) = sandbox.record() {
            let groups = groups.map(Cgroup::directories).unwrap_or_default();
            self.tell_how_to_enter(&service.name, &record, spec, groups);
        }
        let meter = groups.map(|group| (group.meter(), service.resources));
        self.shared.meters.set(&service.name, meter);
        Ok(self.process(service, (sandbox, limits, witness), announced))
    }

    fn before(&self, command: &Command, output: Output) -> Result<Arc<dyn Process>, BatchError> {
        let (shared, service) = (&self.shared, self.definition.service());
        let command = self.view.command(shared, Some(&*service), argv(command))?;
        let launched = self.view.launch(
            shared,
            &service.name,
            command,
            stdio(Some(output), None),
            More::of(&service),
        );
        match launched {
            Ok(launched) => {
                let Launched {
                    sandbox,
                    limits,
                    witness,
                    ..
                } = launched;
                Ok(self.process(service, (sandbox, limits, witness), None))
            }
            Err(NotStarted::Command(failure)) => Err(BatchError::new("service", failure)),
            Err(NotStarted::Sandbox(error)) => Err(error),
        }
    }

    fn reach(&self) -> Result<Reach, BatchError> {
        let network = self.view.network(&self.shared, &self.definition.service());
        Ok(reach(network?))
    }
}

fn reach(network: Option<Arc<NetworkNamespace>>) -> Reach {
    network.map_or(Reach::Host, Reach::Within)
}

fn stdio(output: Option<Output>, socket: Option<OwnedFd>) -> Stdio {
    let (stdout, stderr) = output.map_or((None, None), |output| {
        (Some(output.stdout), Some(output.stderr))
    });
    Stdio {
        stdin: None,
        stdout,
        stderr,
        extra: socket.into_iter().collect(),
    }
}

fn argv(command: &Command) -> Vec<String> {
    match command {
        Command::Shell(line) => ["/bin/sh", "-c", line].map(str::to_owned).into(),
        Command::Exec(argv) => argv.clone(),
    }
}

impl ViewSpawner {
    fn process(
        &self,
        service: Arc<Service>,
        (sandbox, limits, witness): (Sandbox, Option<Limits>, Option<Attached>),
        announced: Option<Announced>,
    ) -> Arc<dyn Process> {
        let entry = sandbox.record().ok().map(|record| self.book.enter(record));
        let namespace = std::fs::read_link(pid_namespace(sandbox.pid())).ok();
        Arc::new(ViewProcess {
            sandbox,
            limits,
            _entry: entry,
            _witness: witness,
            announced,
            namespace,
            reach: reach(self.shared.known_network(&service)),
            shared: self.shared.clone(),
            service,
            view: self.view.clone(),
        })
    }

    /// Makes the socket on which a service says that it is ready, if it is waited for that.
    fn listen(&self, service: &Service) -> Result<Option<Announced>, BatchError> {
        let check = service.healthcheck.as_ref();
        if check.is_none_or(|check| check.test != Probe::Notify) {
            return Ok(None);
        }
        let directory = self.shared.settings.paths.services();
        let listening = Announced::listen(&directory, &service.name);
        let failed = |e| BatchError::new("service", format!("no socket to say it is ready: {e}"));
        listening.map(Some).map_err(failed)
    }

    /// A disk that refuses is no reason not to run it: it cannot be entered then.
    fn tell_how_to_enter(
        &self,
        service: &str,
        record: &Record,
        mut spec: Spec,
        groups: &[PathBuf],
    ) {
        // Its sockets are for itself only.
        spec.command.env.retain(|(name, _)| {
            let name = name.as_encoded_bytes();
            !name.starts_with(b"LISTEN_FD") && name != b"NOTIFY_SOCKET"
        });
        let path = self.shared.settings.paths.service(service);
        if let Err(error) = Surroundings::new(record.clone(), &spec, groups).write(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot write down how to enter a service");
        }
    }
}

/// A process in a view, which it keeps alive.
#[derive(Debug)]
struct ViewProcess {
    /// First, so that it is gone before its entry is.
    sandbox: Sandbox,
    /// After it, since a control group with processes cannot be removed.
    limits: Option<Limits>,
    _entry: Option<Entry>,
    _witness: Option<Attached>,
    announced: Option<Announced>,
    namespace: Option<PathBuf>,
    reach: Reach,
    shared: Arc<Shared>,
    service: Arc<Service>,
    view: Arc<ServiceView>,
}

impl ViewProcess {
    /// Says what is behind a failure, if a limit is.
    fn ended(&self, end: End) -> Ended {
        let limits = self.limits.as_ref();
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
        self.signal(self.service.stop_signal);
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = self.sandbox.signal(signal.number()) {
            tracing::debug!(service = self.service.name, %signal, %error, "a signal did not arrive");
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

fn pid_namespace(pid: u32) -> String {
    format!("/proc/{pid}/ns/pid")
}
