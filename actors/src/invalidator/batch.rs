//! What a person is told about a batch: pure.

use std::time::Duration;

use hd_config::Project;
use hd_dag::{Change, Kind};
use hd_store::Id;

use crate::events::BatchLine;
use crate::messages::Paths;
use crate::model::report::{StepOutcome, StepReport};

/// Paths named in the line of a batch.
const NAMED: usize = 3;

/// Tells whether an ignore file is among the paths: it changes what counts everywhere below it.
pub fn changes_filter(paths: &Paths, project: &Project) -> bool {
    let Paths::These(paths) = paths else {
        return false;
    };
    let files = project.file_filter();
    let is_ignore_file = |name: &[u8]| {
        files
            .ignore_file_names()
            .iter()
            .any(|known| known.as_bytes() == name)
    };
    paths
        .iter()
        .any(|path| path.file_name().is_some_and(is_ignore_file))
}

/// Makes the line of a batch.
pub fn line(
    changes: &[Change],
    root: Id,
    took: Duration,
    steps: &[StepReport],
    restarting: Vec<String>,
) -> BatchLine {
    // Directories change whenever something in them does; they say nothing of their own.
    let mut named: Vec<(char, String)> = changes
        .iter()
        .filter(|change| !is_plain_dir(change))
        .map(|change| (sign(change), change.path.to_string()))
        .collect();
    if named.is_empty() {
        named = changes
            .iter()
            .map(|change| (sign(change), format!("{}/", change.path)))
            .collect();
    }
    let more = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    let of = |outcome: StepOutcome| steps.iter().filter(move |step| step.result == outcome);
    BatchLine {
        changed: named,
        more,
        root,
        took,
        ran: of(StepOutcome::Ran).map(|step| step.slug.clone()).collect(),
        kept: of(StepOutcome::Kept).count(),
        restarting,
        failed: of(StepOutcome::Failed).map(|step| step.slug.clone()).next(),
    }
}

/// Tells whether it is about a directory, which is there before and after or neither.
pub(super) fn is_plain_dir(change: &Change) -> bool {
    let dir = |entry: &Option<hd_dag::Entry>| {
        entry.as_ref().is_none_or(|entry| entry.kind() == Kind::Dir)
    };
    dir(&change.old) && dir(&change.new)
}

fn sign(change: &Change) -> char {
    match (&change.old, &change.new) {
        (None, _) => '+',
        (_, None) => '-',
        _ => '~',
    }
}
