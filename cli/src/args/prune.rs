//! `hd prune`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Everything of this project: its directory, or its name as `hd ls --all` shows it
    #[arg(long = "project", value_name = "PROJECT")]
    pub(crate) projects: Vec<String>,
    /// What was not used for this time (`30d`, `12h`): projects, images, results of steps
    #[arg(long, value_name = "TIME")]
    pub(crate) older_than: Option<String>,
    /// The least recently used, until the store takes no more than this (`5GiB`)
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<String>,
    /// Say what would go, remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
