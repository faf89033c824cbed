//! Copies of a project to work in.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::super::edit::with_ports;
use super::super::process::Watch;
use super::super::rival::COMPOSE;
use super::{Subject, read, write};
use crate::error::{CliError, exit};
use crate::project::FILE;

/// Ports given to copies; below those that the kernel gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A copy of the project.
#[derive(Debug)]
pub(in super::super) struct Copy {
    /// Where it is.
    pub(in super::super) directory: PathBuf,
    /// The port of the service that is asked.
    pub(in super::super) port: u16,
}

/// Who works in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Reader {
    Hd,
    Engine,
}

impl Subject {
    /// Copies the project into a new directory; every port of it becomes a free one.
    pub(in super::super) fn copy(
        &self,
        watch: &Watch,
        to: &Path,
        reader: Reader,
    ) -> Result<Copy, CliError> {
        for file in &self.files {
            watch.check()?;
            copy_one(&self.directory.join(file), &to.join(file))?;
        }
        let mut moved: Vec<(u16, u16)> = Vec::new();
        for old in &self.ports {
            let taken: Vec<u16> = moved.iter().map(|(_, new)| *new).collect();
            moved.push((*old, free_port(&taken)?));
        }
        fs::create_dir_all(to).map_err(|e| CliError::io("make", to, &e))?;
        // To engines it is a file like any other: changed in each copy, it would change what they copy into images.
        if reader == Reader::Hd {
            replace(&to.join(FILE), &with_ports(&self.config, &moved))?;
        }
        // Both name the same ports.
        for name in COMPOSE.iter().filter(|name| to.join(name).is_file()) {
            let file = to.join(name);
            replace(&file, &with_ports(&read(&file)?, &moved))?;
        }
        let own = moved.iter().find(|(old, _)| *old == self.port);
        Ok(Copy {
            directory: to.to_owned(),
            port: own.map_or(self.port, |(_, new)| *new),
        })
    }
}

fn copy_one(from: &Path, to: &Path) -> Result<(), CliError> {
    // Below a link to a directory it is there already, and may be the very same file.
    if to.exists() {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|e| CliError::io("make", parent, &e))?;
    }
    let copied = match fs::read_link(from) {
        Ok(target) => symlink(target, to),
        Err(_) => fs::copy(from, to).map(|_| ()),
    };
    copied.map_err(|e| CliError::io("copy", from, &e))
}

/// Writes a text file in place of a link: what that leads to is not part of a copy.
fn replace(path: &Path, text: &str) -> Result<(), CliError> {
    if path.is_symlink() {
        fs::remove_file(path).map_err(|e| CliError::io("remove", path, &e))?;
    }
    write(path, text)
}

/// Gives a port that is free now and not among `taken`.
fn free_port(taken: &[u16]) -> Result<u16, CliError> {
    let count = u32::from(PORTS.end - PORTS.start);
    let start = std::process::id().wrapping_mul(7) % count;
    let around = (0..count).map(|offset| (start + offset) % count);
    let mut ports = around.filter_map(|offset| Some(PORTS.start + u16::try_from(offset).ok()?));
    let free = |port: &u16| !taken.contains(port) && is_free(*port);
    ports.find(free).ok_or_else(|| {
        let message = format!("no port from {} to {} is free", PORTS.start, PORTS.end);
        CliError::new("port", exit::INTERNAL, message)
    })
}

/// Tells whether nobody listens on a port of this machine: where programs listen on `localhost`, that may be
/// either address.
fn is_free(port: u16) -> bool {
    let of_six = match TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
        // A machine without IPv6 has nobody there.
        Err(error) => error.kind() != ErrorKind::AddrInUse,
        Ok(_) => true,
    };
    of_six && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_on_both_addresses_or_not_at_all() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            assert!(!is_free(listener.local_addr().unwrap().port()), "{address}");
        }
    }

    #[test]
    fn ports_are_not_given_twice() {
        let first = free_port(&[]).unwrap();
        assert_ne!(free_port(&[first]).unwrap(), first);
    }
}
