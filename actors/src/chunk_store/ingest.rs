//! Reads the project into the store: all of it, or the paths that were touched.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hd_dag::{Rooted, TreePath};
use hd_store::scan::{Note, NoteReason, Rescan, Stamp, rescan, scan, scan_paths};
use hd_store::{Store, Writer};

use super::filter::ProjectFilter;
use crate::messages::{BatchError, Found, Ingested, Paths};
use crate::model::project_tree::ProjectTree;
use crate::mount_server::view::host_path;
use crate::shared::Shared;

/// Reads what the project holds at `paths` into the store. What is new is durable once
/// [`Contents::durable`](crate::model::contents::Contents::durable) says so. Blocks.
pub fn ingest(
    shared: &Shared,
    filter: &ProjectFilter,
    paths: &Paths,
) -> Result<Ingested, BatchError> {
    let root = &shared.settings.project_dir;
    let cache = shared.settings.paths.scan();
    let failed = |e: hd_store::Error| BatchError::new("store", e).at(root.display().to_string());
    // One writer waits at a time; why it failed is known already.
    let is_lost = shared.contents.durable().is_err();
    let mut writer = shared.store.writer().map_err(failed)?;
    let mut saved = None;
    let paths = match paths {
        // Which paths were lost is not known.
        Paths::These(_) if is_lost => &Paths::Rescan,
        // What is written under one name has changed under all, and the kernel tells of the one.
        Paths::These(names) if names.iter().any(|name| has_more_names(root, name)) => {
            &Paths::Rescan
        }
        paths => paths,
    };
    let (found, notes, hashed) = match paths {
        Paths::Rescan => {
            let report = whole(shared, &mut writer, filter, &cache).map_err(failed)?;
            saved = report.saved;
            (report.found, report.notes, report.hashed)
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
    if is_lost || writer.has_new() {
        shared.contents.keep(writer);
    }
    if let Found::Some(report) | Found::Since(_, report) = &found {
        let edited = report.present.iter().map(|one| &*one.path);
        shared.compiled.edited(edited);
    }
    Ok(Ingested {
        found,
        saved,
        hashed,
        notes: notes.iter().filter_map(words).collect(),
    })
}

/// Tells whether a path is a file that has other names, hard links, as well.
fn has_more_names(root: &Path, path: &TreePath) -> bool {
    let meta = root.join(host_path(path)).symlink_metadata();
    meta.is_ok_and(|meta| meta.is_file() && meta.nlink() > 1)
}

/// What a scan of the whole project found.
struct Whole {
    found: Found,
    saved: Option<Stamp>,
    notes: Vec<Note>,
    hashed: u64,
}

fn whole(
    shared: &Shared,
    writer: &mut Writer,
    filter: &ProjectFilter,
    cache: &Path,
) -> Result<Whole, hd_store::Error> {
    let (store, root) = (&shared.store, &shared.settings.project_dir);
    let answer = match rescan(store, writer, root, filter, cache)? {
        Rescan::Since {
            note,
            mut changes,
            saved,
        } => {
            // Whoever left the note may have been another version of hd, or have met a collection.
            match ProjectTree::decode(&note).filter(|tree| is_stored(store, tree)) {
                Some(known) => {
                    return Ok(Whole {
                        saved,
                        notes: std::mem::take(&mut changes.notes),
                        hashed: changes.counts.hashed,
                        found: Found::Since(known, changes),
                    });
                }
                None => scan(store, writer, root, filter, Some(cache))?,
            }
        }
        Rescan::All(report) => report,
    };
    Ok(Whole {
        found: Found::All(answer.entries),
        saved: answer.saved,
        notes: answer.notes,
        hashed: answer.counts.hashed,
    })
}

fn is_stored(store: &Store, tree: &ProjectTree) -> bool {
    let Rooted { tree, times } = tree.rooted;
    // Nothing is lost by a look at all files when the store cannot say.
    [tree, times]
        .iter()
        .all(|id| store.contains(id).unwrap_or(false))
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
