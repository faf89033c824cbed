//! The short-lived helper that makes or joins namespaces.

use super::mounts::Stage as StageDir;
use super::{FAILED, Outcome, Tried, init, workload};
use crate::event::Stage;
use crate::mount_op::MountOp;
use crate::spec::{Network, Spec};
use crate::sys::{self, Fork};
use crate::wire::{Channel, Join, Order, Report};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Makes the namespaces of a sandbox and its pid 1, as a child of hd.
pub(super) fn spawn(
    channel: &Channel,
    spec: Spec,
    join: Join,
    joined: Vec<OwnedFd>,
    stdio: workload::Descriptors,
) -> Outcome<i32> {
    let user = join.user || spec.user_namespace.is_some();
    enter_namespaces(join, &joined)?;
    drop(joined);
    if spec.user_namespace.is_some() && !make_user_namespace(channel)? {
        return Ok(FAILED);
    }
    let mut flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if spec.network == Network::None {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    unshare(flags).tried(Stage::Namespaces, "make the namespaces of the sandbox")?;
    match sys::fork_sibling().tried(Stage::Namespaces, "make pid 1")? {
        Fork::Parent { child } => {
            channel
                .send(&Report::Cloned(child), &[])
                .tried(Stage::Helper, "report pid 1")?;
            Ok(0)
        }
        Fork::Child => init::run(channel, spec, user, stdio),
    }
}

/// Makes a mount namespace with a stage, to be kept by its descriptor.
pub(super) fn create(channel: &Channel, stage: &Path, user: bool) -> Outcome<i32> {
    if user && !make_user_namespace(channel)? {
        return Ok(FAILED);
    }
    unshare(CloneFlags::CLONE_NEWNS).tried(Stage::Namespaces, "make a mount namespace")?;
    cut_propagation()?;
    StageDir::mount(stage, Path::new("root"))?;
    let open = |name: &str| {
        File::open(format!("/proc/self/ns/{name}")).tried(Stage::Namespaces, "open a namespace")
    };
    let mut namespaces = vec![open("mnt")?];
    if user {
        namespaces.push(open("user")?);
    }
    let fds: Vec<_> = namespaces.iter().map(AsFd::as_fd).collect();
    channel
        .send(&Report::Namespace, &fds)
        .tried(Stage::Helper, "report the mount namespace")?;
    Ok(0)
}

/// Runs operations in a mount namespace that stays.
pub(super) fn run_in(
    channel: &Channel,
    stage: &Path,
    root: &Path,
    ops: &[MountOp],
    join: Join,
    joined: &[OwnedFd],
) -> Outcome<i32> {
    enter_namespaces(join, joined)?;
    rustix::process::umask(rustix::fs::Mode::empty());
    if let Some(op) = ops.iter().find(|op| matches!(op, MountOp::Proc { .. })) {
        let error = std::io::Error::from_raw_os_error(libc::EINVAL);
        return Err(crate::event::Failure::new(
            Stage::Mount,
            format!("{op:?} without a pid namespace"),
            error,
        ));
    }
    let stage = StageDir::open(stage, root)?;
    for op in ops {
        stage.execute(op, channel)?;
    }
    channel
        .send(&Report::Done, &[])
        .tried(Stage::Helper, "report the end")?;
    Ok(0)
}

/// Keeps what happens to mounts here from the host; what the host unmounts still goes away here.
pub(super) fn cut_propagation() -> Outcome<()> {
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    let changed = rustix::mount::mount_change("/", flags);
    let what = match changed {
        // mount(2): the target is no mount point.
        Err(Errno::INVAL) => {
            "cut the propagation of mounts: / is no mount point (is this a chroot? bind-mount its directory to itself first)"
        }
        _ => "cut the propagation of mounts",
    };
    changed.tried(Stage::Mount, what)
}

pub(super) fn enter_namespaces(join: Join, joined: &[OwnedFd]) -> Outcome<()> {
    let user = join.user.then_some(CloneFlags::CLONE_NEWUSER);
    let mount = join.mount.then_some(CloneFlags::CLONE_NEWNS);
    let network = join.network.then_some(CloneFlags::CLONE_NEWNET);
    let kinds = user.into_iter().chain(mount).chain(network);
    for (fd, kind) in joined.iter().zip(kinds) {
        setns(fd, kind).tried(
            Stage::Namespaces,
            format_args!("join a namespace ({kind:?})"),
        )?;
    }
    Ok(())
}

/// Makes a user namespace and waits until hd has written its maps; `false` when hd is gone.
fn make_user_namespace(channel: &Channel) -> Outcome<bool> {
    unshare(CloneFlags::CLONE_NEWUSER).tried(Stage::Namespaces, "make a user namespace")?;
    channel
        .send(&Report::NeedMaps, &[])
        .tried(Stage::Helper, "ask for id maps")?;
    let answer = channel
        .receive::<Order>()
        .tried(Stage::Helper, "wait for id maps")?;
    Ok(matches!(answer, Some((Order::Mapped, _))))
}
