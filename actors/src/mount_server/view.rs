//! What services see: the composed tree below a live project, shared by all of an instance; or an image of their own.
//!
//! The lower lives in a mount namespace that only this runtime holds; each
//! service has an overlay on it whose upper survives its restarts and ends with the view.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hd_config::{Service, ServiceNetwork};
use hd_dag::{Rooted, TreePath};
use hd_sandbox::{
    Command, Create, Event, Failure, Limits, MountNamespace, MountOp, Network, Place, Privileges,
    Spec,
};

use super::follow::Follow;
use super::layers::Layers;
use super::lower::Session;
use super::mount_points::MountPoints;
use super::network::names_on;
use super::outputs::LiveOutputs;
use crate::base::account::Account;
use crate::base::mounts::{bind, common, inside};
use crate::base::{Base, ROOT_STAGED, pass_through};
use crate::messages::BatchError;
use crate::model::declared::Declared;
use crate::session::Needed;
use crate::shared::Shared;
use crate::step_runner::plan::Plan;
use crate::step_runner::{accounts, environment};

/// How long a service's view may take to be made.
pub(super) const START_WITHIN: Duration = Duration::from_secs(30);

/// A view for services, immutable but for the overlays made in it.
#[derive(Debug)]
pub struct ServiceView {
    /// Base and outputs composed, without the project.
    pub lower: Rooted,
    /// What its FUSE mount shows: with the project, when that is projected.
    pub(super) seen: Rooted,
    /// What was declared when it was made; its services may have changed since.
    pub declared: Arc<Declared>,
    /// Facts shared with the steps.
    pub plan: Plan,
    /// Who services run as.
    pub account: Account,
    /// Outputs mounted over the project.
    pub outputs: LiveOutputs,
    /// What it stands on.
    pub(super) base: Base,
    /// It is of a service with a base of its own: nothing of project and steps is in it.
    pub(super) is_apart: bool,
    /// Where its mounts live.
    pub(super) namespace: Arc<MountNamespace>,
    /// Directory of the view in the stage of the namespace.
    pub(super) dir: String,
    /// Where the lower is in that stage.
    pub(super) lower_at: PathBuf,
    /// Directories made in the project to mount on; those of all views of the runtime.
    pub(super) mount_points: MountPoints,
    pub(super) layers: Layers,
    pub(super) session: Session,
    /// Layers of content below the lower.
    pub(super) data: Vec<Place>,
    /// How a projected project follows the host; nothing when it is live.
    pub(super) follow: Option<Follow>,
    /// Keeps what the view is made of from being collected.
    pub(super) _needed: Needed,
}

impl ServiceView {
    /// Tells whether services see the host's own directory of the project.
    pub fn is_live(&self) -> bool {
        self.follow.is_none() && !self.is_apart
    }

    /// Tells whether its lower still answers.
    pub fn is_served(&self) -> bool {
        self.session.is_alive()
    }

    /// Tells whether a new view on a project tree would show outputs at the same places, and the same of the project
    /// taken away; if that cannot be told, it had better be made.
    pub fn suits(&self, shared: &Shared, project: Rooted, outputs: &[Rooted]) -> bool {
        let stands = self.outputs.stands(&*shared.trees, project);
        stands.unwrap_or(false) && self.takes_away_the_same(shared, outputs)
    }

    /// Gives a command with the surroundings of a service: for its own process, probes and `exec`.
    pub fn command<T: Into<OsString>>(
        &self,
        shared: &Shared,
        service: Option<&Service>,
        argv: impl IntoIterator<Item = T>,
    ) -> Result<Command, BatchError> {
        let account = match service.and_then(|service| Some((service, service.user.as_deref()?))) {
            None => self.account.clone(),
            Some((service, user)) => accounts::named_account(shared, &self.base, self.lower, user)
                .map_err(|error| error.at(format!("services.{}.user", service.name)))?,
        };
        let mut env = self.plan.passed.clone();
        match service.map(|service| service.network) {
            None => {}
            Some(ServiceNetwork::Host) => {
                let declared = shared.declared();
                let names = names_on(ServiceNetwork::Host, &declared.project);
                pass_through::spare(&mut env, names);
            }
            // There is no way to a proxy from there, and services are reached without one.
            Some(_) => env.retain(|name, _| !pass_through::is_proxy(name)),
        }
        let own = match self.is_apart {
            true => environment::common(&self.base, &account, &BTreeMap::new()),
            false => {
                environment::of_service(&self.base, &account, &self.declared.env, self.is_live())
            }
        };
        env.extend(own);
        if let Some(service) = service {
            env.extend(
                service
                    .env
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
        }
        let mut command = Command::new(argv);
        command.env = env
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        command.cwd = PathBuf::from(&self.plan.workdir);
        if let Some(dir) = service.and_then(|service| service.working_dir.as_deref()) {
            // An absolute one replaces it.
            command.cwd.push(dir);
        }
        (command.uid, command.gid) = (account.uid, account.gid);
        command.groups = account.groups;
        Ok(command)
    }

    pub(super) fn spec(&self, shared: &Shared, name: &str, command: Command) -> Spec {
        Spec {
            name: name.to_owned(),
            hostname: self.declared.project.name.clone(),
            stage: shared.settings.paths.service_stage(),
            root: PathBuf::from(ROOT_STAGED),
            mounts: self.mounts(shared, name),
            command,
            privileges: Privileges::default(),
            limits: Limits::default(),
            network: Network::Host,
            user_namespace: None,
        }
    }

    fn mounts(&self, shared: &Shared, service: &str) -> Vec<MountOp> {
        let layer = self.layer(service);
        let merged = self.namespace.stage().join(layer).join("merged");
        let of_view = |path: &TreePath| Place::Beneath {
            directory: merged.clone(),
            path: host_path(path),
        };
        let mut ops = match &self.base {
            Base::Host(host) => {
                let mut ops = vec![MountOp::Tmpfs {
                    at: ROOT_STAGED.into(),
                    size: None,
                    mode: 0o755,
                }];
                for (at, source) in &host.directories {
                    ops.push(host_bind(source, inside(at)));
                }
                for (at, target) in &host.links {
                    let target = PathBuf::from(OsStr::from_bytes(target));
                    ops.push(MountOp::Symlink {
                        at: inside(at),
                        target,
                    });
                }
                for dir in ["/var/tmp", "/proc", "/sys", "/dev"] {
                    ops.push(MountOp::Mkdir {
                        at: inside(dir),
                        mode: 0o755,
                        owner: None,
                    });
                }
                ops.push(bind(
                    of_view(&self.plan.home_path),
                    inside(&self.account.home),
                    false,
                    Create::Dir,
                ));
                for tool in &host.tools {
                    ops.push(host_bind(tool, inside(&tool.to_string_lossy())));
                }
                ops
            }
            Base::Image(_) => vec![bind(
                Place::Host(merged.clone()),
                ROOT_STAGED.into(),
                false,
                Create::Dir,
            )],
        };
        let workdir = inside(&self.plan.workdir);
        match (&self.follow, &self.base) {
            _ if self.is_apart => {}
            (None, _) => ops.push(live_project(shared, workdir)),
            (Some(_), Base::Host(_)) => {
                let project = of_view(&self.plan.workdir_path);
                ops.push(bind(project, workdir, false, Create::Dir));
            }
            // The whole root is of the view.
            (Some(_), Base::Image(_)) => {}
        }
        for output in &self.outputs.shown {
            let source = of_view(&self.plan.workdir_path.join_path(output));
            ops.push(bind(
                source,
                inside(&self.plan.workdir).join(host_path(output)),
                false,
                Create::Nothing,
            ));
        }
        for (path, name) in &self.plan.downloads {
            let place = Place::Host(shared.settings.paths.download_cache(name));
            ops.push(bind(
                place,
                Path::new(ROOT_STAGED).join(host_path(path)),
                false,
                Create::Dir,
            ));
        }
        ops.extend(common(&self.base, self.plan.ca.as_deref()));
        ops
    }
}

/// Gives a tree path as a relative host path.
pub fn host_path(path: &TreePath) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path.as_bytes()))
}

/// Shows the project directory with what the host has mounted below it, such as a volume at `node_modules` in a
/// container: what a service writes there must not end up below the mount.
fn live_project(shared: &Shared, at: PathBuf) -> MountOp {
    let settings = &shared.settings;
    let home = settings.paths.home();
    let home = std::fs::canonicalize(home).unwrap_or_else(|_| home.to_owned());
    MountOp::Bind {
        source: Place::Host(settings.project_dir.clone()),
        at,
        // A state directory in the project has the mounts of hd itself below it.
        recursive: !home.starts_with(&settings.project_dir),
        read_only: false,
        create: Create::Dir,
    }
}

fn host_bind(source: &Path, at: PathBuf) -> MountOp {
    let create = if source.is_dir() {
        Create::Dir
    } else {
        Create::File
    };
    MountOp::Bind {
        source: Place::Host(source.to_path_buf()),
        at,
        recursive: true,
        read_only: true,
        create,
    }
}

/// Runs mount operations in a namespace (`root` as in [`MountOp`]), handing FUSE connections and upper
/// directories to `given` as they appear.
pub fn run_in(
    shared: &Shared,
    namespace: &MountNamespace,
    root: &Path,
    ops: &[MountOp],
    given: impl FnMut(String, std::os::fd::OwnedFd) -> Result<(), BatchError>,
) -> Result<(), BatchError> {
    tried_in(shared, namespace, root, ops, given)?.map_err(|e| BatchError::new("sandbox", e))
}

/// The same, telling apart what one of the operations met: those before it were carried out.
pub fn tried_in(
    shared: &Shared,
    namespace: &MountNamespace,
    root: &Path,
    ops: &[MountOp],
    mut given: impl FnMut(String, std::os::fd::OwnedFd) -> Result<(), BatchError>,
) -> Result<Result<(), Failure>, BatchError> {
    let broken = |e: hd_sandbox::SandboxError| BatchError::new("sandbox", e);
    let mut pending = shared
        .launcher()?
        .run_in(namespace, root, ops)
        .map_err(broken)?;
    loop {
        match pending.next_event(START_WITHIN).map_err(broken)? {
            Event::Done => return Ok(Ok(())),
            Event::Fuse { name, fd } | Event::Upper { name, fd } => given(name, fd)?,
            Event::Failed(failure) => return Ok(Err(failure)),
            Event::Terminal(_) | Event::Mount { .. } | Event::Started(_) | Event::Going => {}
        }
    }
}

/// Runs operations that copy, for as long as that takes, unless it `is_over`.
///
/// # Errors
/// Those of the sandbox, and when it was over before its end.
pub fn run_long(
    shared: &Shared,
    (namespace, root): (&MountNamespace, &Path),
    ops: &[MountOp],
    is_over: &dyn Fn() -> bool,
) -> Result<(), BatchError> {
    let broken = |e: hd_sandbox::SandboxError| BatchError::new("sandbox", e);
    let pending = shared.launcher()?.run_in(namespace, root, ops);
    let mut pending = pending.map_err(broken)?;
    loop {
        match pending.next_event(START_WITHIN).map_err(broken)? {
            Event::Done => return Ok(()),
            Event::Failed(failure) => return Err(BatchError::new("sandbox", failure)),
            _ if is_over() => return Err(BatchError::new("service", "stopped before its start")),
            _ => {}
        }
    }
}
