//! What belongs to a sandbox of a service besides its view.

use std::path::Path;

use hd_config::Service;
use hd_sandbox::{Command, Create, MountOp, Place};

use crate::base::mounts::{bind, inside};

/// Where a service finds the socket on which it says that it is ready.
const ANNOUNCE_INSIDE: &str = "/run/hd/ready";

/// What belongs to it.
#[derive(Debug, Default)]
pub struct More<'s> {
    /// Whose it is: what it does to the project is witnessed.
    pub(super) service: Option<&'s Service>,
    /// Mounts on top of all others.
    pub(super) mounts: Vec<MountOp>,
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
    pub(super) fn announce(&mut self, socket: &Path, command: &mut Command) {
        command.set_env([("NOTIFY_SOCKET".into(), ANNOUNCE_INSIDE.into())]);
        let (source, at) = (Place::Host(socket.to_owned()), inside(ANNOUNCE_INSIDE));
        self.mounts.push(bind(source, at, false, Create::File));
    }
}

/// Has the mount at a place reported as soon as it is there.
pub(super) fn report_mount(mounts: &mut Vec<MountOp>, place: &Path) {
    let is_it = |op: &MountOp| matches!(op, MountOp::Bind { at, .. } if at == place);
    if let Some(found) = mounts.iter().position(is_it) {
        let (at, name) = (place.to_owned(), "project".to_owned());
        mounts.insert(found + 1, MountOp::Report { at, name });
    }
}
