//! How another process enters a running service: written down when it starts.
//!
//! The file holds the whole environment of the service, secrets too: only its owner reads it.
//! What it names may have ended since; the record in it tells.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hd_sandbox::{Command, Limits, Network, Privileges, Record, Spec};
use serde::{Deserialize, Serialize};

use super::files::private_dir;

/// A sandbox and what a command beside its own gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// The sandbox.
    pub record: Record,
    /// Its command: environment, directory and ids hold for others too.
    pub command: Command,
    /// Its rights.
    pub privileges: Privileges,
    /// Its limits.
    pub limits: Limits,
    /// Its network.
    pub network: Network,
    /// Directories of its control groups.
    #[serde(default)]
    pub groups: Vec<PathBuf>,
}

impl Surroundings {
    /// Takes down a sandbox that was started from a spec, in control groups.
    pub fn new(record: Record, spec: &Spec, groups: &[PathBuf]) -> Self {
        Self {
            record,
            command: spec.command.clone(),
            privileges: spec.privileges,
            limits: spec.limits,
            network: spec.network,
            groups: groups.to_vec(),
        }
    }

    /// Replaces the file whole, without syncing: a power cut ends the service as well.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            private_dir(parent)?;
        }
        let fresh = path.with_extension("new");
        // What a killed writer left may be open to others or unfinished.
        let _ = fs::remove_file(&fresh);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(&fresh, path)
    }

    /// Reads the file; `None` when there is none.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_reads_what_comes_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("services/web.json");
        assert_eq!(Surroundings::read(&path).unwrap(), None);
        let mut command = Command::new(["web"]);
        command.env = vec![("TOKEN".into(), "secret".into())];
        let mut surroundings = Surroundings {
            record: Record {
                pid: 7,
                start_time: 1,
                pid_namespace: "pid:[1]".into(),
                boot_id: "b".into(),
            },
            command,
            privileges: Privileges::default(),
            limits: Limits::default(),
            network: Network::Host,
            groups: vec!["/sys/fs/cgroup/x".into()],
        };
        for pid in [7, 8] {
            surroundings.record.pid = pid;
            surroundings.write(&path).unwrap();
            let read = Surroundings::read(&path).unwrap();
            assert_eq!(read.as_ref(), Some(&surroundings));
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        fs::write(&path, "{").unwrap();
        assert!(Surroundings::read(&path).is_err());
    }
}
