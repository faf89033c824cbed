//! What a run left: its write layers, captured into the store.

use std::path::Path;

use hd_config::step::STAGES;
use hd_dag::{Entry, Rooted, Target, TreePath};
use hd_projection::Composite;
use hd_projection::capture::{CaptureRules, capture};
use hd_store::Writer;

use super::run::{Kept, StepRun};
use super::spec::whole_owner;
use super::view::{KeptMount, LOWER, upper};
use crate::base::tree_path;
use crate::messages::BatchError;
use crate::shared::Shared;

/// Captures what a run changed: all of it, or its declared outputs.
pub(super) fn captured(
    shared: &Shared,
    step: &StepRun<'_>,
    view: &Composite,
    work: &Path,
    writer: &mut Writer,
) -> Result<Rooted, BatchError> {
    let kept = step.kept.iter().map(|kept| kept.at.clone());
    // Other stages are shown to be read: what is written there goes.
    let skip: Vec<TreePath> = kept.chain(tree_path(STAGES)).collect();
    let owners = step.plan.unowned();
    let rules = CaptureRules {
        lower: view,
        skip: &skip,
        owners: &owners,
        project: &step.plan.workdir_path,
        times: false,
    };
    let outputs: Vec<TreePath> = step
        .wanted
        .options
        .outputs
        .iter()
        .map(|path| step.plan.workdir_path.join_path(path))
        .collect();
    let entries = changes(shared, &upper(work, LOWER), writer, &rules)?;
    let kept = entries.filter_map(|found| declared(found, &outputs));
    let kept = kept.map(|found| given_back(shared, step, found));
    hd_dag::build(&*shared.trees, kept).map_err(|e| BatchError::new("store", e))
}

/// What is nobody's in the project was shown as the step's user's; a copy of that is nobody's again.
fn given_back(shared: &Shared, step: &StepRun<'_>, (path, mut entry, mtime_ns): Found) -> Found {
    let (plan, meta) = (step.plan, &mut entry.meta);
    let user = (plan.account.uid, plan.account.gid);
    if user != plan.keeper && (meta.uid, meta.gid) == user && path.starts_with(&plan.workdir_path) {
        let below = hd_dag::get(&*shared.trees, &step.lower.tree, &path);
        if below.is_ok_and(|found| found.is_some_and(|one| (one.meta.uid, one.meta.gid) == (0, 0)))
        {
            (meta.uid, meta.gid) = (0, 0);
        }
    }
    (path, entry, mtime_ns)
}

/// Path, entry and time of something captured.
type Found = (TreePath, Entry, i64);

/// Keeps what lies at or below an output, and the directories on the way there; with no outputs
/// declared, everything.
fn declared((path, mut entry, mtime_ns): Found, outputs: &[TreePath]) -> Option<Found> {
    if outputs.is_empty() || outputs.iter().any(|output| path.starts_with(output)) {
        return Some((path, entry, mtime_ns));
    }
    let is_on_the_way = outputs.iter().any(|output| output.starts_with(&path));
    match &mut entry.target {
        Target::Dir { opaque, .. } if is_on_the_way => {
            // Made anew, it hides what was beside the output; that is no declared change.
            *opaque = false;
            Some((path, entry, mtime_ns))
        }
        _ => None,
    }
}

fn changes(
    shared: &Shared,
    upper: &Path,
    writer: &mut Writer,
    rules: &CaptureRules<'_>,
) -> Result<impl Iterator<Item = Found> + use<>, BatchError> {
    let entries =
        capture(upper, &shared.store, writer, rules).map_err(|e| BatchError::new("io", e))?;
    Ok(entries
        .into_iter()
        .map(|found| (found.path, found.entry, found.mtime_ns)))
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
            times: true,
        };
        let changes = changes(shared, &upper(work, &mount.name), writer, &rules)?;
        let changes =
            hd_dag::build(&*shared.trees, changes).map_err(|e| BatchError::new("store", e))?;
        let composed = hd_dag::compose(&*shared.trees, &kept.content, &changes)
            .map_err(|e| BatchError::new("store", e))?;
        after.push(Kept {
            content: composed,
            ..kept.clone()
        });
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    use hd_dag::{Meta, empty_tree};
    use hd_store::Id;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    fn file(at: &str) -> Found {
        (
            path(at),
            Entry::regular(Meta::default(), Id::of(b"x"), 1),
            1,
        )
    }

    fn opaque_dir(at: &str) -> Found {
        let mut entry = Entry::dir_of(Meta::default_dir(), empty_tree());
        if let Target::Dir { opaque, .. } = &mut entry.target {
            *opaque = true;
        }
        (path(at), entry, 1)
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
            assert_eq!(kept.is_some(), expected, "{}", found.0);
            assert!(declared(found, &[]).is_some());
        }
    }

    #[test]
    fn the_way_to_an_output_hides_nothing() {
        let is_opaque = |at| match declared(opaque_dir(at), &[path("app/dist")]) {
            Some((_, entry, _)) => matches!(entry.target, Target::Dir { opaque: true, .. }),
            None => panic!("{at} is left out"),
        };
        assert!(!is_opaque("app"));
        assert!(is_opaque("app/dist"));
    }
}
