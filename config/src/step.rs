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
}

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
