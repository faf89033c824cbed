//! From nothing to running and back: `init`, `up`, `down`, `build`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::Place;

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Directory of the project [default: this one]
    #[arg(value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// Look at the project's own manifests, not at a Dockerfile or compose.yaml
    #[arg(long)]
    pub(crate) plain: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct UpArgs {
    /// A project (a path with `/`, or a directory with an hd.toml), else services to start
    #[arg(value_name = "PATH|SERVICE")]
    pub(crate) targets: Vec<String>,
    /// Go on in the background
    #[arg(short, long, conflicts_with = "once")]
    pub(crate) detach: bool,
    /// Go on in the background, return when every service is ready
    #[arg(long, conflicts_with = "once")]
    pub(crate) wait: bool,
    /// Build and exit; starts no service
    #[arg(long)]
    pub(crate) once: bool,
    /// With --once: run this step even if nothing it read changed; can be given again
    #[arg(long, value_name = "STEP", requires = "once")]
    pub(crate) rerun: Vec<String>,
    /// Use this image instead of `base` of the file
    #[arg(long, value_name = "IMAGE", value_parser = super::base)]
    pub(crate) base: Option<String>,
    /// Run at most so many steps at a time [default: one for each processor]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Run so many replicas of a service, whatever hd.toml says; can be given again
    #[arg(long, value_name = "SERVICE=N", value_parser = scale)]
    pub(crate) scale: Vec<(String, u32)>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// This process is the one in the background.
    #[arg(long, hide = true)]
    pub(crate) background: bool,
}

/// `web=3`.
pub(super) fn scale(text: &str) -> Result<(String, u32), String> {
    let (service, count) = text.split_once('=').ok_or("like web=3")?;
    let count = count
        .parse()
        .map_err(|_| format!("{count:?} is no number of replicas"))?;
    Ok((service.to_owned(), count))
}

#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// Do not let services finish: kill them
    #[arg(long)]
    pub(crate) now: bool,
    /// Remove the named volumes too, with all they hold
    #[arg(short, long)]
    pub(crate) volumes: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Run this step even if nothing it read changed; can be given again
    #[arg(long, value_name = "STEP")]
    pub(crate) rerun: Vec<String>,
    /// Then write what the steps made in the project into its directory, or only what lies at PATH; nothing of
    /// your own is replaced
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    pub(crate) export: Option<Vec<String>>,
    /// Use this image instead of `base` of the file
    #[arg(long, value_name = "IMAGE", value_parser = super::base)]
    pub(crate) base: Option<String>,
    /// Run at most so many steps at a time [default: one for each processor]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// The project, if it is not here
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: Place,
}
