//! Scans a project directory against a stat cache.

mod types;
pub use types::{
    DirFilter, Filter, Note, NoteReason, PathsReport, ScanCounts, ScanReport, Scanned, ScannedKind,
};

use std::path::Path;
use crate::{Error, Result, Store, Writer};

/// Scans a whole project.
pub fn scan(store: &Store, writer: &mut Writer, root: &Path, filter: &dyn Filter, cache: Option<&Path>) -> Result<ScanReport> {
    let _ = (store, writer, root, filter, cache);
    Err(Error::WriterFailed)
}

/// Looks only at `paths` (dirty paths, relative, raw bytes).
pub fn scan_paths(store: &Store, writer: &mut Writer, root: &Path, filter: &dyn Filter, cache: Option<&Path>, paths: &[Vec<u8>]) -> Result<PathsReport> {
    let _ = (store, writer, root, filter, cache, paths);
    Err(Error::WriterFailed)
}
