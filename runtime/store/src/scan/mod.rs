//! Scans a project directory against a stat cache.
//!
//! A cached answer is used when size, mtime, ctime, inode, device and mode are what they were and
//! the ctime was not within 20 ms of the scan that saved it (a racy entry, as git calls it). Files
//! that are read are asked before and after. A directory with unchanged stat is not listed again.

mod cache;
mod dirs;
mod fill;
mod paths;
mod queue;
mod types;
mod visit;
mod walk;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicU32;

use rustix::fs::{CWD, Mode, OFlags, openat};

pub use paths::scan_paths;
pub use types::{
    DirFilter, Filter, Note, NoteReason, PathsReport, ScanCounts, ScanReport, Scanned, ScannedKind,
};

use crate::{Error, Result, Store, Writer};
use cache::{Builder, Row, RowKind, StatCache, is_racy};
use dirs::encode_attributes;
use fill::{Wanted, fill};
use walk::{Found, Walk, now_ns};

/// Scans a whole project and stores what is new.
///
/// `cache` is a file of the caller's choice, best `<cas>/scan/<project>`; it is replaced when it
/// is of no more use. It vouches only for what is durable: when content was stored and a cache is
/// given, the writer is committed. A scan that finds nothing new writes nothing at all.
///
/// # Errors
/// [`Error::Io`] when the root cannot be scanned, and errors of the store. Single files that
/// cannot be read are notes.
pub fn scan(
    store: &Store,
    writer: &mut Writer,
    root: &Path,
    filter: &dyn Filter,
    cache: Option<&Path>,
) -> Result<ScanReport> {
    let opened = open_root(root)?;
    let loaded = cache.and_then(StatCache::load);
    let epoch = store.epoch()?;
    let start_ns = now_ns();
    let walk = Walk {
        store,
        root: opened.as_fd(),
        filter,
        cache: loaded.as_ref(),
        blobs_are_there: loaded.as_ref().is_some_and(|loaded| loaded.epoch == epoch),
        start_ns,
        next: AtomicU32::new(0),
    };
    let mut dirs = walk.run(b"")?;
    check_root(&dirs, root)?;
    let mut report = ScanReport::default();
    complete(
        store,
        writer,
        opened.as_fd(),
        &mut dirs,
        &mut report.notes,
        &mut report.counts,
    )?;
    report.unchanged = loaded.is_some() && dirs.iter().all(|dir| !dir.changed);
    let renewed = !report.unchanged || !walk.blobs_are_there || report.counts.listed > 0;
    if let Some(path) = cache
        && renewed
    {
        writer.commit()?;
        save_cache(path, epoch, start_ns, &dirs)?;
    }
    report.entries = in_order(dirs);
    Ok(report)
}

fn open_root(root: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, root, flags, Mode::empty()).map_err(Error::io("open the project", root))
}

/// A root that cannot be read is no empty project.
fn check_root(dirs: &[Found], root: &Path) -> Result<()> {
    let Some(dir) = dirs.first() else {
        return Ok(());
    };
    if dir.scanned.is_some() {
        return Ok(());
    }
    let message = match dir.notes.first().map(|note| &note.reason) {
        Some(NoteReason::Unreadable { message }) => message.clone(),
        _ => "it went away".to_owned(),
    };
    Err(Error::io("scan the project", root)(std::io::Error::other(
        message,
    )))
}

/// Reads what has to be read, and adds up what was done.
fn complete(
    store: &Store,
    writer: &mut Writer,
    root: BorrowedFd<'_>,
    dirs: &mut [Found],
    notes: &mut Vec<Note>,
    counts: &mut ScanCounts,
) -> Result<()> {
    for dir in dirs.iter_mut() {
        notes.append(&mut dir.notes);
        counts.stated += dir.stated;
        counts.listed += u64::from(dir.listed);
    }
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    for dir in dirs.iter_mut() {
        for row in dir.rows.iter_mut().filter(|row| row.wanted) {
            wanted.push(Wanted {
                scanned: &mut row.scanned,
                stat: &mut row.stat,
                racy: &mut row.racy,
            });
        }
    }
    if !wanted.is_empty() {
        // Neighbours in the tree become neighbours in a frame.
        wanted.sort_by(|a, b| path_of(a).cmp(&path_of(b)));
        fill(store, writer, root, wanted, notes, counts)?;
    }
    notes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}

fn path_of<'w>(wanted: &'w Wanted<'_>) -> Option<&'w [u8]> {
    wanted
        .scanned
        .as_ref()
        .map(|scanned| scanned.path.as_slice())
}

fn save_cache(path: &Path, epoch: u64, start_ns: i64, dirs: &[Found]) -> Result<()> {
    let mut builder = Builder::default();
    for dir in dirs {
        let mut incomplete = dir.scanned.is_none();
        for row in &dir.rows {
            let scanned = row.scanned.as_ref();
            let (blob, extra) = match (row.kind, scanned) {
                (
                    RowKind::Regular,
                    Some(Scanned {
                        kind: ScannedKind::Regular { blob, .. },
                        xattrs,
                        ..
                    }),
                ) => (*blob, encode_attributes(xattrs)),
                (
                    RowKind::Symlink,
                    Some(Scanned {
                        kind: ScannedKind::Symlink { target },
                        ..
                    }),
                ) => (crate::store::empty_blob(), target.clone()),
                (RowKind::Dir, _) => {
                    let child = dirs
                        .get(row.child as usize)
                        .and_then(|dir| dir.scanned.as_ref());
                    // A directory that was not read is looked for again.
                    incomplete |= child.is_none();
                    let xattrs = child.map(|child| encode_attributes(&child.xattrs));
                    (crate::store::empty_blob(), xattrs.unwrap_or_default())
                }
                (RowKind::Regular | RowKind::Symlink, _) => {
                    incomplete = true;
                    continue;
                }
                _ => (crate::store::empty_blob(), Vec::new()),
            };
            builder.row(&Row {
                name: row_name(dir, row),
                kind: row.kind,
                is_dir: row.is_dir,
                racy: row.racy,
                stat: row.stat,
                blob,
                extra: &extra,
                child: row.child,
            });
        }
        builder.dir(&dir.stat, incomplete || is_racy(&dir.stat, start_ns));
    }
    builder.save(path, epoch)
}

fn row_name<'r>(dir: &Found, row: &'r walk::FoundRow) -> &'r [u8] {
    let Some(scanned) = &row.scanned else {
        return &row.name;
    };
    let skip = if dir.path.is_empty() {
        0
    } else {
        dir.path.len() + 1
    };
    scanned.path.get(skip..).unwrap_or_default()
}

/// Puts everything in order: a directory, then its names in byte order with all below each.
fn in_order(mut dirs: Vec<Found>) -> Vec<Scanned> {
    let total = dirs.iter().map(|dir| dir.rows.len()).sum::<usize>() + 1;
    let mut entries = Vec::with_capacity(total);
    let mut open = Vec::new();
    let first = dirs
        .first_mut()
        .map(|dir| (dir.scanned.take(), std::mem::take(&mut dir.rows)));
    if let Some((scanned, rows)) = first {
        entries.extend(scanned);
        open.push(rows.into_iter());
    }
    while let Some(rows) = open.last_mut() {
        let Some(row) = rows.next() else {
            open.pop();
            continue;
        };
        if row.kind != RowKind::Dir {
            entries.extend(row.scanned);
        } else if let Some(dir) = dirs.get_mut(row.child as usize) {
            entries.extend(dir.scanned.take());
            open.push(std::mem::take(&mut dir.rows).into_iter());
        }
    }
    entries
}
