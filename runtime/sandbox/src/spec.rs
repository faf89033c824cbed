//! What to run and with which rights: plain data.

use crate::idmap::IdMap;
use crate::mount_op::MountOp;
use crate::raw;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::PathBuf;

/// Describes one sandbox: its view of the files, its command, its rights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Name used in messages and as the process title of pid 1.
    pub name: String,
    /// Host name inside the sandbox.
    pub hostname: String,
    /// An existing empty host directory. A tmpfs is mounted on it, visible to this sandbox only; every staged path is
    /// relative to it. The directories `lower`, `merged` and `root` are made below it.
    #[serde(with = "raw::one")]
    pub stage: PathBuf,
    /// The staged path that becomes `/`.
    #[serde(with = "raw::one")]
    pub root: PathBuf,
    /// The mounts, executed in order by pid 1 in its private mount namespace.
    pub mounts: Vec<MountOp>,
    /// The process to run.
    pub command: Command,
    /// Its rights.
    pub privileges: Privileges,
    /// Its resource limits.
    pub limits: Limits,
    /// Its network.
    pub network: Network,
    /// A new user namespace with these ids ([`crate::idmap::required`]); `None` when hd is root. Ignored when the
    /// sandbox joins a [`crate::MountNamespace`] that has a user namespace of its own.
    pub user_namespace: Option<IdMap>,
}

/// Describes a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Program and arguments. A program without a `/` is looked up in the `PATH` of [`Command::env`], inside.
    #[serde(with = "raw::list")]
    pub argv: Vec<OsString>,
    /// The whole environment; nothing is inherited.
    #[serde(with = "raw::pairs")]
    pub env: Vec<(OsString, OsString)>,
    /// Working directory, an absolute path inside.
    #[serde(with = "raw::one")]
    pub cwd: PathBuf,
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
    /// Supplementary group ids inside.
    pub groups: Vec<u32>,
    /// File mode creation mask.
    pub umask: u32,
    /// Gives the process a new terminal of this size, its stdio where it has no other ([`crate::Event::Terminal`]).
    pub tty: Option<TtySize>,
}

impl Command {
    /// Builds a command run as root in `/` with umask 022 and an empty environment.
    pub fn new<T: Into<OsString>>(argv: impl IntoIterator<Item = T>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            umask: 0o022,
            tty: None,
        }
    }

    /// Sets variables, each in the place of one of the same name.
    pub fn set_env(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        for (name, value) in variables {
            self.env.retain(|(known, _)| *known != name);
            self.env.push((name, value));
        }
    }
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TtySize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// Says what the processes may ask of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privileges {
    /// Capabilities of a process with user id 0. Others have none, and nobody can gain what is not in the set.
    pub capabilities: Capabilities,
    /// Forbids gaining rights by set-uid programs and file capabilities. A seccomp filter implies it.
    pub no_new_privs: bool,
    /// Installs the system call filter (equal in effect to Docker's default profile).
    pub seccomp: bool,
}

impl Default for Privileges {
    fn default() -> Self {
        Self {
            capabilities: Capabilities::DockerDefault,
            no_new_privs: true,
            seccomp: true,
        }
    }
}

/// A capability set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Capabilities {
    /// Docker's default set without `CAP_MKNOD`, and without `CAP_NET_RAW` on the host network.
    DockerDefault,
    /// No capability at all, for uid 0 neither.
    None,
}

/// Resource limits; hard and soft. A limit is only ever lowered: what is above the inherited hard limit is cut to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Open files (`RLIMIT_NOFILE`).
    pub nofile: Option<u64>,
    /// Processes of the user (`RLIMIT_NPROC`).
    pub nproc: Option<u64>,
    /// Size of a core file in bytes (`RLIMIT_CORE`).
    pub core: Option<u64>,
    /// Address space in bytes (`RLIMIT_AS`).
    pub address_space: Option<u64>,
    /// Size of a written file in bytes (`RLIMIT_FSIZE`).
    pub file_size: Option<u64>,
}

/// The network a sandbox sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// The network of hd.
    Host,
    /// A new network namespace with a loopback device only.
    None,
    /// The network namespace given with the sandbox ([`crate::NetworkNamespace`]).
    Joined,
}
