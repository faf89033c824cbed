//! A network namespace that sandboxes share, and sockets in it for those outside.

use crate::error::{Context, Result, SandboxError};
use crate::helper::Role;
use crate::launcher::{Launcher, MountNamespace, PROMPT};
use crate::process::Process;
use crate::wire::{Job, Join, Order, Report};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A network namespace with a loopback device only. It lives as long as this, or a sandbox in it, does.
///
/// A socket stays in the namespace it was made in, whoever uses it: a small process inside makes those that
/// [`NetworkNamespace::socket`] gives, so no thread of this program ever leaves its own network.
#[derive(Debug)]
pub struct NetworkNamespace {
    launcher: Launcher,
    user: Option<OwnedFd>,
    namespace: OwnedFd,
    /// The process inside, replaced when somebody killed it.
    inside: Mutex<Process>,
}

impl Launcher {
    /// Makes a network namespace; with the user namespace of `within`, if that has one.
    pub fn network_namespace(&self, within: Option<&MountNamespace>) -> Result<NetworkNamespace> {
        let user = within.and_then(MountNamespace::user);
        let user = user.map(OwnedFd::try_clone).transpose();
        let user = user.what(|| "duplicate a namespace".into())?;
        let (inside, namespace) = start(self, user.as_ref(), None)?;
        Ok(NetworkNamespace {
            launcher: self.clone(),
            user,
            namespace,
            inside: Mutex::new(inside),
        })
    }
}

impl NetworkNamespace {
    /// Makes a TCP socket in the namespace, bound and connected to nothing.
    pub fn socket(&self, v6: bool) -> Result<OwnedFd> {
        let mut inside = self.lock();
        match ask(&inside, v6) {
            Ok(socket) => Ok(socket),
            // It lives, and has said what the kernel refused.
            Err(SandboxError::Failed(failure)) => Err(SandboxError::Failed(failure)),
            Err(_) => {
                let known = Some(&self.namespace);
                *inside = start(&self.launcher, self.user.as_ref(), known)?.0;
                ask(&inside, v6)
            }
        }
    }

    /// Gives a process that is in the namespace: `/proc/PID/net` tells of it.
    pub fn pid(&self) -> u32 {
        self.lock().pid()
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    fn lock(&self) -> MutexGuard<'_, Process> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask(inside: &Process, v6: bool) -> Result<OwnedFd> {
    let asked = inside.channel().send_now(&Order::Socket { v6 }, &[]);
    asked.what(|| "ask for a socket".into())?;
    match inside.report(PROMPT)? {
        (Report::Socket, fds) => fds
            .into_iter()
            .next()
            .ok_or_else(|| inside.unexpected(&Report::Socket)),
        (other, _) => Err(inside.unexpected(&other)),
    }
}

/// Starts the process inside, in a new namespace where none is known.
fn start(
    launcher: &Launcher,
    user: Option<&OwnedFd>,
    known: Option<&OwnedFd>,
) -> Result<(Process, OwnedFd)> {
    let join = Join {
        user: user.is_some(),
        mount: false,
        network: known.is_some(),
    };
    let fds: Vec<_> = user.into_iter().chain(known).map(AsFd::as_fd).collect();
    let mut inside = launcher
        .helper()
        .start_job(Role::Init, &Job::Network { join }, &fds)?;
    launcher.guard(&mut inside)?;
    match inside.report(PROMPT)? {
        (Report::Namespace, fds) => {
            let namespace = fds.into_iter().next();
            let missing = || inside.unexpected(&Report::Namespace);
            let namespace = namespace.ok_or_else(missing)?;
            Ok((inside, namespace))
        }
        (other, _) => Err(inside.unexpected(&other)),
    }
}
