//! Garbage collection as hd asks for it.

use std::time::Duration;

use hd_dag::StoreLinks;
use hd_store::{GcOptions, GcReport, Store};

use crate::session::unix_ms;

/// What a collection may take, as of now: the history budget stands in [`GcOptions::new`] alone.
pub fn options(wait: Duration, dry_run: bool) -> GcOptions {
    GcOptions {
        wait,
        dry_run,
        ..GcOptions::new(unix_ms())
    }
}

/// Removes what no reference, no running command and no recent step result needs. Blocks.
///
/// # Errors
/// As [`Store::gc`].
pub fn collect(store: &Store, options: &GcOptions) -> hd_store::Result<GcReport> {
    store.gc(&StoreLinks, options)
}
