//! An `hd.toml` in the making.

use std::collections::{BTreeMap, BTreeSet};

use super::text;
use crate::error::ConfigError;
use crate::project::Dependency;
use crate::secret::Secret;
use crate::service::{Command, Condition, RestartPolicy};
use crate::step::{NamedCache, Stage};

/// What an importer found; values are plain, the writer escapes them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    /// Comment at the top, without `#`.
    pub(crate) head: Vec<String>,
    /// Name of the environment.
    pub(crate) name: String,
    /// Base image.
    pub(crate) base: Option<String>,
    /// Where the project stands inside.
    pub(crate) workdir: Option<String>,
    /// Who runs steps and services.
    pub(crate) user: Option<String>,
    /// Environment of all.
    pub(crate) env: BTreeMap<String, String>,
    /// Files of variables.
    pub(crate) env_file: Vec<String>,
    /// `[dependencies]`, in order.
    pub(crate) dependencies: Vec<Dependency>,
    /// Build steps: `[build] steps` when none says more than its command, else `[[build.step]]`.
    pub(crate) steps: Vec<DraftStep>,
    /// `[build] cache`.
    pub(crate) cache: Vec<String>,
    /// `[build.caches]`.
    pub(crate) caches: Vec<NamedCache>,
    /// `[secrets]`.
    pub(crate) secrets: Vec<Secret>,
    /// `[build.stages]`.
    pub(crate) stages: Vec<Stage>,
    /// Services.
    pub(crate) services: Vec<DraftService>,
    /// What of a Dockerfile or an image Compose services go on with.
    pub(crate) own: Option<Own>,
    /// `[volumes]`.
    pub(crate) volumes: BTreeSet<String>,
    /// `[files] exclude`.
    pub(crate) exclude: Vec<String>,
}

/// One step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DraftStep {
    /// Comment before it, without `#`; may be empty.
    pub(crate) comment: String,
    /// A command its name is made of.
    pub(crate) title: String,
    /// The command.
    pub(crate) run: String,
    /// Its own environment.
    pub(crate) env: BTreeMap<String, String>,
    /// Names of its caches.
    pub(crate) caches: Vec<String>,
    /// Names of its secrets.
    pub(crate) secrets: Vec<String>,
    /// It reaches the SSH agent.
    pub(crate) ssh: bool,
    /// Whether it has no network.
    pub(crate) offline: bool,
    /// The stage it builds in.
    pub(crate) stage: Option<String>,
    /// Stages it takes from.
    pub(crate) from: Vec<String>,
    /// Who runs it.
    pub(crate) user: Option<String>,
}

impl DraftStep {
    /// Tells whether it needs the long form.
    pub(crate) fn says_more(&self) -> bool {
        let plain = Self {
            comment: self.comment.clone(),
            title: self.title.clone(),
            run: self.run.clone(),
            ..Self::default()
        };
        *self != plain
    }
}

/// One service.
#[derive(Debug, Clone)]
pub(crate) struct DraftService {
    /// Its name, fit for `hd.toml`.
    pub(crate) name: String,
    /// An image of its own.
    pub(crate) base: Option<String>,
    /// What runs; an empty list is what the image runs.
    pub(crate) command: Command,
    /// Port that shows it is ready.
    pub(crate) port: Option<u16>,
    /// Whether that is only what its image opens.
    pub(crate) port_of_image: bool,
    /// Whether it takes the port that `PORT` says, a free one.
    pub(crate) auto_port: bool,
    /// Its environment; values may hold `${VAR}` when `interpolate` is set.
    pub(crate) env: BTreeMap<String, String>,
    /// Whether `$` in `env` begins a variable.
    pub(crate) interpolate: bool,
    /// Files that restart it.
    pub(crate) watch: Vec<String>,
    /// `working_dir`, `user`, `stop_signal`, `stop_grace`, `network`: key and text, where it is said.
    pub(crate) texts: BTreeMap<&'static str, String>,
    /// `env_file`, `ports`, `profiles` and `volumes`.
    pub(crate) lists: BTreeMap<&'static str, Vec<String>>,
    /// `resources` and `restart`: keys with values of TOML.
    pub(crate) tables: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
    /// What must be so before it starts.
    pub(crate) depends_on: Vec<(String, Condition)>,
    /// What happens when it ends.
    pub(crate) restart: RestartPolicy,
    /// Whether it is meant to end.
    pub(crate) oneshot: bool,
    /// How readiness is probed.
    pub(crate) healthcheck: Option<DraftHealth>,
    /// It is not probed, whatever its image says.
    pub(crate) unprobed: bool,
    /// How many there are of it, if that is said.
    pub(crate) replicas: Option<u32>,
}

/// What a Dockerfile or an image says of the service that it makes.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    /// The service; its command holds where `runs` is set.
    pub(crate) service: DraftService,
    /// ENTRYPOINT, which stays before a command that takes the place of CMD.
    pub(crate) entrypoint: Option<Command>,
    /// Whether it has a command, and one that waits for nobody.
    pub(crate) runs: bool,
}

/// A health check; times as text with a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DraftHealth {
    /// What is tried.
    pub(crate) test: Command,
    /// `interval`, `timeout`, `start_period`.
    pub(crate) times: Vec<(&'static str, String)>,
    /// Failures in a row.
    pub(crate) retries: Option<u32>,
}

impl DraftService {
    /// Makes a service that only has a command; it ends when its command ends well.
    pub(crate) fn new(name: &str, command: Command) -> Self {
        Self {
            name: name.to_owned(),
            base: None,
            command,
            port: None,
            port_of_image: false,
            auto_port: false,
            env: BTreeMap::new(),
            interpolate: false,
            watch: Vec::new(),
            texts: BTreeMap::new(),
            lists: BTreeMap::new(),
            tables: BTreeMap::new(),
            depends_on: Vec::new(),
            restart: RestartPolicy::OnFailure,
            oneshot: false,
            healthcheck: None,
            unprobed: false,
            replicas: None,
        }
    }
}

impl Draft {
    /// Writes the text and reads it back.
    ///
    /// # Errors
    /// A value that `hd.toml` cannot hold, shown in the text that was made.
    pub(crate) fn write(&self) -> Result<String, ConfigError> {
        let text = text::write(self);
        crate::parse(&text, "hd.toml (translated)")?;
        Ok(text)
    }
}

/// Makes a name of an environment or a service: `a-z`, `0-9`, `-`.
pub(crate) fn plain_name(text: &str, otherwise: &str) -> String {
    let mut name = String::new();
    for c in text.chars().take(60) {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if c == '_' {
            name.push('_');
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_matches(['-', '_']);
    if name.is_empty() {
        otherwise.to_owned()
    } else {
        name.to_owned()
    }
}
