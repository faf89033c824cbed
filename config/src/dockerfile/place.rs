//! Where the project stands inside.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Copy, Event, From, Item, What};
use super::pattern::may_fit;
use crate::ingest::shell::is_glob;
use crate::ingest::{FileKind, Surroundings};

/// A vote for a whole-context copy; it beats any number of single files.
const WHOLE: usize = 1000;

/// Chooses the directory at which most COPYs find the project's files in place already; none when
/// there is no such COPY.
///
/// A copy of single files counts only for directories that WORKDIR names: the project hides what
/// the image has at its place.
pub(crate) fn choose<'e>(
    events: impl Iterator<Item = &'e Event>,
    workdirs: &BTreeSet<String>,
    around: &dyn Surroundings,
) -> Option<String> {
    let mut stages: BTreeMap<usize, BTreeMap<String, usize>> = BTreeMap::new();
    for event in events {
        let What::Copy(copy) = &event.what else {
            continue;
        };
        for (dir, weight) in votes(copy, around) {
            if weight == WHOLE || workdirs.contains(&dir) {
                *stages
                    .entry(event.stage)
                    .or_default()
                    .entry(dir)
                    .or_default() += weight;
            }
        }
    }
    // The later a stage, the nearer it is to what runs.
    let best = stages
        .values()
        .next_back()
        .and_then(|votes| votes.iter().max_by_key(|(_, n)| **n));
    best.map(|(dir, _)| dir.clone())
}

/// Directories at which a copy would find its files in place.
fn votes(copy: &Copy, around: &dyn Surroundings) -> Vec<(String, usize)> {
    if copy.from != From::Context {
        return Vec::new();
    }
    let mut votes = Vec::new();
    for item in &copy.items {
        let Item::Path(path) = item else { continue };
        if path.is_empty() {
            votes.push((copy.dest.clone(), WHOLE));
        } else if let Some(dir) = target(copy, path, around).and_then(|target| above(&target, path))
        {
            votes.push((dir, 1));
        }
    }
    votes.retain(|(dir, _)| dir != "/");
    votes
}

/// The project directory for which `target` is the place of `path`.
fn above(target: &str, path: &str) -> Option<String> {
    let dir = target.strip_suffix(path)?.strip_suffix('/')?;
    Some(dir.to_owned()).filter(|dir| !dir.is_empty())
}

/// Where files that a wildcard matches end up: the wildcard at the destination.
pub(crate) fn target_of_glob(copy: &Copy, path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    format!("{}/{name}", copy.dest.trim_end_matches('/'))
}

/// Tells whether a wildcard may match a directory, whose contents are copied then.
fn may_match_directory(path: &str, around: &dyn Surroundings) -> bool {
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    let directories = around.directories(above);
    directories.iter().any(|one| may_fit(one, name))
}

/// Where a copy of a project path ends up; a directory stands for its contents, a wildcard of files for
/// itself.
pub(crate) fn target(copy: &Copy, path: &str, around: &dyn Surroundings) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if copy.parents {
        return Some(format!("{}/{path}", copy.dest.trim_end_matches('/')));
    }
    if is_glob(path) {
        return Some(target_of_glob(copy, path)).filter(|_| !may_match_directory(path, around));
    }
    match around.file(path)? {
        FileKind::Dir => Some(copy.dest.clone()),
        FileKind::Archive { .. } if copy.unpack => None,
        FileKind::File { .. } | FileKind::Archive { .. } if copy.into => {
            Some(format!("{}/{name}", copy.dest.trim_end_matches('/')))
        }
        FileKind::File { .. } | FileKind::Archive { .. } => Some(copy.dest.clone()),
    }
}
