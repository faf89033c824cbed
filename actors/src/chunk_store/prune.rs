//! What `hd prune` takes: projects that are gone, named ones, and what was not used for long.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use hd_store::{Budget, GcOptions, GcReport, Store, Unwanted};

use super::collect::{self, collect};
use super::owners::Steps;
use crate::hold::Hold;
use crate::messages::BatchError;
use crate::model::instance::InstancePaths;
use crate::model::instances::Instance;
use crate::model::snapshot;

/// What is to go.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Everything of these instances, of which nothing may run.
    pub projects: Vec<Instance>,
    /// What was not used for this long, instances excepted: [`unused`] finds those.
    pub unused_for: Option<Duration>,
    /// The least recently used, until no more than so many bytes of segment files are left.
    pub max_bytes: Option<u64>,
    /// Only tell what would go.
    pub dry_run: bool,
    /// How long to wait for commands that are at work.
    pub wait: Duration,
}

/// What went.
#[derive(Debug)]
pub struct Pruned {
    /// Directories of the projects of which nothing is left.
    pub projects: Vec<Instance>,
    /// What the collection did.
    pub gc: GcReport,
}

/// Finds the instances whose project directory is gone: those that can be forgotten, and those that can not.
///
/// One with volumes or snapshots is kept: the directory may be moved or not mounted, and they hold data that nothing
/// can make again.
///
/// # Errors
/// When the instances cannot be listed.
pub fn gone(home: &Path) -> std::io::Result<(Vec<Instance>, Vec<Instance>)> {
    let mut gone = Instance::all(home)?;
    let is_gone = |path: &Path| {
        let looked = path.symlink_metadata();
        looked.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    gone.retain(|one| is_gone(&one.project) && !one.is_running());
    Ok(gone.into_iter().partition(|one| !one.is_precious()))
}

/// Takes what is wished, then collects. Blocks.
///
/// # Errors
/// `running` when a project runs that is to go, errors of the store, and those of the disk at what cannot be removed:
/// such a project can be pruned once more.
pub fn prune(store: &Store, home: &Path, wish: Wish) -> Result<Pruned, BatchError> {
    let listed = |e: std::io::Error| not_listed(home, &e);
    let failed = |e: hd_store::Error| BatchError::new("store", e);
    let mut projects = wish.projects;
    projects.sort_by(|a, b| a.paths.id().cmp(b.paths.id()));
    projects.dedup_by(|a, b| a.paths == b.paths);
    let mut held = Vec::new();
    for project in &projects {
        let running = || {
            BatchError::new("running", "hd runs this project")
                .at(project.project.display().to_string())
                .hint("`hd down` ends it")
        };
        let lock = project.paths.lock();
        let not_held = |e| BatchError::new("io", e).at(lock.display().to_string());
        let hold = Hold::of(&project.paths).map_err(not_held)?;
        held.push(hold.ok_or_else(running)?);
    }
    let instances = Instance::all(home).map_err(listed)?;
    let histories = store.histories().map_err(failed)?;
    let places: Vec<String> = projects.iter().map(place).collect();
    let steps = Steps::of(&instances, &histories);
    let refs = projects.iter().flat_map(|one| {
        let mut refs = snapshot::references(&one.paths);
        refs.push(one.paths.reference());
        refs
    });
    let options = GcOptions {
        unwanted: Unwanted {
            refs: refs.collect(),
            entries: steps.only_of(&places, &histories),
            unused_for: wish.unused_for,
        },
        budget: wish.max_bytes.map(|max_bytes| Budget {
            max_bytes,
            keep: Duration::ZERO,
        }),
        in_use: collect::in_use(home).map_err(listed)?,
        ..collect::options(wish.wait, wish.dry_run)
    };
    let gc = collect(store, &options).map_err(failed)?;
    if !wish.dry_run {
        forget(&projects)?;
    }
    drop(held);
    Ok(Pruned { projects, gc })
}

/// Forgets them all; one that cannot be forgotten is no reason to keep the others. The first error counts.
fn forget(projects: &[Instance]) -> Result<(), BatchError> {
    let each = projects.iter().map(|one| {
        let again = format!("`hd prune --project {}` takes the rest then", place(one));
        one.forget()
            .map_err(|error| error.hint(format!("make it removable; {again}")))
    });
    each.fold(Ok(()), Result::and)
}

fn place(instance: &Instance) -> String {
    instance.project.display().to_string()
}

fn not_listed(home: &Path, error: &std::io::Error) -> BatchError {
    BatchError::new("io", error).at(home.join("instances").display().to_string())
}

/// Finds the instances that neither run nor were used for so long, but for those with volumes or snapshots.
///
/// # Errors
/// Those of the store, and when the instances cannot be listed.
pub fn unused(store: &Store, home: &Path, time: Duration) -> Result<Vec<Instance>, BatchError> {
    let refs = store.refs().map_err(|e| BatchError::new("store", e))?;
    let used: BTreeMap<String, u64> = refs
        .into_iter()
        .map(|(name, record)| (name, record.at_unix_ms))
        .collect();
    let last_use = |paths: &InstancePaths, state_at: u64| {
        let pinned = used.get(&paths.reference()).copied().unwrap_or(0);
        pinned.max(state_at)
    };
    let now = crate::session::unix_ms();
    let mut old = Instance::all(home).map_err(|e| not_listed(home, &e))?;
    old.retain(|one| {
        let at = last_use(&one.paths, one.state_at_unix_ms());
        let is_old = Duration::from_millis(now.saturating_sub(at)) > time;
        is_old && !one.is_running() && !one.is_precious()
    });
    Ok(old)
}
