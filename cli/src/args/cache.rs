//! `hd cache`.

use clap::{Args, Subcommand};

use super::{Place, PlaceArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum CacheVerb {
    /// List what is kept between runs of steps
    Ls(PlaceArgs),
    /// Wipe caches: the next run that uses one finds it empty
    Rm(CacheRmArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CacheRmArgs {
    /// A name of `[build.caches]`, or a directory of `[build] cache`
    #[arg(value_name = "NAME", required_unless_present = "all", add = super::words::caches())]
    pub(crate) names: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "names")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}
