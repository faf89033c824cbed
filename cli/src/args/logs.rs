//! `hd logs`.

use std::path::PathBuf;

use clap::Args;

use super::Place;

#[derive(Clone, Debug, Args)]
pub(crate) struct LogsArgs {
    /// Only these services
    #[arg(value_name = "SERVICE", add = super::words::services())]
    pub(crate) services: Vec<String>,
    /// Go on as lines come, until hd ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last N lines of each service
    #[arg(short = 'n', long = "tail", value_name = "N")]
    pub(crate) tail: Option<usize>,
    /// Without the name in front
    #[arg(long, visible_alias = "no-log-prefix")]
    pub(crate) no_prefix: bool,
    /// Only lines from then on: `10m` ago, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only lines up to then
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// With the time of each line
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Of this instance [default: HD_INSTANCE]
    #[arg(short = 'p', long = "instance", value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// Look for hd.toml in this directory, then upward
    #[arg(short = 'C', long = "directory", value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Use this file; its directory is the project
    #[arg(long = "file", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

impl LogsArgs {
    /// Gives the project meant; `-f` is taken here.
    pub(crate) fn place(&self) -> Place {
        Place {
            directory: self.directory.clone(),
            instance: self.instance.clone(),
            file: self.file.clone(),
            profile: Vec::new(),
        }
    }
}
