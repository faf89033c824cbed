//! Sandboxes in a view: on their way to a running command, and what belongs to them besides the view.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use hd_config::Service;
use hd_sandbox::{
    Command, Create, Event, Failure, MountOp, Pending, Place, Sandbox, SandboxError, Spec, Stdio,
    Terminal,
};

use super::limits::limited;
use super::view::{START_WITHIN, ServiceView};
use super::volumes::ForWhom;
use crate::base::ROOT_STAGED;
use crate::base::mounts::{bind, inside};
use crate::messages::BatchError;
use crate::model::limits::Limits;
use crate::shared::Shared;
use crate::witness::Attached;

/// Where a service finds the socket on which it says that it is ready.
const ANNOUNCE_INSIDE: &str = "/run/hd/ready";
/// The name under which a sandbox reports the project.
const PROJECT: &str = "project";
/// The name under which a sandbox reports that all its mounts are made.
const STANDS: &str = "all";

/// A sandbox whose command executes.
#[derive(Debug)]
pub struct Launched {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// Its terminal, if its command wanted one.
    pub terminal: Option<Terminal>,
    /// What it was made from.
    pub spec: Spec,
    /// Its control groups, if it has limits: to be dropped after it.
    pub limits: Option<Limits>,
    /// What it does to the project is witnessed as long as this is held.
    pub witness: Option<Attached>,
}

/// A sandbox on its way to its command. Dropping it kills it.
#[derive(Debug)]
pub struct Launching {
    pending: Pending,
    /// The write layer it is made on.
    layer: PathBuf,
    spec: Spec,
    limits: Option<Limits>,
    terminal: Option<Terminal>,
    /// Whose doings in the project are to be witnessed.
    witnessed: Option<Service>,
    witness: Option<Attached>,
}

/// Why a command in a view could not be started.
#[derive(Debug)]
pub enum NotStarted {
    /// Its sandbox reported it; the failure has an exit code.
    Command(Failure),
    /// There was no sandbox.
    Sandbox(BatchError),
}

impl From<BatchError> for NotStarted {
    fn from(error: BatchError) -> Self {
        Self::Sandbox(error)
    }
}

impl NotStarted {
    /// Gives it as the error of a service.
    fn of_service(self, service: &Service) -> BatchError {
        match self {
            Self::Command(failure) => BatchError::new("service", failure).at(service.name.clone()),
            Self::Sandbox(error) => error,
        }
    }
}

/// What belongs to it.
#[derive(Debug, Default)]
pub struct More<'s> {
    /// Whose it is: what it does to the project is witnessed.
    service: Option<&'s Service>,
    /// Mounts on top of all others.
    mounts: Vec<MountOp>,
}

impl<'s> More<'s> {
    /// A sandbox of a service.
    pub fn of(service: &'s Service) -> Self {
        Self {
            service: Some(service),
            mounts: Vec::new(),
        }
    }

    /// Lets a command say on a socket of the host that it is ready: sd_notify(3).
    fn announce(&mut self, socket: &Path, command: &mut Command) {
        command.set_env([("NOTIFY_SOCKET".into(), ANNOUNCE_INSIDE.into())]);
        let (source, at) = (Place::Host(socket.to_owned()), inside(ANNOUNCE_INSIDE));
        self.mounts.push(bind(source, at, false, Create::File));
    }

    /// Lets the sandbox stop before its command until it is told to go on.
    fn hold(&mut self) {
        self.mounts.push(MountOp::Report {
            at: PathBuf::from(ROOT_STAGED),
            name: STANDS.to_owned(),
        });
    }
}

impl ServiceView {
    /// Starts a service in this view and waits until its command executes; `announce` is the socket on which
    /// it says that it is ready. Blocks.
    pub fn start(
        &self,
        shared: &Shared,
        service: &Service,
        stdio: Stdio,
        announce: Option<&Path>,
    ) -> Result<Launched, BatchError> {
        let mut command = self.command_of(shared, service)?;
        if !stdio.extra.is_empty() {
            // sd_listen_fds(3); the sandbox adds LISTEN_PID, which nobody knows before.
            let variables = [
                ("LISTEN_FDS", stdio.extra.len().to_string()),
                ("LISTEN_FDNAMES", service.declared().to_owned()),
            ];
            command.set_env(variables.map(|(name, value)| (name.into(), value.into())));
        }
        let mut more = More::of(service);
        if let Some(socket) = announce {
            more.announce(socket, &mut command);
        }
        self.launch(shared, &service.name, command, stdio, more)
            .map_err(|error| error.of_service(service))
    }

    /// Makes the sandbox of a service up to where only its command is missing: [`ServiceView::go_on`] starts
    /// that. Blocks.
    pub fn set_up(
        &self,
        shared: &Shared,
        service: &Service,
        stdio: Stdio,
    ) -> Result<Launching, BatchError> {
        let command = self.command_of(shared, service)?;
        let mut more = More::of(service);
        more.hold();
        let stands = || {
            let mut launching = self.begin(shared, &service.name, command, stdio, more)?;
            match self.proceed(shared, &mut launching)? {
                None => Ok(launching),
                Some(_) => {
                    let error = BatchError::new("internal", "a sandbox did not wait");
                    Err(NotStarted::from(error))
                }
            }
        };
        stands().map_err(|error| error.of_service(service))
    }

    /// Starts the command of a sandbox that was set up, as if it was made only now. Blocks.
    ///
    /// # Errors
    /// Also when the write layer of the service was dropped meanwhile.
    pub fn go_on(
        &self,
        shared: &Shared,
        service: &Service,
        launching: Launching,
    ) -> Result<Launched, BatchError> {
        if launching.layer != self.layer(&service.name) {
            return Err(BatchError::new("service", "its write layer is another one"));
        }
        self.caught_up(shared, &service.name);
        self.executed(shared, launching)
            .map_err(|error| error.of_service(service))
    }

    /// Starts a sandbox of its own in this view and waits until its command executes. Blocks.
    ///
    /// `name` is that of its write layer. It has what the service has beside its view, and what it does
    /// to the project is witnessed for the service.
    pub fn launch(
        &self,
        shared: &Shared,
        name: &str,
        command: Command,
        stdio: Stdio,
        more: More<'_>,
    ) -> Result<Launched, NotStarted> {
        let launching = self.begin(shared, name, command, stdio, more)?;
        self.executed(shared, launching)
    }

    /// Writes edits through before a start, which goes on also where that is not possible.
    fn caught_up(&self, shared: &Shared, name: &str) {
        if let Err(error) = self.catch_up(shared, name) {
            let note = format!("{name} does not see the edit yet: {error}");
            shared.events.tell(crate::events::Event::Note(note));
        }
    }

    fn command_of(&self, shared: &Shared, service: &Service) -> Result<Command, BatchError> {
        let argv = service.command.argv().into_iter().map(OsString::from);
        let argv: Vec<OsString> = argv.collect();
        self.command(shared, Some(service), argv)
    }

    fn begin(
        &self,
        shared: &Shared,
        name: &str,
        command: Command,
        stdio: Stdio,
        more: More<'_>,
    ) -> Result<Launching, NotStarted> {
        self.overlay(shared, name)?;
        self.caught_up(shared, name);
        let owner = (command.uid, command.gid);
        let mut spec = self.spec(shared, name, command);
        let (mut network, mut limits) = (None, None);
        if let Some(service) = more.service {
            let who = ForWhom {
                owner,
                is_over: &|| false,
            };
            let volumes = self.volumes(shared, name, service, &who)?;
            spec.mounts.extend(volumes);
            network = self.connect(shared, service, &mut spec)?;
            limits = limited(shared, name, service, &mut spec)?;
        }
        spec.mounts.extend(more.mounts);
        let witnessed = more.service.filter(|service| {
            self.is_live() && (!self.declared.steps.is_empty() || !service.watch.is_empty())
        });
        if witnessed.is_some() {
            report_mount(&mut spec.mounts, &inside(&self.plan.workdir));
        }
        let pending = shared
            .launcher()?
            .spawn_on(
                &spec,
                stdio,
                Some(&self.namespace),
                network.as_deref(),
                limits.as_ref().and_then(Limits::group),
            )
            .map_err(|error| broken(name, error))?;
        Ok(Launching {
            pending,
            layer: self.layer(name),
            witnessed: witnessed.cloned(),
            spec,
            limits,
            terminal: None,
            witness: None,
        })
    }

    fn executed(&self, shared: &Shared, mut launching: Launching) -> Result<Launched, NotStarted> {
        let sandbox = loop {
            if let Some(sandbox) = self.proceed(shared, &mut launching)? {
                break sandbox;
            }
        };
        Ok(Launched {
            sandbox,
            terminal: launching.terminal,
            spec: launching.spec,
            limits: launching.limits,
            witness: launching.witness,
        })
    }

    /// Follows a sandbox until its command executes, or until it stands and is not told to go on.
    fn proceed(
        &self,
        shared: &Shared,
        launching: &mut Launching,
    ) -> Result<Option<Sandbox>, NotStarted> {
        loop {
            let event = launching.pending.next_event(START_WITHIN);
            match event.map_err(|error| broken(&launching.spec.name, error))? {
                Event::Started(sandbox) => return Ok(Some(sandbox)),
                Event::Mount { name, .. } if name == STANDS => return Ok(None),
                Event::Mount { fd, .. } => {
                    let witnessed = launching.witnessed.as_ref();
                    let of = |service| shared.witnesses.attach(service, &fd, &self.plan.workdir);
                    launching.witness = witnessed.and_then(of);
                }
                Event::Failed(failure) => return Err(NotStarted::Command(failure)),
                Event::Terminal(opened) => launching.terminal = Some(opened),
                Event::Fuse { .. } | Event::Upper { .. } | Event::Going | Event::Done => {}
            }
        }
    }
}

fn broken(name: &str, error: SandboxError) -> BatchError {
    BatchError::new("sandbox", error).at(name)
}

/// Has the mount at a place reported as soon as it is there.
fn report_mount(mounts: &mut Vec<MountOp>, place: &Path) {
    let is_it = |op: &MountOp| matches!(op, MountOp::Bind { at, .. } if at == place);
    if let Some(found) = mounts.iter().position(is_it) {
        let (at, name) = (place.to_owned(), PROJECT.to_owned());
        mounts.insert(found + 1, MountOp::Report { at, name });
    }
}
