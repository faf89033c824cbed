//! `hd dag`.

use clap::{Args, Subcommand};

use super::Place;

#[derive(Debug, Subcommand)]
pub(crate) enum DagVerb {
    /// Print the root and what it covers
    Show(DagShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DagShowArgs {
    /// Show so many levels of directories
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) depth: usize,
    #[command(flatten)]
    pub(crate) place: Place,
}
