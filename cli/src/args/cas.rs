//! `hd cas`.

use clap::{ArgAction, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum CasVerb {
    /// Print sizes and counts
    Stats,
    /// Remove what no environment needs
    Gc {
        /// Say what would go, remove nothing
        #[arg(long, action = ArgAction::SetTrue)]
        dry_run: bool,
    },
    /// Read everything and compare it with its id; exit code 0 clean, 1 damage, 2 could not check
    Verify,
}
