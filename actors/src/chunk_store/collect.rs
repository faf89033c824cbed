//! Garbage collection with the history budget that hd keeps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hd_dag::StoreLinks;
use hd_store::{GcOptions, GcReport, Store};

use crate::messages::BatchError;

/// Results kept of one step key.
const HISTORY_PER_KEY: usize = 32;
/// How long a result nobody uses is kept.
const HISTORY_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Removes what no reference and no recent step result needs. Blocks.
pub fn collect(store: &Store, dry_run: bool) -> Result<GcReport, BatchError> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let options = GcOptions {
        wait: true,
        dry_run,
        now_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        history_per_key: HISTORY_PER_KEY,
        history_max_age: Some(HISTORY_AGE),
    };
    store
        .gc(&StoreLinks, &options)
        .map_err(|e| BatchError::new("store", e))
}
