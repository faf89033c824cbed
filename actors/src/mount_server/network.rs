//! The network of a service: which namespace it runs in, and the names it finds there.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::sync::Arc;

use hd_config::{Project, Service, ServiceNetwork};
use hd_sandbox::{Create, MountOp, Network, NetworkNamespace, Place, Spec};

use super::view::ServiceView;
use crate::base::mounts::{bind, inside};
use crate::messages::BatchError;
use crate::shared::Shared;

impl ServiceView {
    /// Gives the network that a service shares with others, if it is isolated. Blocks.
    pub fn network(
        &self,
        shared: &Shared,
        service: &Service,
    ) -> Result<Option<Arc<NetworkNamespace>>, BatchError> {
        match service.network {
            ServiceNetwork::Isolated => shared.network(&self.namespace).map(Some),
            ServiceNetwork::Host | ServiceNetwork::None => Ok(None),
        }
    }

    /// Puts a sandbox on the network of its service.
    pub(super) fn connect(
        &self,
        shared: &Shared,
        service: &Service,
        spec: &mut Spec,
    ) -> Result<Option<Arc<NetworkNamespace>>, BatchError> {
        spec.network = match service.network {
            ServiceNetwork::Host => return Ok(None),
            ServiceNetwork::None => Network::None,
            ServiceNetwork::Isolated => Network::Joined,
        };
        if service.network == ServiceNetwork::Isolated {
            spec.mounts.push(names(shared)?);
        }
        self.network(shared, service)
    }
}

/// Writes down the names of all isolated services, and gives the mount of that.
///
/// It is written in place: services that run have this very file.
fn names(shared: &Shared) -> Result<MountOp, BatchError> {
    let path = shared.settings.paths.hosts();
    let text = hosts(&shared.declared().project);
    let known = fs::read_to_string(&path).ok();
    if known.as_deref() != Some(text.as_str()) {
        let failed = |e| BatchError::new("io", e).at(path.display().to_string());
        fs::write(&path, &text).map_err(failed)?;
    }
    let at = inside("/etc/hosts");
    Ok(bind(Place::Host(path), at, true, Create::Nothing))
}

fn hosts(project: &Project) -> String {
    let isolated = project
        .services
        .iter()
        .filter(|one| one.network == ServiceNetwork::Isolated);
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n".to_owned();
    // A name that all replicas have is that of whichever accepts.
    let names = isolated.flat_map(|one| [one.declared(), &one.name]);
    let names: BTreeSet<&str> = names.chain([project.name.as_str()]).collect();
    for name in names {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "127.0.0.1 {name}");
    }
    text
}
