//! Reads the project into the store: all of it, or the paths that were touched.

use hd_store::scan::{Note, NoteReason, scan, scan_paths};

use super::filter::ProjectFilter;
use crate::messages::{BatchError, Found, Ingested, Paths};
use crate::shared::Shared;

/// Brings the store up to what the project holds at `paths`. Blocks; commits what is new.
pub fn ingest(
    shared: &Shared,
    filter: &ProjectFilter,
    paths: &Paths,
) -> Result<Ingested, BatchError> {
    let root = &shared.settings.project_dir;
    let cache = shared.settings.paths.scan();
    let failed = |e: hd_store::Error| BatchError::new("store", e).at(root.display().to_string());
    let mut writer = shared.store.writer().map_err(failed)?;
    let (found, notes, hashed) = match paths {
        Paths::Rescan => {
            let report =
                scan(&shared.store, &mut writer, root, filter, Some(&cache)).map_err(failed)?;
            (
                Found::All(report.entries),
                report.notes,
                report.counts.hashed,
            )
        }
        Paths::These(paths) => {
            let paths: Vec<Vec<u8>> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
            let mut report = scan_paths(
                &shared.store,
                &mut writer,
                root,
                filter,
                Some(&cache),
                &paths,
            )
            .map_err(failed)?;
            let notes = std::mem::take(&mut report.notes);
            let hashed = report.counts.hashed;
            (Found::Some(report), notes, hashed)
        }
    };
    if hashed > 0 {
        writer.commit().map_err(failed)?;
    }
    Ok(Ingested {
        found,
        hashed,
        notes: notes.iter().filter_map(words).collect(),
    })
}

fn words(note: &Note) -> Option<String> {
    let path = String::from_utf8_lossy(&note.path);
    match &note.reason {
        NoteReason::Unreadable { message } => Some(format!("{path} is left out: {message}")),
        NoteReason::Socket => None,
        NoteReason::Changing => Some(format!("{path} kept changing while it was read")),
        _ => None,
    }
}
