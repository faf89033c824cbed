//! `hd volume`.

use clap::{Args, Subcommand};

use super::{Place, PlaceArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeVerb {
    /// List the named volumes of this project, and where they lie
    Ls(PlaceArgs),
    /// Remove volumes with all they hold; nothing may run
    Rm(VolumeRmArgs),
}

#[derive(Debug, Args)]
pub(crate) struct VolumeRmArgs {
    /// A name of `[volumes]`
    #[arg(value_name = "NAME", required_unless_present = "all", add = super::words::volumes())]
    pub(crate) names: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "names")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}
