//! The world below the project: the host's own system directories, or an image.

pub mod account;
pub mod host;
pub mod ids;
pub mod mounts;
pub mod pass_through;
pub mod skeleton;

use std::collections::BTreeMap;

use hd_config::{ImageDefaults, Service};
use hd_dag::{Rooted, TreePath};
use hd_projection::Graft;

use self::host::HostBase;

/// Staged path that becomes `/` of a sandbox.
pub const ROOT_STAGED: &str = "root";

/// Home directory of a command when nothing says another.
pub const ROOT_HOME: &str = "/root";

/// What stands below the project in every view.
#[derive(Clone, Debug)]
pub enum Base {
    /// No image: the host's system directories, read where they lie.
    Host(HostBase),
    /// An unpacked OCI image.
    Image(ImageBase),
}

/// The images that bases are, by reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// The environment's own; none for the host.
    pub environment: Option<String>,
    /// Those of stages, by the stage's name.
    pub stages: BTreeMap<String, String>,
    /// Those of services with a base of their own, by the declared name.
    pub services: BTreeMap<String, String>,
}

impl Images {
    /// Gives every reference, the environment's first; one may come more than once.
    pub fn references(&self) -> impl Iterator<Item = &String> {
        let others = self.stages.values().chain(self.services.values());
        self.environment.iter().chain(others)
    }

    /// Gives those that steps stand on.
    pub fn of_steps(self) -> Self {
        Self {
            services: BTreeMap::new(),
            ..self
        }
    }
}

/// All that steps and services stand on.
#[derive(Clone, Debug)]
pub struct Bases {
    /// The environment's own: of services that name none, and of steps that name no stage.
    pub environment: Base,
    /// Those of `[build.stages]`, by name: always images.
    pub stages: BTreeMap<String, Base>,
    /// Those of services with one of their own, by the declared name: always images.
    pub services: BTreeMap<String, Base>,
}

impl Bases {
    /// Gives what a service stands on.
    pub fn of(&self, service: &Service) -> &Base {
        let own = service.base.as_ref();
        own.and_then(|_| self.services.get(service.declared()))
            .unwrap_or(&self.environment)
    }

    /// Gives every image there is, each once by its digest.
    pub fn images(&self) -> impl Iterator<Item = &ImageBase> {
        let others = self.stages.values().chain(self.services.values());
        let all = std::iter::once(&self.environment).chain(others);
        let mut seen = std::collections::BTreeSet::new();
        all.filter_map(|base| match base {
            Base::Image(image) => Some(image),
            Base::Host(_) => None,
        })
        .filter(move |image| seen.insert(image.digest.as_str()))
    }
}

/// An unpacked image and what its configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageBase {
    /// Reference as asked for.
    pub reference: String,
    /// Manifest digest, `sha256:…`.
    pub digest: String,
    /// The composed layers.
    pub rooted: Rooted,
    /// Environment of the image.
    pub env: BTreeMap<String, String>,
    /// Working directory, if it names one.
    pub workdir: Option<String>,
    /// User of the image as written (`name`, `uid`, `uid:gid`), empty for root.
    pub user: String,
    /// What services take over that leave it open.
    pub defaults: Box<ImageDefaults>,
}

impl ImageBase {
    /// Gives the home directory that it names for everybody, whatever its `/etc/passwd` says.
    pub fn home(&self) -> Option<&str> {
        let home = self.env.get("HOME").map(String::as_str);
        home.filter(|home| home.starts_with('/'))
    }
}

impl Base {
    /// Tells whether an image was given.
    pub fn is_image(&self) -> bool {
        matches!(self, Self::Image(_))
    }

    /// Gives the reference for reports; none for the host.
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Host(_) => None,
            Self::Image(image) => Some(&image.reference),
        }
    }

    /// Gives the tree on which all else is composed, if there is one.
    pub fn tree(&self) -> Option<Rooted> {
        match self {
            Self::Host(_) => None,
            Self::Image(image) => Some(image.rooted),
        }
    }

    /// Gives the host directories that show through.
    pub fn grafts(&self) -> Vec<Graft> {
        match self {
            Self::Host(host) => host.grafts(),
            Self::Image(_) => Vec::new(),
        }
    }

    /// Gives the search path inside.
    pub fn path(&self) -> String {
        match self {
            Self::Host(host) => host.path.clone(),
            Self::Image(image) => image.env.get("PATH").cloned().unwrap_or_else(|| {
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()
            }),
        }
    }

    /// Gives the environment that the base itself brings.
    pub fn env(&self) -> BTreeMap<String, String> {
        match self {
            Self::Host(_) => BTreeMap::new(),
            Self::Image(image) => image.env.clone(),
        }
    }

    /// Gives the working directory: the declared one, else the image's unless that is `/`, else
    /// `/workspace`.
    pub fn workdir(&self, declared: Option<&str>) -> String {
        let of_image = match self {
            Self::Host(_) => None,
            Self::Image(image) => image
                .workdir
                .as_deref()
                .filter(|dir| *dir != "/" && !dir.is_empty()),
        };
        declared.or(of_image).unwrap_or("/workspace").to_owned()
    }
}

/// Turns an absolute path of the view into its tree path; `None` when it has a component that no
/// tree can hold.
pub fn tree_path(absolute: &str) -> Option<TreePath> {
    TreePath::new(absolute.trim_matches('/').as_bytes()).ok()
}
