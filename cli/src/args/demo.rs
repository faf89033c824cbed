//! `hd demo`.

use std::path::PathBuf;

use clap::Args;

use super::Place;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Build both sides on this image
    #[arg(long, value_name = "IMAGE")]
    pub(crate) base: Option<String>,
    /// Measure each phase so often; a cold start half as often
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// The project, if it is not here
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: Place,
}
