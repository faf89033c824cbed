//! `hd cas`.

use clap::{ArgAction, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum CasVerb {
    /// Print sizes and counts
    Stats,
    /// Print who takes how much: projects, images, steps, caches
    Df,
    /// Remove what no environment needs
    Gc {
        /// Say what would go, remove nothing
        #[arg(long, action = ArgAction::SetTrue)]
        dry_run: bool,
    },
    /// Look for damage, and for what it affects; exit code 0 clean, 1 damage, 2 could not check
    Verify {
        /// Read everything and compare it with its id; otherwise headers and links only
        #[arg(long)]
        read_data: bool,
        /// Take what is damaged out of sight, so that the next `hd up` makes it again
        #[arg(long)]
        repair: bool,
    },
}
