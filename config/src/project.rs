//! The typed, validated content of an `hd.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::error::Place;
use crate::files::{FileFilter, Files};
use crate::step::{NamedCache, Step};
use crate::watch::WatchSet;

/// Everything an `hd.toml` says, with defaults filled in.
#[derive(Debug, Clone)]
pub struct Project {
    /// Name of the environment: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// OCI reference of the base image; `None` is the host itself.
    pub base: Option<String>,
    /// Absolute directory the project has inside the sandbox; `None` leaves it to the image.
    pub workdir: Option<String>,
    /// Environment of steps and services, unexpanded: see [`crate::expand`].
    pub env: BTreeMap<String, String>,
    /// Files of `KEY=value` lines, relative to the project, later ones win: see [`crate::env_file`].
    pub env_file: Vec<String>,
    /// User inside the sandbox: a name or number, `:group` may follow.
    pub user: Option<String>,
    /// What `[dependencies]` asks for, in declared order.
    pub dependencies: Vec<Dependency>,
    /// `[build] steps` or `[[build.step]]`, in order.
    pub steps: Vec<Step>,
    /// `[build] cache`: normalised directories relative to the project, none inside another.
    pub cache: Vec<String>,
    /// `[build.caches]`, in declared order.
    pub caches: Vec<NamedCache>,
    /// Services in declared order; [`crate::order::start_order`] sorts them (it cannot fail here).
    pub services: Vec<Service>,
    /// `[files]`.
    pub files: Files,
    /// `[options]`.
    pub options: Options,
    pub(crate) places: BTreeMap<String, Place>,
}

impl Project {
    /// Finds a service by name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Finds a step by either of its names.
    #[must_use]
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps
            .iter()
            .find(|step| step.name == name || step.slug == name)
    }

    /// Says where a key stands, for errors that show only later: `services.web.port`,
    /// `dependencies.pip.file`, `build.steps[1]`.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<&Place> {
        self.places.get(key)
    }

    /// Makes the filter of the project's files.
    #[must_use]
    pub fn file_filter(&self) -> FileFilter {
        FileFilter::new(&self.files)
    }
}

/// A command as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A string: for `sh -c`.
    Shell(String),
    /// A list: program and arguments, no shell; never empty.
    Exec(Vec<String>),
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(line) => f.write_str(line),
            Self::Exec(words) => f.write_str(&words.join(" ")),
        }
    }
}

/// Who satisfies a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Debian packages.
    Apt,
    /// Python packages.
    Pip,
    /// Node packages.
    Npm,
    /// Rust crates.
    Cargo,
    /// The Node runtime.
    Node,
    /// The Python runtime.
    Python,
}

impl Provider {
    /// All of them, in the order they are listed to people.
    pub const ALL: [Self; 6] = [
        Self::Apt,
        Self::Pip,
        Self::Npm,
        Self::Cargo,
        Self::Node,
        Self::Python,
    ];

    /// Name in `[dependencies]`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Pip => "pip",
            Self::Npm => "npm",
            Self::Cargo => "cargo",
            Self::Node => "node",
            Self::Python => "python",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One entry of `[dependencies]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Who satisfies it.
    pub provider: Provider,
    /// What is asked for.
    pub kind: DependencyKind,
}

/// What a dependency asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DependencyKind {
    /// Packages by name, in the provider's own syntax; none begins with `-`.
    List(Vec<String>),
    /// A range [`crate::version::matches`] understands.
    Version(String),
    /// A manifest, relative to the project.
    File(String),
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name: `a-z`, `0-9`, `_`, `-`.
    pub name: String,
    /// What runs.
    pub command: Command,
    /// Which files restart it; by default none.
    pub watch: WatchSet,
    /// The TCP port it listens on.
    pub port: Option<u16>,
    /// What must be so before it starts; each service at most once.
    pub depends_on: Vec<DependsOn>,
    /// What happens when it ends by itself.
    pub restart: RestartPolicy,
    /// Its own environment, unexpanded; beats that of the project.
    pub env: BTreeMap<String, String>,
    /// Long-running or one-shot.
    pub kind: Kind,
    /// How readiness is probed, where `port` is not enough.
    pub healthcheck: Option<Healthcheck>,
}

impl Service {
    /// Makes a service that only has a shell command.
    #[must_use]
    pub fn new(name: &str, command: &str) -> Self {
        Self {
            name: name.to_owned(),
            command: Command::Shell(command.to_owned()),
            watch: WatchSet::default(),
            port: None,
            depends_on: Vec::new(),
            restart: RestartPolicy::Always,
            env: BTreeMap::new(),
            kind: Kind::Service,
            healthcheck: None,
        }
    }
}

/// What a service waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependsOn {
    /// The other service.
    pub service: String,
    /// What must be so.
    pub condition: Condition,
}

/// When a dependency is satisfied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Its process runs.
    Started,
    /// It is ready: the probe passed, else the port accepts, else it runs. What the list form means.
    Healthy,
    /// It ended with exit code 0. What the list form means for a one-shot.
    Completed,
}

/// What happens when a service ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// It starts again; the default.
    Always,
    /// It starts again unless it ended with exit code 0.
    OnFailure,
    /// It stays ended; the default of a one-shot.
    Never,
}

/// Whether a service is meant to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It runs until stopped.
    Service,
    /// It runs once, exit code 0 is success.
    Oneshot,
}

/// How readiness is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healthcheck {
    /// What is tried.
    pub test: Probe,
    /// Time between two probes.
    pub interval: Duration,
    /// A probe that takes longer has failed.
    pub timeout: Duration,
    /// So many failures in a row, after `start_period`, make the service unhealthy; at least 1.
    pub retries: u32,
    /// Failures in this time after the start do not count.
    pub start_period: Duration,
}

impl Healthcheck {
    /// Default of `interval`.
    pub const INTERVAL: Duration = Duration::from_secs(5);
    /// Default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// Default of `retries`.
    pub const RETRIES: u32 = 3;
    /// Default of `start_period`.
    pub const START_PERIOD: Duration = Duration::from_secs(30);
}

/// One way to find out whether a service is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A command in the service's view; exit code 0 is success.
    Exec(Command),
    /// `GET`; a status below 400 is success.
    Http {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// Path and query, begins with `/`.
        path: String,
    },
    /// A TCP connection that is accepted.
    Tcp {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
}

/// `[options]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Time between the polite and the final signal when a service stops.
    pub restart_grace: Duration,
    /// How services see the project.
    pub project: ProjectMode,
    /// How many steps may run at a time; `None` leaves it to the machine.
    pub jobs: Option<NonZeroUsize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            restart_grace: Duration::from_secs(5),
            project: ProjectMode::Live,
            jobs: None,
        }
    }
}

/// How services see the project directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectMode {
    /// The host directory itself.
    Live,
    /// A projection that receives each change; refused by the parser so far.
    Projected,
}
