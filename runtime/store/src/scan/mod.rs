//! Scans a project directory against a stat cache.
//!
//! A cached answer is used when size, mtime, ctime, inode, device and mode are what they were and
//! the ctime was not within 20 ms of the scan that saved it (a racy entry, as git calls it). Files
//! that are read are asked before and after. A directory with unchanged stat is not listed again.
//!
//! A caller that remembers what it made of the last scan ([`note`]) gets from [`rescan`] only what
//! changed since; then a scan without a change is one `statx` for each name and nothing else.

mod answer;
mod cache;
mod dirs;
mod fill;
mod note;
mod paths;
mod queue;
mod racy;
mod save;
mod types;
mod visit;
mod walk;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

pub use cache::Stamp;
pub use note::note;
pub use paths::scan_paths;
pub use types::{
    DirFilter, Filter, Note, NoteReason, PathsReport, Rescan, ScanCounts, ScanReport, Scanned,
    ScannedKind,
};

use crate::{Error, Result, Store, Writer};
use answer::{changes, in_order};
use cache::StatCache;
use fill::{Tally, Wanted, fill};
use save::is_worth_it;
use walk::{Found, Walk};

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
    let mut run = Run::new(store, root, filter, cache)?;
    run.walk(writer, false)?;
    Ok(run.everything())
}

/// Scans a whole project like [`scan`], but answers only what changed since the state that the
/// [`note`] on the stat cache is about, if there is one.
///
/// # Errors
/// As [`scan`].
pub fn rescan(
    store: &Store,
    writer: &mut Writer,
    root: &Path,
    filter: &dyn Filter,
    cache: &Path,
) -> Result<Rescan> {
    let mut run = Run::new(store, root, filter, Some(cache))?;
    let known = run.loaded.as_ref().filter(|_| run.blobs_are_there());
    let note = known.and_then(|loaded| note::read(cache, &loaded.stamp));
    run.walk(writer, note.is_some())?;
    Ok(match note {
        None => Rescan::All(run.everything()),
        Some(note) => Rescan::Since {
            note,
            changes: changes(run.dirs, run.tally),
            saved: run.saved,
        },
    })
}

/// One scan from loading the cache to saving the next.
struct Run<'a> {
    store: &'a Store,
    root: &'a Path,
    filter: &'a dyn Filter,
    cache: Option<&'a Path>,
    loaded: Option<StatCache>,
    epoch: u64,
    dirs: Vec<Found>,
    tally: Tally,
    unchanged: bool,
    saved: Option<Stamp>,
}

impl<'a> Run<'a> {
    fn new(
        store: &'a Store,
        root: &'a Path,
        filter: &'a dyn Filter,
        cache: Option<&'a Path>,
    ) -> Result<Run<'a>> {
        Ok(Run {
            store,
            root,
            filter,
            cache,
            loaded: cache.and_then(StatCache::load),
            epoch: store.epoch()?,
            dirs: Vec::new(),
            tally: Tally::default(),
            unchanged: false,
            saved: None,
        })
    }

    /// Nothing was removed from the store since the cache was saved.
    fn blobs_are_there(&self) -> bool {
        let loaded = self.loaded.as_ref();
        loaded.is_some_and(|loaded| loaded.epoch == self.epoch)
    }

    fn walk(&mut self, writer: &mut Writer, only_changes: bool) -> Result<()> {
        let opened = open_root(self.root)?;
        // No filter has a fingerprint of zeros: they say that nothing is known.
        let fingerprint = self
            .filter
            .fingerprint()
            .map_or([0; 32], |id| *id.as_bytes());
        let loaded = self.loaded.as_ref();
        let same_rules = loaded.is_some_and(|loaded| loaded.fingerprint == fingerprint)
            && fingerprint != [0; 32];
        let blobs_are_there = self.blobs_are_there();
        let walk = Walk {
            cache: loaded,
            blobs_are_there,
            same_rules,
            only_changes,
            ..Walk::new(self.store, opened.as_fd(), self.filter)
        };
        let mut dirs = walk.run(b"")?;
        check_root(&dirs, self.root)?;
        self.tally = complete(self.store, writer, opened.as_fd(), &mut dirs, walk.start_ns)?;
        self.unchanged = loaded.is_some() && dirs.iter().all(|dir| !dir.changed);
        let changed = dirs.iter().filter(|dir| dir.changed).count();
        let rows = loaded.map_or(0, |loaded| loaded.rows);
        let renewed = !blobs_are_there
            || loaded.is_some_and(|loaded| loaded.fingerprint != fingerprint)
            || is_worth_it(&self.tally.counts, changed, rows);
        if let Some(path) = self.cache
            && renewed
        {
            writer.commit()?;
            let saved = save::save(path, self.epoch, &fingerprint, loaded, &dirs)?;
            self.saved = Some(saved);
        }
        self.dirs = dirs;
        Ok(())
    }

    fn everything(self) -> ScanReport {
        ScanReport {
            entries: in_order(self.dirs),
            notes: self.tally.notes,
            counts: self.tally.counts,
            unchanged: self.unchanged,
            saved: self.saved,
        }
    }
}

fn open_root(root: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, root, flags, Mode::empty()).map_err(Error::io("open the project", root))
}

/// A root that cannot be read is no empty project.
fn check_root(dirs: &[Found], root: &Path) -> Result<()> {
    let Some(dir) = dirs.first().filter(|dir| dir.failed) else {
        return Ok(());
    };
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
    start_ns: i64,
) -> Result<Tally> {
    let mut tally = Tally::default();
    for dir in dirs.iter_mut() {
        tally.notes.append(&mut dir.notes);
        tally.counts.stated += dir.stated;
        tally.counts.listed += u64::from(dir.listed);
    }
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    for row in dirs.iter_mut().flat_map(|dir| &mut dir.rows).flatten() {
        if row.wanted {
            wanted.push(Wanted {
                scanned: &mut row.scanned,
                key: &mut row.key,
                racy: &mut row.racy,
            });
        }
    }
    if !wanted.is_empty() {
        // Neighbours in the tree become neighbours in a frame.
        wanted.sort_by(|a, b| path_of(a).cmp(&path_of(b)));
        fill(store, writer, root, wanted, start_ns, &mut tally)?;
    }
    tally.notes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(tally)
}

fn path_of<'w>(wanted: &'w Wanted<'_>) -> Option<&'w [u8]> {
    wanted
        .scanned
        .as_ref()
        .map(|scanned| scanned.path.as_slice())
}
