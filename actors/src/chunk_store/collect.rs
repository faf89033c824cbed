//! Garbage collection as hd asks for it.

use std::path::Path;
use std::time::Duration;

use hd_config::GcLimits;
use hd_dag::StoreLinks;
use hd_store::{GcOptions, GcReport, Store};

use super::limits::{self, Standing};
use crate::model::instance::SNAPSHOT_PREFIX;
use crate::model::instances::Instance;
use crate::session::unix_ms;
use crate::shared::Shared;

/// How long a collection that nobody asked for waits for commands that are at work.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a collection may take, as of now: the history budget stands in [`GcOptions::new`] alone.
pub fn options(wait: Duration, dry_run: bool) -> GcOptions {
    GcOptions {
        wait,
        dry_run,
        thorough: true,
        ..GcOptions::new(unix_ms())
    }
}

/// Removes what no reference, no running command and no recent step result needs, and the images that were
/// removed. Blocks.
///
/// # Errors
/// As [`Store::gc`].
pub fn collect(store: &Store, options: &GcOptions) -> hd_store::Result<GcReport> {
    let removed = hd_oci::voided(store)?;
    let mut options = options.clone();
    if options.budget.is_some() || options.unwanted.unused_for.is_some() {
        // Nothing can make a snapshot again: it goes by its name only, however old it is.
        let names = store.refs()?.into_iter().map(|(name, _)| name);
        let snapshots = names.filter(|name| name.starts_with(SNAPSHOT_PREFIX));
        options.in_use.extend(snapshots);
    }
    if removed.is_empty() {
        return store.gc(&StoreLinks, &options);
    }
    let histories = store.histories()?.into_iter();
    let void = histories.filter(|(key, entry)| {
        let until = removed.get(key);
        until.is_some_and(|until| entry.at_unix_ms <= *until)
    });
    let void = void.map(|(key, entry)| (key, entry.at_unix_ms));
    options.unwanted.entries.extend(void);
    let report = store.gc(&StoreLinks, &options)?;
    // In a segment that a writer has, nothing was taken back: the records are there still, and the notes void them.
    if !options.dry_run && report.segments_busy == 0 {
        hd_oci::forget_voided(store, &removed)?;
    }
    Ok(report)
}

/// Names of the references of all running instances, which stay however old they are.
///
/// # Errors
/// When the instances cannot be listed.
pub fn in_use(home: &Path) -> std::io::Result<Vec<String>> {
    let mut running = Instance::all(home)?;
    running.retain(Instance::is_running);
    Ok(running.iter().map(|one| one.paths.reference()).collect())
}

/// Brings the store back within its limits; answers what to tell about that, if it did anything.
/// Blocks.
pub fn within_limits(shared: &Shared) -> Option<String> {
    match keep_within_limits(shared) {
        Ok(None) => None,
        Ok(Some(report)) => {
            let mb = report.freed_bytes as f64 / 1e6;
            Some(format!(
                "the store was over its limits ([options] gc): {mb:.1} MB freed, least recently used first"
            ))
        }
        Err(error) => Some(format!(
            "the store is over its limits and could not be collected: {error}"
        )),
    }
}

/// Brings the store back within the limits of the project, if it is over them. Blocks, for as long
/// as a collection takes; otherwise for a few system calls.
///
/// Another collection, or a command that does not end soon, is no error: there will be another
/// occasion.
fn keep_within_limits(shared: &Shared) -> hd_store::Result<Option<GcReport>> {
    let (store, home) = (&shared.store, shared.settings.paths.home());
    let limits = shared.declared().project.options.gc;
    let Some(budget) = limits::due(&limits, &standing(shared, &limits)) else {
        return Ok(None);
    };
    let own = shared.settings.paths.reference();
    // One that cannot be asked is not known to run; what it runs on it has leased in any case.
    let mut in_use = in_use(home).unwrap_or_default();
    in_use.push(own);
    let options = GcOptions {
        budget: Some(budget),
        in_use,
        ..options(PATIENCE, false)
    };
    match collect(store, &options) {
        Ok(report) => Ok(Some(report)),
        Err(hd_store::Error::Busy { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn standing(shared: &Shared, limits: &GcLimits) -> Standing {
    let store = &shared.store;
    let file_bytes = store.file_bytes();
    let free = || {
        let of = rustix::fs::statvfs(store.path()).ok()?;
        Some(of.f_bavail.saturating_mul(of.f_frsize))
    };
    let over = limits.max_size.is_some_and(|max| file_bytes > max) || limits.min_free.is_some();
    Standing {
        file_bytes,
        // A file system that does not tell is not full.
        free_bytes: limits.min_free.and_then(|_| free()).unwrap_or(u64::MAX),
        collected: over.then(|| store.collected()).flatten(),
        now_unix_ms: unix_ms(),
    }
}
