//! What one runtime is asked to run: fixed from its start, but for what the `hd.toml` says.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use hd_dag::TreePath;

use super::declared::{Declaration, Reader};
use super::instance::InstancePaths;

/// The project, its place and the caller's surroundings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `hd.toml` as it was at the start; `Shared::declared` gives it as it is now.
    pub first: Declaration,
    /// Reads it anew.
    pub reader: Arc<dyn Reader>,
    /// Absolute, canonical directory of the project.
    pub project_dir: PathBuf,
    /// Path of the `hd.toml`.
    pub config_path: PathBuf,
    /// Paths of the instance.
    pub paths: InstancePaths,
    /// `--base`: used instead of the file's `base`.
    pub base_override: Option<String>,
    /// `--jobs`: how many steps may run at a time, instead of the file's `jobs`.
    pub jobs: Option<NonZeroUsize>,
    /// The caller's environment, for PATH, HOME and pass-through settings.
    pub host_env: BTreeMap<String, String>,
    /// Paths in the project that are no part of it: `HD_HOME`, files that hd's output goes to, files
    /// of secrets.
    pub own: BTreeSet<TreePath>,
    /// When the command started.
    pub started: Instant,
}
