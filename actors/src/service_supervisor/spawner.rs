//! Processes of a service: what a supervisor asks of one, and those in a view.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hd_config::{Command, Probe, Resources, Service, Signal};
use hd_sandbox::cgroup::Cgroup;
use hd_sandbox::{NetworkNamespace, Record, Sandbox, Spec, Stdio};

use super::announced::Announced;
use super::directory::Definition;
use super::log::Output;
use super::reach::Reach;
use super::view_process::{ViewProcess, pid_namespace};
use crate::messages::{BatchError, Ended};
use crate::model::limits::Limits;
use crate::model::process_book::ProcessBook;
use crate::model::surroundings::Surroundings;
use crate::mount_server::launch::{Launched, Launching, More, NotStarted};
use crate::mount_server::view::ServiceView;
use crate::shared::Shared;
use crate::witness::Attached;

/// Starts processes of one service.
pub(crate) trait Spawner: std::fmt::Debug + Send + Sync {
    /// Starts one, with the socket hd holds for it, and waits until it executes. Blocks.
    fn spawn(
        &self,
        output: Output,
        socket: Option<OwnedFd>,
    ) -> Result<Arc<dyn Process>, BatchError>;

    /// Makes ready what may take long, before anything is started, unless it `is_over`. Blocks.
    fn make_ready(&self, _is_over: &(dyn Fn() -> bool + Sync)) -> Result<(), BatchError> {
        Ok(())
    }

    /// Starts a command in a sandbox like that of the service, before it. Blocks.
    fn before(&self, command: &Command, output: Output) -> Result<Arc<dyn Process>, BatchError>;

    /// Sets up all that a process needs but the process, which [`Waiting::start`] starts; nothing where that
    /// would be in the way of the process before. Blocks.
    fn set_up(&self, _: Output) -> Result<Option<Box<dyn Waiting>>, BatchError> {
        Ok(None)
    }

    /// Gives the network that its processes listen on. Blocks.
    fn reach(&self) -> Result<Reach, BatchError> {
        Ok(Reach::Host)
    }
}

/// A sandbox that waits for its process. Dropping it removes it.
pub(crate) trait Waiting: std::fmt::Debug + Send {
    /// Starts the process and waits until it executes. Blocks.
    fn start(self: Box<Self>) -> Result<Arc<dyn Process>, BatchError>;
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
#[derive(Clone, Debug)]
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
        Ok(self.runs(service, launched, announced))
    }

    fn make_ready(&self, is_over: &(dyn Fn() -> bool + Sync)) -> Result<(), BatchError> {
        let service = self.definition.service();
        if self.view.is_live() {
            self.shared.compiled.before_start();
        }
        self.view.fill_volumes(&self.shared, &service, is_over)
    }

    fn set_up(&self, output: Output) -> Result<Option<Box<dyn Waiting>>, BatchError> {
        let service = self.definition.service();
        let announces = service.healthcheck.as_ref();
        let announces = announces.is_some_and(|check| check.test == Probe::Notify);
        // These have the name of the service, which the process before still uses.
        if announces || service.resources != Resources::default() {
            return Ok(None);
        }
        let stdio = stdio(Some(output), None);
        let launching = self.view.set_up(&self.shared, &service, stdio)?;
        Ok(Some(Box::new(ViewWaiting {
            launching,
            spawner: self.clone(),
            service,
        })))
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

/// Wires the streams of a process, and the socket it is handed.
pub(super) fn stdio(output: Option<Output>, socket: Option<OwnedFd>) -> Stdio {
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

/// Gives the arguments of a command beside a process.
pub(super) fn argv(command: &Command) -> Vec<String> {
    match command {
        Command::Shell(line) => ["/bin/sh", "-c", line].map(str::to_owned).into(),
        Command::Exec(argv) => argv.clone(),
    }
}

/// A sandbox in a view that waits for its process.
#[derive(Debug)]
struct ViewWaiting {
    launching: Launching,
    spawner: ViewSpawner,
    service: Arc<Service>,
}

impl Waiting for ViewWaiting {
    fn start(self: Box<Self>) -> Result<Arc<dyn Process>, BatchError> {
        let (spawner, service) = (self.spawner, self.service);
        let shared = &spawner.shared;
        shared.witnesses.of(&service.name).begins();
        let launched = spawner.view.go_on(shared, &service, self.launching)?;
        Ok(spawner.runs(service, launched, None))
    }
}

impl ViewSpawner {
    /// Tells whoever has to know of a process that runs now.
    fn runs(
        &self,
        service: Arc<Service>,
        launched: Launched,
        announced: Option<Announced>,
    ) -> Arc<dyn Process> {
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
        self.process(service, (sandbox, limits, witness), announced)
    }

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
            is_ended_by_us: AtomicBool::default(),
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
