//! Reads the content of files that the stat cache does not vouch for.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;

use super::cache::StatKey;
use super::dirs::{Attributes, Door, user_attributes};
use super::paths::split;
use super::racy::is_racy;
use super::types::{Note, NoteReason, ScanCounts, Scanned, ScannedKind};
use super::walk::display_path;
use crate::{Error, Ingested, Result, Source, Store, Writer, ingest_files};

/// A file whose content is to be stored, and its answer.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) scanned: &'a mut Option<Scanned>,
    /// The default says that nobody has asked.
    pub(super) key: &'a mut StatKey,
    pub(super) racy: &'a mut bool,
}

/// What was done on the way.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) notes: Vec<Note>,
    pub(super) counts: ScanCounts,
    /// Files that went away, or may not be read.
    pub(super) lost: Vec<Vec<u8>>,
}

/// Stores the content of all wanted files, in a scan that began at `start_ns`, and completes their answers; one that went away or may
/// not be read loses its answer and gets a note.
pub(super) fn fill(
    store: &Store,
    writer: &mut Writer,
    root: BorrowedFd<'_>,
    mut wanted: Vec<Wanted<'_>>,
    start_ns: i64,
    tally: &mut Tally,
) -> Result<()> {
    let paths: Vec<Vec<u8>> = wanted
        .iter()
        .map(|file| {
            file.scanned
                .as_ref()
                .map_or_else(Vec::new, |scanned| scanned.path.clone())
        })
        .collect();
    let attributes: Vec<OnceLock<Attributes>> = paths.iter().map(|_| OnceLock::new()).collect();
    let mut last: Option<Arc<Door<'_>>> = None;
    let mut directories = 0;
    let files = paths
        .iter()
        .zip(&attributes)
        .enumerate()
        .map(|(number, (path, slot))| {
            let (dir, name) = split(path);
            // Neighbours come one after the other, so few directories are open at any time.
            let door = match &last {
                Some(door) if door.leads_to(dir) => Arc::clone(door),
                _ => {
                    directories += 1;
                    Arc::clone(last.insert(Arc::new(Door::new(root, dir))))
                }
            };
            let open = move || {
                let file = door.open(name)?;
                // Set once: each file is opened by one worker.
                slot.set(user_attributes(&file)?).ok();
                Ok(file)
            };
            Source {
                token: number,
                open,
                dir: directories,
            }
        });
    let mut sick = None;
    let mut sink = |number: usize, done: io::Result<Ingested>| {
        let file: &mut Wanted<'_> = &mut wanted[number];
        let path = || paths[number].clone();
        match done {
            Ok(done) => {
                tally.counts.hashed += 1;
                tally.counts.bytes += done.size;
                let attributes = attributes[number].get().cloned().unwrap_or_default();
                complete(file, &done, attributes, start_ns);
                if !done.stable {
                    tally.notes.push(Note {
                        path: path(),
                        reason: NoteReason::Changing,
                    });
                }
            }
            Err(error) if is_sick(&error) => {
                sick.get_or_insert((number, error));
            }
            Err(error) => {
                *file.scanned = None;
                tally.lost.push(path());
                tally.notes.push(Note {
                    path: path(),
                    reason: reason_of(&error),
                });
            }
        }
    };
    ingest_files(store, writer, files, &mut sink)?;
    match sick {
        Some((number, error)) => Err(Error::io("read", display_path(&paths[number]))(error)),
        None => Ok(()),
    }
}

/// Says whether the system failed rather than the file is not ours to read: then a project without
/// the file would be a wrong answer.
fn is_sick(error: &io::Error) -> bool {
    let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
    !is_denied && !has_vanished(error)
}

fn complete(file: &mut Wanted<'_>, done: &Ingested, attributes: Attributes, start_ns: i64) {
    // What was read may be newer than what the walk saw.
    let key = StatKey::of(&done.stat);
    let asked_before = *file.key != StatKey::default();
    let changed = !done.stable || (asked_before && *file.key != key);
    *file.racy = changed || is_racy(&done.stat, start_ns);
    *file.key = key;
    if let Some(scanned) = file.scanned {
        scanned.kind = ScannedKind::Regular {
            blob: done.id,
            size: done.size,
        };
        scanned.mode = done.stat.mode & 0o7777;
        scanned.mtime_ns = done.stat.mtime_ns;
        scanned.xattrs = attributes;
    }
}

fn reason_of(error: &io::Error) -> NoteReason {
    if has_vanished(error) {
        return NoteReason::Vanished;
    }
    NoteReason::Unreadable {
        message: error.to_string(),
    }
}

/// Says whether the file is not there any more: also where a link, a socket or what is no file took its place.
fn has_vanished(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound};
    let kinds = [NotFound, NotADirectory, IsADirectory, InvalidInput];
    let errors = [Errno::LOOP, Errno::NXIO];
    let number = error.raw_os_error();
    kinds.contains(&error.kind()) || errors.iter().any(|one| number == Some(one.raw_os_error()))
}
