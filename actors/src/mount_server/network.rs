//! The network of a service: which namespace it runs in, and the names it finds there.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use hd_config::{Project, Service, ServiceNetwork, Volume};
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
            ServiceNetwork::Host => Network::Host,
            ServiceNetwork::None => Network::None,
            ServiceNetwork::Isolated => Network::Joined,
        };
        spec.mounts.extend(self.names(shared, service)?);
        self.network(shared, service)
    }

    /// Writes down the names that a service finds the others at, and gives the mount of that: nothing where there are none,
    /// or where it has a file of its own.
    ///
    /// It is written in place: services that run have this very file.
    fn names(&self, shared: &Shared, service: &Service) -> Result<Option<MountOp>, BatchError> {
        let has_own = |volume: &Volume| matches!(&*volume.target, HOSTS | "/etc");
        if service.volumes.iter().any(has_own) {
            return Ok(None);
        }
        let (paths, declared) = (&shared.settings.paths, shared.declared());
        let names = names_on(service.network, &declared.project);
        let (path, text) = match service.network {
            ServiceNetwork::None => return Ok(None),
            ServiceNetwork::Isolated => (paths.hosts(), hosts(ALONE, &names)),
            ServiceNetwork::Host => match of_machine(self.base.is_image()) {
                Some(text) => (paths.hosts_of_machine(), hosts(&text, &names)),
                None => return Ok(None),
            },
        };
        let known = fs::read_to_string(&path).ok();
        if known.as_deref() != Some(text.as_str()) {
            let failed = |e| BatchError::new("io", e).at(path.display().to_string());
            write_in_place(&path, &text).map_err(failed)?;
        }
        let at = inside(HOSTS);
        let mount = bind(Place::Host(path), at, true, Create::Nothing);
        Ok(Some(mount))
    }
}

/// The file with the names of hosts.
const HOSTS: &str = "/etc/hosts";

/// What is known where nothing leads out.
const ALONE: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n";

/// Gives the file of this machine, nothing where it has none. An image has a plain file of that name, whatever this
/// machine has; on its own system no other file can be shown in the place of a link.
fn of_machine(is_image: bool) -> Option<String> {
    let is_plain = || fs::symlink_metadata(HOSTS).is_ok_and(|found| found.is_file());
    match is_image {
        true => Some(fs::read_to_string(HOSTS).unwrap_or_else(|_| ALONE.to_owned())),
        false if is_plain() => fs::read_to_string(HOSTS).ok(),
        false => None,
    }
}

/// No reader ever finds it empty.
fn write_in_place(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    // Whatever the umask: no service runs as who runs hd.
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

/// The names of the services on a network; where nothing leads out also that of the environment, which is the name of
/// the host there. Elsewhere it may be that of another one.
pub(super) fn names_on(network: ServiceNetwork, project: &Project) -> BTreeSet<&str> {
    let here = project.services.iter().filter(|one| one.network == network);
    // A name that all replicas have is that of whichever accepts.
    let mut names: BTreeSet<&str> = here.flat_map(|one| [one.declared(), &one.name]).collect();
    if network == ServiceNetwork::Isolated {
        names.insert(&project.name);
    }
    names
}

/// Adds names to a file of hosts that does not have them.
fn hosts(file: &str, names: &BTreeSet<&str>) -> String {
    let words = |line: &'_ str| {
        let entry = line.split('#').next().unwrap_or_default();
        let names = entry.split_whitespace().skip(1);
        names.map(str::to_ascii_lowercase).collect::<Vec<_>>()
    };
    let known: BTreeSet<String> = file.lines().flat_map(words).collect();
    let mut text = file.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for name in names {
        if !known.contains(&name.to_ascii_lowercase()) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "127.0.0.1 {name}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_added_to_what_this_machine_knows() {
        let names = BTreeSet::from(["cache", "db", "shop"]);
        let cases = [
            ("", "127.0.0.1 cache\n127.0.0.1 db\n127.0.0.1 shop\n"),
            (
                "10.0.0.7 DB db.example # cache\n127.0.1.1 shop",
                "10.0.0.7 DB db.example # cache\n127.0.1.1 shop\n127.0.0.1 cache\n",
            ),
        ];
        for (file, expected) in cases {
            assert_eq!(hosts(file, &names), expected, "{file:?}");
        }
    }
}
