//! Build steps as they are declared.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::watch::WatchSet;

/// One build command: an element of `[build] steps`, or a `[[build.step]]` with more to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// `step-1`, `step-2`, …
    pub name: String,
    /// Readable name, unique in the project: the `name` of a `[[build.step]]`, else see
    /// [`crate::slug`].
    pub slug: String,
    /// The slug was given as a `name`, and means the same step however its command changes.
    pub is_named: bool,
    /// The command line, for `sh -c`.
    pub run: String,
    /// Slugs of the steps whose outputs it sees, each declared above it; `None` is all of those.
    pub needs: Option<Vec<String>>,
    /// Project files it is expected to read; others it reads are reported. `None` expects nothing.
    pub inputs: Option<WatchSet>,
    /// What of its changes is kept, as paths relative to the project; empty keeps all.
    pub outputs: Vec<String>,
    /// Its own environment, unexpanded; beats that of the project.
    pub env: BTreeMap<String, String>,
    /// What it reaches.
    pub network: StepNetwork,
    /// Time it may take; `None` is for ever.
    pub timeout: Option<Duration>,
    /// Directory it starts in, relative to the project; `None` is the project.
    pub workdir: Option<String>,
    /// Names of the caches it gets, each declared in `[build.caches]`.
    pub caches: Vec<String>,
    /// Names of the secrets it may read, each declared in `[secrets]`.
    pub secrets: Vec<String>,
    /// It reaches the SSH agent of who runs hd.
    pub ssh: bool,
    /// The stage it builds in, declared in `[build.stages]`; `None` is the environment itself.
    pub stage: Option<String>,
    /// Stages whose files it sees at [`STAGES`], as the steps above it leave them.
    pub from: Vec<String>,
    /// Who runs it, of the tree it sees: a name or number, `:group` may follow. `None` is who runs
    /// all steps.
    pub user: Option<String>,
}

/// Directory in which a step sees each stage of its `from`, by name.
pub const STAGES: &str = "/stages";

/// What a step reaches over the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StepNetwork {
    /// What the host reaches; the default.
    #[default]
    Host,
    /// Nothing but itself.
    None,
}

impl StepNetwork {
    /// The word in `hd.toml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::None => "none",
        }
    }
}

/// `[build.caches.NAME]`: a directory that survives between runs and is no part of any output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCache {
    /// Its name: `a-z`, `0-9`, `_`, `-`.
    pub name: String,
    /// Where steps see it: absolute, below `~/`, or relative to the project.
    pub path: String,
}

/// `[build.stages.NAME]`: a file system beside the environment, for steps that build in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name: `a-z`, `0-9`, `_`, `-`.
    pub name: String,
    /// What it begins with.
    pub origin: StageOrigin,
    /// Absolute directory the project has in it; `None` leaves it to the image.
    pub workdir: Option<String>,
}

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageOrigin {
    /// An OCI image.
    Image(String),
    /// A stage declared above it: its image, and what its steps leave.
    Stage(String),
}

/// Gives a stage and those it goes on from, itself first; nothing for an unknown name.
#[must_use]
pub fn lineage<'a>(stages: &'a [Stage], name: &str) -> Vec<&'a Stage> {
    let mut line: Vec<&Stage> = Vec::new();
    let mut name = Some(name);
    // An origin is declared above, so this ends; a list made otherwise is cut at its length.
    while let Some(found) = name.and_then(|name| stages.iter().find(|stage| stage.name == name))
        && line.len() < stages.len()
    {
        line.push(found);
        name = match &found.origin {
            StageOrigin::Stage(above) => Some(above.as_str()),
            StageOrigin::Image(_) => None,
        };
    }
    line
}

/// Gives the image at the root of a stage.
#[must_use]
pub fn stage_image<'a>(stages: &'a [Stage], name: &str) -> Option<&'a str> {
    match &lineage(stages, name).last()?.origin {
        StageOrigin::Image(image) => Some(image),
        StageOrigin::Stage(_) => None,
    }
}
