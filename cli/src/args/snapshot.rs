//! `hd snapshot` and `hd restore`.

use clap::{Args, Subcommand};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use hd_actors::model::snapshot::Snapshot;

use super::words::services;
use super::{Place, PlaceArgs};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct SnapshotArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<SnapshotVerb>,
    /// What to call it; one of this name is replaced
    #[arg(value_name = "NAME", required = true)]
    pub(crate) name: Option<String>,
    /// What of which services [default: all]
    #[arg(value_name = "SERVICE", add = services())]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotVerb {
    /// List the snapshots of this project
    Ls(PlaceArgs),
    /// Remove snapshots
    Rm(SnapshotRmArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotRmArgs {
    /// Its name
    #[arg(value_name = "NAME", required_unless_present = "all", add = names())]
    pub(crate) names: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "names")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Which snapshot
    #[arg(value_name = "NAME", add = names())]
    pub(crate) name: String,
    /// What of which services [default: all it has]
    #[arg(value_name = "SERVICE", add = services())]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Completes names of snapshots of the project that is found from the working directory.
fn names() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let located = crate::project::locate(&Place::default(), None);
        let all = located.map(|located| Snapshot::all(&located.paths).unwrap_or_default());
        // There is nobody to tell of an error while words are completed.
        let all = all.unwrap_or_default().into_iter();
        all.map(|one| CompletionCandidate::new(one.name)).collect()
    })
}
