//! Where an instance keeps what: all paths below `HD_HOME`, computed in one place.

use std::path::{Path, PathBuf};

/// What the names of the references of instances start with.
pub const REFERENCE_PREFIX: &str = "instance-";

/// What the names of the references of snapshots start with.
pub const SNAPSHOT_PREFIX: &str = "snapshot/";

/// Paths of one running or past environment of one project directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstancePaths {
    home: PathBuf,
    id: String,
}

impl InstancePaths {
    /// Names the instance of `project` (an absolute, canonical directory) under `home`.
    ///
    /// The id is the directory's last name and 12 hex digits of BLAKE3 of its whole path, so
    /// that a person finds it and two projects of one name do not meet.
    pub fn new(home: &Path, project: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let digest = hd_store::Id::derive("hd 2026 instance id v1", project.as_os_str().as_bytes());
        let name: String = project
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
                    c
                } else {
                    '-'
                }
            })
            .take(40)
            .collect();
        Self {
            home: home.to_path_buf(),
            id: format!("{name}-{}", digest.short()),
        }
    }

    /// Names another instance of the same directory, with ports, logs and state of its own; `name` is a
    /// part of a file name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            id: format!("{}-{name}", self.id),
            ..self
        }
    }

    /// Gives the name of an instance that has one, from its id.
    pub fn name(&self) -> Option<&str> {
        let mut rest = self.id.as_str();
        while let Some((part, after)) = rest.split_once('-') {
            if part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Some(after);
            }
            rest = after;
        }
        None
    }

    /// Lists the other instances of the same directory that left a directory behind.
    pub fn siblings(&self) -> Vec<Self> {
        let own = self.name().map(|name| format!("-{name}"));
        let first = own.and_then(|name| self.id.strip_suffix(&name));
        let first = first.unwrap_or(&self.id);
        let listing = std::fs::read_dir(self.home.join("instances"));
        let ids = listing.into_iter().flatten().flatten();
        let ids = ids.filter_map(|entry| entry.file_name().into_string().ok());
        let of_it = |id: &String| {
            let rest = id.strip_prefix(first);
            *id != self.id && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        ids.filter(of_it)
            .map(|id| Self::of_id(&self.home, &id))
            .collect()
    }

    /// Names an instance by its id.
    pub fn of_id(home: &Path, id: &str) -> Self {
        Self {
            home: home.to_path_buf(),
            id: id.to_owned(),
        }
    }

    /// Id of the instance: a file name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The directory of all state: `HD_HOME`.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Name of the store's reference to what the instance needs.
    pub fn reference(&self) -> String {
        format!("{REFERENCE_PREFIX}{}", self.id)
    }

    /// The content-addressed store, shared by all instances.
    pub fn cas(&self) -> PathBuf {
        self.home.join("cas")
    }

    /// The instance's own directory.
    pub fn dir(&self) -> PathBuf {
        self.home.join("instances").join(&self.id)
    }

    /// Locked by the one runtime that owns the instance.
    pub fn lock(&self) -> PathBuf {
        self.dir().join("lock")
    }

    /// The project directory, for those who find only the instance.
    pub fn project(&self) -> PathBuf {
        self.dir().join("project")
    }

    /// Control socket of the runtime.
    pub fn socket(&self) -> PathBuf {
        self.dir().join("control.sock")
    }

    /// Last known state, for commands that find no runtime.
    pub fn state(&self) -> PathBuf {
        self.dir().join("state.json")
    }

    /// What steps left in kept directories.
    pub fn kept(&self) -> PathBuf {
        self.dir().join("kept.json")
    }

    /// Which stored trace each step stands on.
    pub fn traces(&self) -> PathBuf {
        self.dir().join("traces.json")
    }

    /// What the last outcome of the steps follows from.
    pub fn outcome(&self) -> PathBuf {
        self.dir().join("outcome.json")
    }

    /// Processes of the runtime, for the command that finds it killed.
    pub fn processes(&self) -> PathBuf {
        self.dir().join("processes.json")
    }

    /// Directory of what tells how to enter each running service.
    pub fn services(&self) -> PathBuf {
        self.dir().join("services")
    }

    /// How to enter a running service.
    pub fn service(&self, name: &str) -> PathBuf {
        self.services().join(format!("{name}.json"))
    }

    /// Mount points made in the project, written before they are made.
    pub fn mount_points(&self) -> PathBuf {
        self.dir().join("mount-points.json")
    }

    /// Empty directory on which private mount namespaces stage their mounts.
    pub fn stage(&self) -> PathBuf {
        self.dir().join("stage")
    }

    /// Empty directory on which the mount namespace with the lowers of steps and services stages its mounts.
    pub fn lower_stage(&self) -> PathBuf {
        self.dir().join("lower-stage")
    }

    /// Empty directory on which the mount namespace shared by services stages its mounts.
    pub fn shared_stage(&self) -> PathBuf {
        self.dir().join("shared-stage")
    }

    /// Empty directory on which each service stages its own mounts.
    pub fn service_stage(&self) -> PathBuf {
        self.dir().join("service-stage")
    }

    /// Stat cache of the project's scan.
    pub fn scan(&self) -> PathBuf {
        self.cas().join("scan").join(&self.id)
    }

    /// Write layer of the step that runs; removed when it is captured.
    pub fn work(&self, run: &str) -> PathBuf {
        self.dir().join("work").join(run)
    }

    /// Parent of all write layers.
    pub fn works(&self) -> PathBuf {
        self.dir().join("work")
    }

    /// A download cache kept over runs, never part of an environment.
    pub fn download_cache(&self, name: &str) -> PathBuf {
        self.dir().join("caches").join(name)
    }

    /// Named volumes, one directory each.
    pub fn volumes(&self) -> PathBuf {
        self.dir().join("volumes")
    }

    /// What was exported into the project, by path.
    pub fn exports(&self) -> PathBuf {
        self.dir().join("exports.json")
    }

    /// Directory of what snapshots consist of.
    pub fn snapshots(&self) -> PathBuf {
        self.dir().join("snapshots")
    }

    /// What a snapshot consists of; `name` is a part of a file name.
    pub fn snapshot(&self, name: &str) -> PathBuf {
        self.snapshots().join(format!("{name}.json"))
    }

    /// Name of the store's reference to a snapshot.
    pub fn snapshot_reference(&self, name: &str) -> String {
        // No id and no name has a slash: two of them never make the same.
        format!("{SNAPSHOT_PREFIX}{}/{name}", self.id)
    }

    /// Directory of what tells which control groups there are.
    pub fn cgroups(&self) -> PathBuf {
        self.dir().join("cgroups")
    }

    /// Names and addresses that isolated services see as `/etc/hosts`.
    pub fn hosts(&self) -> PathBuf {
        self.dir().join("hosts")
    }

    /// The same for services on the network of this machine.
    pub fn hosts_of_machine(&self) -> PathBuf {
        self.dir().join("hosts-of-machine")
    }

    /// Log of the last run of a step.
    pub fn step_log(&self, step: &str) -> PathBuf {
        self.dir().join("logs").join(format!("{step}.log"))
    }

    /// Directory of a service's logs.
    pub fn service_logs(&self) -> PathBuf {
        self.dir().join("logs").join("services")
    }
}
