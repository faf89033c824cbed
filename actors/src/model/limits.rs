//! Control groups of services: written down and told to the guardian as long as they are there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hd_config::Resources;
use hd_sandbox::Guardian;
use hd_sandbox::cgroup::{self, Cgroup, Missing};

use super::instance::InstancePaths;

/// Distinguishes the groups of one process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The control groups of one run of a service. Dropped, they are removed: its processes must be gone.
#[derive(Debug)]
pub struct Limits {
    group: Option<Cgroup>,
    note: PathBuf,
    guardian: Option<Guardian>,
    wanted: Resources,
}

impl Limits {
    /// Makes the groups, and says which limits have none.
    pub fn make(
        paths: &InstancePaths,
        guardian: Option<&Guardian>,
        service: &str,
        wanted: Resources,
    ) -> (Self, Vec<Missing>) {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!(
            "hd-{}-{service}-{}-{number}",
            paths.id(),
            std::process::id()
        );
        let (group, missing) = Cgroup::create(
            &name,
            &cgroup::Resources {
                memory: wanted.memory,
                cpus: wanted.cpus,
                pids: wanted.pids,
            },
        );
        let note = paths.cgroups().join(&name);
        let directories = group.directories().to_vec();
        // Whoever fails here, another one of those who remove them knows them too.
        if let Err(error) = write(&note, &directories) {
            tracing::warn!(path = %note.display(), %error, "control groups cannot be written down");
        }
        if let Some(Err(error)) = guardian.map(|guardian| guardian.add_paths(directories)) {
            tracing::warn!(%error, "the guardian was not told of control groups");
        }
        let limits = Self {
            group: Some(group),
            note,
            guardian: guardian.cloned(),
            wanted,
        };
        (limits, missing)
    }

    /// Gives the groups.
    pub fn group(&self) -> Option<&Cgroup> {
        self.group.as_ref()
    }

    /// Gives the limit of memory, if processes were killed for it.
    pub fn out_of_memory(&self) -> Option<u64> {
        let kills = self.group.as_ref().map_or(0, Cgroup::memory_kills);
        self.wanted.memory.filter(|_| kills > 0)
    }

    /// Gives the limit of processes, if one more was refused.
    pub fn out_of_processes(&self) -> Option<u64> {
        let refused = self.group.as_ref().map_or(0, Cgroup::pids_refused);
        self.wanted.pids.filter(|_| refused > 0)
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        let Some(group) = self.group.take() else {
            return;
        };
        let directories = group.directories().to_vec();
        drop(group);
        if let Some(guardian) = &self.guardian {
            // One that is gone removes nothing any more.
            let _ = guardian.forget_paths(&directories);
        }
        // The next start of the instance removes it.
        let _ = fs::remove_file(&self.note);
    }
}

fn write(note: &Path, directories: &[PathBuf]) -> io::Result<()> {
    if let Some(parent) = note.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(note, serde_json::to_vec(directories)?)
}

/// Removes the control groups that a killed runtime left; its processes must be gone.
pub fn sweep(paths: &InstancePaths) -> io::Result<()> {
    let listing = match fs::read_dir(paths.cgroups()) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in listing {
        let note = entry?.path();
        let bytes = fs::read(&note)?;
        let directories: Vec<PathBuf> = serde_json::from_slice(&bytes).unwrap_or_default();
        for directory in directories {
            cgroup::remove(&directory)?;
        }
        fs::remove_file(&note)?;
    }
    Ok(())
}
