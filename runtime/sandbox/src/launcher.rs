//! Starting sandboxes, mount namespaces and commands inside.

use crate::cgroup::Cgroup;
use crate::error::{Context, Result, SandboxError};
use crate::event::Event;
use crate::guardian::Guardian;
use crate::helper::{Helper, Role};
use crate::idmap::{self, IdMap};
use crate::mount_op::MountOp;
use crate::network::NetworkNamespace;
use crate::process::Process;
use crate::sandbox::{Sandbox, pid_of};
use crate::spec::Spec;
use crate::stdio::Stdio;
use crate::terminal::Terminal;
use crate::wire::{Job, Join, Order, Report, Rights};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a helper may take for what needs no answer of a file system served by hd.
pub(crate) const PROMPT: Duration = Duration::from_secs(20);

/// Starts sandboxes. Cheap to clone; all methods may be called from any thread.
#[derive(Clone, Debug)]
pub struct Launcher {
    helper: Helper,
    guardian: Option<Guardian>,
}

/// A mount namespace without a process, kept by a descriptor: mounts made in it ([`Launcher::run_in`]) are seen by
/// every sandbox that joins it and by nobody else, and are gone when hd and the last such sandbox are.
#[derive(Debug)]
pub struct MountNamespace {
    mount: OwnedFd,
    user: Option<OwnedFd>,
    stage: PathBuf,
}

impl MountNamespace {
    /// Gives the stage: a tmpfs at this path, seen in the namespace only.
    pub fn stage(&self) -> &Path {
        &self.stage
    }

    /// Tells whether it has a user namespace of its own.
    pub fn has_user_namespace(&self) -> bool {
        self.user.is_some()
    }

    /// Gives its user namespace, if it has one of its own.
    pub(crate) fn user(&self) -> Option<&OwnedFd> {
        self.user.as_ref()
    }

    fn join(&self) -> (Join, Vec<BorrowedFd<'_>>) {
        let join = Join {
            user: self.user.is_some(),
            mount: true,
            network: false,
        };
        (
            join,
            self.user
                .iter()
                .chain([&self.mount])
                .map(AsFd::as_fd)
                .collect(),
        )
    }
}

impl Launcher {
    /// Builds a launcher. Without a guardian only the end of the control channel ends the sandboxes of a killed hd.
    pub fn new(helper: Helper, guardian: Option<Guardian>) -> Self {
        Self { helper, guardian }
    }

    /// Starts a sandbox as far as its pid 1, which then works through the spec and tells by [`Pending::next_event`].
    ///
    /// Takes about a millisecond. Errors: the helper could not be started or not make its namespaces.
    pub fn spawn(
        &self,
        spec: &Spec,
        stdio: Stdio,
        within: Option<&MountNamespace>,
    ) -> Result<Pending> {
        self.spawn_on(spec, stdio, within, None, None)
    }

    /// Does the same on a network that others share ([`Spec::network`] is then [`Network::Joined`]), and in a control
    /// group.
    pub fn spawn_on(
        &self,
        spec: &Spec,
        stdio: Stdio,
        within: Option<&MountNamespace>,
        network: Option<&NetworkNamespace>,
        group: Option<&Cgroup>,
    ) -> Result<Pending> {
        let (mut join, mut fds) = within.map_or_else(Default::default, MountNamespace::join);
        join.network = network.is_some();
        fds.extend(network.map(NetworkNamespace::descriptor));
        fds.extend(stdio.fds());
        let mut spec = Box::new(spec.clone());
        if join.user {
            spec.user_namespace = None;
        }
        let (name, rights, map) = (
            spec.name.clone(),
            Rights::from(&*spec),
            spec.user_namespace.clone(),
        );
        let helper = self.helper.start_job(
            Role::Init,
            &Job::Spawn {
                spec,
                join,
                wires: stdio.wires(),
            },
            &fds,
        )?;
        let pid = match expect_mapped(&helper, map.as_ref())? {
            (Report::Cloned(pid), _) => pid,
            (other, _) => return Err(helper.unexpected(&other)),
        };
        let mut process = helper.hand_over(name, pid)?;
        self.guard(&mut process)?;
        if let Some(group) = group {
            let placed = group.place(process.pid());
            placed.what(|| format!("put {} into its control group", process.name()))?;
        }
        process
            .channel()
            .send_now(&Order::Go, &[])
            .what(|| format!("start {}", process.name()))?;
        Ok(Pending {
            process: Some(process),
            rights: Some(rights),
            owes_go: false,
        })
    }

    pub(crate) fn helper(&self) -> &Helper {
        &self.helper
    }

    /// Has a process killed when this one is gone.
    pub(crate) fn guard(&self, process: &mut Process) -> Result<()> {
        if let Some(guardian) = &self.guardian {
            process.set_registration(guardian.register(process.pidfd())?);
        }
        Ok(())
    }

    /// Makes a mount namespace with an empty stage on an existing empty directory.
    ///
    /// `user_namespace` as in [`Spec::user_namespace`]; sandboxes that join share it.
    pub fn mount_namespace(
        &self,
        stage: &Path,
        user_namespace: Option<&IdMap>,
    ) -> Result<MountNamespace> {
        let job = Job::Namespace {
            stage: stage.to_owned(),
            user: user_namespace.is_some(),
        };
        let helper = self.helper.start_job(Role::Init, &job, &[])?;
        let (report, fds) = expect_mapped(&helper, user_namespace)?;
        let mut fds = fds.into_iter();
        match (report, fds.next(), fds.next()) {
            (Report::Namespace, Some(mount), user) => Ok(MountNamespace {
                mount,
                user,
                stage: stage.to_owned(),
            }),
            (other, ..) => Err(helper.unexpected(&other)),
        }
    }

    /// Runs operations in a mount namespace; staged paths are relative to its stage, and `root` is the staged path
    /// that is resolved as a root (see [`MountOp`]). The last event is [`Event::Done`] or [`Event::Failed`].
    /// [`MountOp::Proc`] is refused: it belongs to a pid namespace.
    pub fn run_in(
        &self,
        namespace: &MountNamespace,
        root: &Path,
        ops: &[MountOp],
    ) -> Result<Pending> {
        let (join, fds) = namespace.join();
        let job = Job::RunIn {
            stage: namespace.stage.clone(),
            root: root.to_owned(),
            ops: ops.to_vec(),
            join,
        };
        let process = self.helper.start_job(Role::Init, &job, &fds)?;
        Ok(Pending {
            process: Some(process),
            rights: None,
            owes_go: false,
        })
    }
}

/// Receives the first report of a helper, having written the id maps it asks for.
fn expect_mapped(helper: &Process, map: Option<&IdMap>) -> Result<(Report, Vec<OwnedFd>)> {
    let (report, fds) = helper.report(PROMPT)?;
    let (Report::NeedMaps, Some(map)) = (&report, map) else {
        return Ok((report, fds));
    };
    idmap::write(helper.pid(), map)?;
    helper
        .channel()
        .send_now(&Order::Mapped, &[])
        .what(|| "answer the helper".into())?;
    helper.report(PROMPT)
}

/// A sandbox or a list of operations on its way. Dropping it kills it.
#[derive(Debug)]
pub struct Pending {
    process: Option<Process>,
    /// Present when a command is to follow.
    rights: Option<Rights>,
    /// pid 1 waits for the word to go on.
    owes_go: bool,
}

impl Pending {
    /// Gives the process id of pid 1 (or of the helper), as seen by hd, until the last event.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Waits for the next event. [`Event::Started`], [`Event::Done`] and [`Event::Failed`] are the last ones.
    ///
    /// Errors: [`SandboxError::Deadline`] may be followed by another call; after every other error nothing is left.
    pub fn next_event(&mut self, timeout: Duration) -> Result<Event> {
        let process = self.process.as_ref().ok_or_else(|| SandboxError::Ended {
            what: "sandbox".into(),
            how: String::new(),
        })?;
        if std::mem::take(&mut self.owes_go) {
            process
                .channel()
                .send_now(&Order::Go, &[])
                .what(|| format!("let {} go on", process.name()))?;
        }
        match process.report(timeout) {
            Ok((report, fds)) => self.event(report, fds),
            Err(error) => {
                if !matches!(error, SandboxError::Deadline { .. }) {
                    self.process = None;
                }
                Err(error)
            }
        }
    }

    /// Gives a descriptor that is readable when [`Pending::next_event`] would not wait.
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.process
            .as_ref()
            .map(|process| process.channel().as_fd())
    }

    fn event(&mut self, report: Report, fds: Vec<OwnedFd>) -> Result<Event> {
        let fd = fds.into_iter().next();
        match (report, fd) {
            (Report::Fuse(name), Some(fd)) => Ok(Event::Fuse { name, fd }),
            (Report::Upper(name), Some(fd)) => Ok(Event::Upper { name, fd }),
            (Report::Mount(name), Some(fd)) => {
                self.owes_go = true;
                Ok(Event::Mount { name, fd })
            }
            (Report::Going, _) => Ok(Event::Going),
            (Report::Terminal, Some(fd)) => Ok(Event::Terminal(Terminal::new(fd))),
            (Report::Failed(failure), _) => {
                self.process = None;
                Ok(Event::Failed(failure))
            }
            (Report::Done, _) => {
                self.process = None;
                Ok(Event::Done)
            }
            (report, fd) => match (self.process.take(), self.rights) {
                (Some(process), Some(rights)) if matches!(report, Report::Started) => {
                    let workload = fd.as_ref().and_then(pid_of);
                    Ok(Event::Started(Sandbox::new(process, rights, workload)))
                }
                (Some(process), _) => Err(process.unexpected(&report)),
                (None, _) => Err(SandboxError::Ended {
                    what: "sandbox".into(),
                    how: String::new(),
                }),
            },
        }
    }
}
