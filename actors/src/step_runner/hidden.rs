//! Names a step looked for in vain though the host has them: hidden by a filter, so say so.

use std::path::{Path, PathBuf};

use hd_config::{FileFilter, FilterStack, Verdict};
use hd_dag::TreePath;
use hd_dag::trace::Seen;

use super::plan::Plan;
use super::run::RunDone;
use crate::events::Event;
use crate::mount_server::view::host_path;
use crate::shared::Shared;

/// Names told of one run at most.
const TOLD_MAX: usize = 3;

/// Tells the person which hidden files a step looked for.
///
/// What the step itself made at the same place (`.venv`) is no riddle and is left out.
pub(super) fn tell(shared: &Shared, plan: &Plan, step: &str, done: &RunDone) {
    let project = &shared.settings.project_dir;
    let filter = shared.declared().project.file_filter();
    let absent = done
        .trace
        .iter()
        .filter(|(_, observed)| observed.lookup == Some(Seen::Absent));
    let below = absent
        .filter_map(|(path, _)| path.strip_prefix(&plan.workdir_path))
        .filter(|path| !path.is_root());
    let made = |path: &TreePath| {
        let inside = plan.workdir_path.join_path(path);
        hd_dag::get(&*shared.trees, &done.layer.tree, &inside).is_ok_and(|entry| entry.is_some())
    };
    let riddles = below
        .filter(|path| project.join(host_path(path)).symlink_metadata().is_ok() && !made(path))
        .filter_map(|path| Some((hidden_by(project, &filter, &path)?, path)));
    for ((by, show), path) in riddles.take(TOLD_MAX) {
        let note = format!("step {step} looked for {path}, hidden by {by} ({show})");
        shared.events.tell(Event::Note(note));
    }
}

/// What hides a path of the project, and what would show it.
pub fn hidden_by(project: &Path, filter: &FileFilter, path: &TreePath) -> Option<(String, String)> {
    let stack = FilterStack::new(filter.clone());
    let mut dir = TreePath::root();
    let _ = stack.enter(b"", &ignore_files(project, filter));
    for name in path.parent().unwrap_or_default().names() {
        dir.push(&name);
        let _ = stack.enter(
            dir.as_bytes(),
            &ignore_files(&project.join(host_path(&dir)), filter),
        );
    }
    let is_dir = project.join(host_path(path)).is_dir();
    match stack.verdict(path.as_bytes(), is_dir) {
        Verdict::Hidden { by } => Some((by.to_string(), filter.how_to_show(path.as_bytes(), &by))),
        Verdict::Keep => None,
    }
}

fn ignore_files(dir: &Path, filter: &FileFilter) -> Vec<(String, Vec<u8>)> {
    let read = |name: &String| {
        let file: PathBuf = dir.join(name);
        std::fs::read(file).ok().map(|bytes| (name.clone(), bytes))
    };
    filter.ignore_file_names().iter().filter_map(read).collect()
}
