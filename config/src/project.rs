//! The typed, validated content of an `hd.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::error::Place;
use crate::files::{FileFilter, Files};
use crate::secret::Secret;
use crate::service::Service;
use crate::step::{NamedCache, Stage, Step};

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
    /// `[secrets]`, in declared order.
    pub secrets: Vec<Secret>,
    /// `[build.stages]`, in declared order.
    pub stages: Vec<Stage>,
    /// Services in declared order; [`crate::order::start_order`] sorts them (it cannot fail here).
    pub services: Vec<Service>,
    /// Names of `[volumes]`, in declared order.
    pub volumes: Vec<String>,
    /// Names of all profiles, of `[profiles]` and of services; sorted.
    pub profiles: Vec<String>,
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

    /// Finds the services that a name means, in order: one, or all replicas of one.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(move |one| one.is_named(name))
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

    /// Makes the filter of the project's files, with what its services watch.
    #[must_use]
    pub fn file_filter(&self) -> FileFilter {
        let watches = self.services.iter().map(|service| service.watch.clone());
        FileFilter::new(&self.files).watching(watches)
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

/// `[options]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Time between the polite and the final signal when a service stops.
    pub restart_grace: Duration,
    /// How services see the project.
    pub project: ProjectMode,
    /// How the files below the services are shown.
    pub view: ViewMode,
    /// How many steps may run at a time; `None` leaves it to the machine.
    pub jobs: Option<NonZeroUsize>,
    /// How much the store may hold before it is collected by itself.
    pub gc: GcLimits,
}

/// `[options] gc`: what makes the store be collected by itself, and what stays then.
///
/// The store is shared by all projects of an `HD_HOME`; the limits of the project that runs count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GcLimits {
    /// Bytes that the store may take; `None` is no limit.
    pub max_size: Option<u64>,
    /// Bytes that stay free on the store's file system; `None` is no limit.
    pub min_free: Option<u64>,
    /// What was used within this time stays, even if that is more.
    pub keep: Duration,
}

impl Default for GcLimits {
    fn default() -> Self {
        Self {
            max_size: Some(20 << 30),
            min_free: None,
            keep: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            restart_grace: Duration::from_secs(5),
            project: ProjectMode::Live,
            // The second view of a tree begins with the page cache of the first.
            view: ViewMode::Auto,
            jobs: None,
            gc: GcLimits::default(),
        }
    }
}

/// What shows services the files of the base and of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewMode {
    /// An EROFS image where this machine can mount one and it is written, else FUSE.
    Auto,
    /// An EROFS image, written first if need be; an error where it cannot be mounted.
    Erofs,
    /// FUSE.
    Fuse,
}

impl ViewMode {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Erofs, Self::Fuse];

    /// Gives its word in `hd.toml`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Erofs => "erofs",
            Self::Fuse => "fuse",
        }
    }
}

/// How services see the project directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectMode {
    /// The host directory itself.
    Live,
    /// A snapshot below a write layer of each service's own; edits of the host are written through.
    Projected,
}
