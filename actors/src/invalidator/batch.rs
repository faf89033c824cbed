//! What a person is told about a batch: pure.

use std::collections::BTreeMap;
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
    let changes = merged(changes);
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

/// Gives each path once, as it was before the first change and is after the last: generations that were
/// overtaken are told with the one after them, and some tools remove a file before they write it anew.
pub(super) fn merged(changes: &[Change]) -> Vec<Change> {
    let mut merged: Vec<Change> = Vec::with_capacity(changes.len());
    let mut at = BTreeMap::new();
    for change in changes {
        match at.get(&change.path) {
            Some(&index) => {
                let known: &mut Change = &mut merged[index];
                known.new.clone_from(&change.new);
            }
            None => {
                at.insert(&change.path, merged.len());
                merged.push(change.clone());
            }
        }
    }
    merged
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

#[cfg(test)]
mod tests {
    use hd_dag::{Entry, Meta, TreePath};

    use super::*;

    #[test]
    fn a_path_of_several_generations_is_named_once_with_what_became_of_it() {
        let file = |text: &str| Some(Entry::regular(Meta::default(), Id::of(text.as_bytes()), 1));
        let change = |path: &str, old, new| Change {
            path: TreePath::new(path.as_bytes()).unwrap(),
            old,
            new,
        };
        let changes = [
            change("a", file("1"), file("2")),
            change("b", None, file("1")),
            change("a", file("2"), None),
            change("c", file("1"), None),
            change("c", None, file("2")),
        ];
        let root = Id::of(b"root");
        let line = line(&changes, root, Duration::ZERO, &[], Vec::new());
        let expected = [('-', "a"), ('+', "b"), ('~', "c")];
        let expected = expected.map(|(sign, path)| (sign, path.to_owned()));
        assert_eq!((&*line.changed, line.more), (&expected[..], 0));
    }
}
