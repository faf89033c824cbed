//! What a run left: its write layers, captured into the store.

use std::path::Path;

use hd_config::step::STAGES;
use hd_dag::{Kind, Rooted, Target, TreePath, WalkItem, retime};
use hd_projection::Composite;
use hd_projection::capture::{CaptureRules, Captured, Layer, capture};
use hd_store::Writer;

use super::run::{Kept, StepRun};
use super::spec::whole_owner;
use super::standing::tree_error;
use super::view::{KeptMount, LOWER, upper};
use crate::base::tree_path;
use crate::messages::BatchError;
use crate::shared::Shared;

/// Captures what a run changed: all of it, or its declared outputs; then the files it only touched.
///
/// Those are no change: nothing is run again for them, nothing shown or written out, and no step beside
/// this one contradicts them. A later step sees their times all the same, as it would on a plain disk.
pub(super) fn captured(
    shared: &Shared,
    step: &StepRun<'_>,
    view: &Composite,
    work: &Path,
    writer: &mut Writer,
) -> Result<(Rooted, Option<Rooted>), BatchError> {
    let kept = step.kept.iter().map(|kept| kept.at.clone());
    // Other stages are shown to be read: what is written there goes.
    let skip: Vec<TreePath> = kept.chain(tree_path(STAGES)).collect();
    let owners = step.plan.unowned();
    let rules = CaptureRules {
        lower: view,
        skip: &skip,
        owners: &owners,
        project: &step.plan.workdir_path,
    };
    let outputs: Vec<TreePath> = step
        .wanted
        .options
        .outputs
        .iter()
        .map(|path| step.plan.workdir_path.join_path(path))
        .collect();
    let found = changes(shared, &upper(work, LOWER), writer, &rules)?;
    let kept = found
        .changes
        .into_iter()
        .filter_map(|found| declared(found, &outputs));
    let kept = kept.map(|found| given_back(shared, step, found));
    let layer = built(shared, kept)?;
    let touched = found
        .touched
        .into_iter()
        .filter_map(|found| declared(found, &outputs));
    let files = touched.filter(|found| found.entry.kind() == Kind::Regular);
    let files: Vec<Captured> = files.collect();
    let touched = (!files.is_empty()).then(|| built(shared, files.into_iter()));
    Ok((layer, touched.transpose()?))
}

fn built(shared: &Shared, found: impl Iterator<Item = Captured>) -> Result<Rooted, BatchError> {
    let entries = found.map(|found| (found.path, found.entry, found.mtime_ns));
    hd_dag::build(&*shared.trees, entries).map_err(tree_error)
}

/// What is nobody's in the project was shown as the step's user's; a copy of that is nobody's again.
fn given_back(shared: &Shared, step: &StepRun<'_>, mut found: Captured) -> Captured {
    let (plan, meta) = (step.plan, &mut found.entry.meta);
    let user = (plan.account.uid, plan.account.gid);
    if user != plan.keeper
        && (meta.uid, meta.gid) == user
        && found.path.starts_with(&plan.workdir_path)
    {
        let below = hd_dag::get(&*shared.trees, &step.lower.tree, &found.path);
        if below.is_ok_and(|found| found.is_some_and(|one| (one.meta.uid, one.meta.gid) == (0, 0)))
        {
            (meta.uid, meta.gid) = (0, 0);
        }
    }
    found
}

/// Keeps what lies at or below an output, and the directories on the way there; with no outputs
/// declared, everything.
fn declared(mut found: Captured, outputs: &[TreePath]) -> Option<Captured> {
    let path = &found.path;
    if outputs.is_empty() || outputs.iter().any(|output| path.starts_with(output)) {
        return Some(found);
    }
    let is_on_the_way = outputs.iter().any(|output| output.starts_with(path));
    match &mut found.entry.target {
        Target::Dir { opaque, .. } if is_on_the_way => {
            // Made anew, it hides what was beside the output; that is no declared change.
            *opaque = false;
            Some(found)
        }
        _ => None,
    }
}

fn changes(
    shared: &Shared,
    upper: &Path,
    writer: &mut Writer,
    rules: &CaptureRules<'_>,
) -> Result<Layer, BatchError> {
    capture(upper, &shared.store, writer, rules).map_err(|e| BatchError::new("io", e))
}

/// Gives the kept directories as a run left them.
pub(super) fn kept_after(
    shared: &Shared,
    step: &StepRun<'_>,
    mounts: &[KeptMount],
    work: &Path,
    writer: &mut Writer,
) -> Result<Vec<Kept>, BatchError> {
    let mut after = Vec::new();
    // Nothing is the project's own source in a kept directory, so no name is dropped there.
    let nowhere = TreePath::new(b"\xff").unwrap_or_default();
    for (kept, mount) in step.kept.iter().zip(mounts) {
        let owners = whole_owner(step.plan);
        let content = shared
            .composite(kept.content, Vec::new(), owners.clone())
            .shown_as(step.plan.ids.shown());
        let rules = CaptureRules {
            lower: &content,
            skip: &[],
            owners: &owners,
            project: &nowhere,
        };
        let Layer { changes, touched } =
            changes(shared, &upper(work, &mount.name), writer, &rules)?;
        let changes = built(shared, changes.into_iter())?;
        let composed =
            hd_dag::compose(&*shared.trees, &kept.content, &changes).map_err(tree_error)?;
        // An object written anew with what it held must be newer than its source, or it is made at every run.
        let touched = touched.into_iter().map(|found| {
            Ok(WalkItem {
                path: found.path,
                entry: found.entry,
                mtime_ns: found.mtime_ns,
            })
        });
        let composed = retime(&*shared.trees, &composed, touched).map_err(tree_error)?;
        after.push(Kept {
            content: composed,
            ..kept.clone()
        });
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    use hd_dag::{Entry, Meta, empty_tree};
    use hd_store::Id;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    fn found(at: &str, entry: Entry) -> Captured {
        Captured {
            path: path(at),
            entry,
            mtime_ns: 1,
        }
    }

    fn file(at: &str) -> Captured {
        found(at, Entry::regular(Meta::default(), Id::of(b"x"), 1))
    }

    fn opaque_dir(at: &str) -> Captured {
        let mut entry = Entry::dir_of(Meta::default_dir(), empty_tree());
        if let Target::Dir { opaque, .. } = &mut entry.target {
            *opaque = true;
        }
        found(at, entry)
    }

    #[test]
    fn declared_outputs_are_kept_with_the_way_to_them() {
        let outputs = [path("app/web/dist"), path("app/log")];
        let cases = [
            (file("app/web/dist/a.js"), true),
            (file("app/log"), true),
            (file("app/web/other"), false),
            (file("app/web/distant"), false),
            (file("app/web"), false),
            (file("etc/x"), false),
            (opaque_dir("app/web"), true),
            (opaque_dir("app/web/dist"), true),
            (opaque_dir("app/src"), false),
        ];
        for (found, expected) in cases {
            let kept = declared(found.clone(), &outputs);
            assert_eq!(kept.is_some(), expected, "{}", found.path);
            assert!(declared(found, &[]).is_some());
        }
    }

    #[test]
    fn the_way_to_an_output_hides_nothing() {
        let is_opaque = |at| match declared(opaque_dir(at), &[path("app/dist")]) {
            Some(found) => matches!(found.entry.target, Target::Dir { opaque: true, .. }),
            None => panic!("{at} is left out"),
        };
        assert!(!is_opaque("app"));
        assert!(is_opaque("app/dist"));
    }
}
