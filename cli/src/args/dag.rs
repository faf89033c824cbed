//! `hd dag`.

use clap::{Args, Subcommand};

use super::Place;

#[derive(Debug, Subcommand)]
pub(crate) enum DagVerb {
    /// Print the root and what it covers
    Show(DagShowArgs),
    /// Print what changed between two roots
    Diff(DagDiffArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DagDiffArgs {
    /// The older root, 64 hex digits [default: the one of the last `up` or `build`]
    #[arg(value_name = "FROM")]
    pub(crate) from: Option<String>,
    /// The newer root [default: the project as it is now]
    #[arg(value_name = "TO", requires = "from")]
    pub(crate) to: Option<String>,
    /// Use this image instead of `base` of the file
    #[arg(long, value_name = "IMAGE", value_parser = super::base, conflicts_with = "to")]
    pub(crate) base: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct DagShowArgs {
    /// Show so many levels of directories
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) depth: usize,
    #[command(flatten)]
    pub(crate) place: Place,
}
