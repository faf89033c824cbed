//! `hd ingest`.

use std::path::PathBuf;

use clap::Args;

use super::Place;

#[derive(Debug, Default, Args)]
#[command(
    after_help = "Exit code 2, with the hd.toml written all the same, when something that steps or services need cannot be had; the report names it."
)]
pub(crate) struct IngestArgs {
    /// A Dockerfile, a Compose file, or a directory that holds them [default: this one]
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// Compose file beside the Dockerfile
    #[arg(long, value_name = "FILE")]
    pub(crate) compose: Option<PathBuf>,
    /// Directory of the project, which COPY takes from [default: that of the file]
    #[arg(long, value_name = "DIR")]
    pub(crate) context: Option<PathBuf>,
    /// Stage to translate, with those it needs [default: the last]
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// Value of an ARG; can be given again
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) build_arg: Vec<String>,
    /// Where a secret of RUN --mount=type=secret is: id=ID,env=VARIABLE or id=ID,src=FILE; can be
    /// given again
    #[arg(long, value_name = "SECRET")]
    pub(crate) secret: Vec<String>,
    /// Image on which all stages stand
    #[arg(long, value_name = "IMAGE")]
    pub(crate) base: Option<String>,
    /// Only say what would become of each line; write nothing
    #[arg(long, conflicts_with_all = ["output", "force"])]
    pub(crate) check: bool,
    /// File to write [default: hd.toml in the project]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}
