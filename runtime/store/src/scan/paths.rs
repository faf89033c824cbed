//! Looks only at paths that something is said to have happened to.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::answer::in_order;
use super::cache::{RowKind, StatKey};
use super::dirs::{open_below, read_ignore_file, read_link, readable, stat_name, user_attributes};
use super::fill::{Tally, Wanted, fill};
use super::types::{DirFilter, Filter, Note, NoteReason, PathsReport, Scanned, ScannedKind};
use super::walk::{Walk, join, leaf_kind, now_ns, scanned};
use super::{complete, open_root};
use crate::stat::FileStat;
use crate::{Error, Result, Store, Writer};

/// Looks at `paths` only (relative, raw bytes; what a watcher reported) and stores what is new.
///
/// A path that is there is answered with the directories above it, whose times changed with it;
/// a directory is walked. A path that is not there, or that the filter leaves out, is gone. When
/// an ignore file is among the paths its directory is walked. Nothing is committed.
///
/// The stat cache is neither used nor changed: its entries for these paths stop to match, which
/// is all it takes.
///
/// # Errors
/// [`Error::Io`] when the root cannot be opened, and errors of the store.
pub fn scan_paths(
    store: &Store,
    writer: &mut Writer,
    root: &Path,
    filter: &dyn Filter,
    _cache: Option<&Path>,
    paths: &[Vec<u8>],
) -> Result<PathsReport> {
    let opened = open_root(root)?;
    let mut look = Look {
        store,
        root: opened.as_fd(),
        filter,
        filters: BTreeMap::new(),
        files: Vec::new(),
        present: BTreeMap::new(),
        report: PathsReport::default(),
    };
    for path in dirty(paths, filter) {
        if !look
            .report
            .walked
            .iter()
            .any(|walked| is_below(&path, walked))
        {
            look.path(writer, &path)?;
        }
    }
    look.finish(writer)
}

/// Sorts the paths, directories before what is in them, and turns ignore files into directories.
fn dirty(paths: &[Vec<u8>], filter: &dyn Filter) -> Vec<Vec<u8>> {
    let ignore_files = filter.ignore_file_names();
    let mut dirty: Vec<Vec<u8>> = Vec::with_capacity(paths.len());
    for path in paths {
        let (dir, name) = split(path);
        let rules = ignore_files.iter().any(|file| file.as_bytes() == name);
        dirty.push(if rules { dir.to_vec() } else { path.clone() });
    }
    dirty.sort();
    dirty.dedup();
    dirty
}

pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn is_below(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty()
        || path
            .strip_prefix(dir)
            .is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

/// The path in an order that keeps a directory and what is below it together.
pub(super) fn key(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

struct Look<'a> {
    store: &'a Store,
    root: BorrowedFd<'a>,
    filter: &'a dyn Filter,
    filters: BTreeMap<Vec<u8>, Box<dyn DirFilter + 'a>>,
    files: Vec<(Scanned, FileStat)>,
    present: BTreeMap<Vec<Vec<u8>>, Scanned>,
    report: PathsReport,
}

/// What there is at a path.
enum Sight {
    Gone,
    Dir,
    Other(FileStat),
}

impl Look<'_> {
    fn path(&mut self, writer: &mut Writer, path: &[u8]) -> Result<()> {
        match self.sight(path) {
            Ok(Sight::Gone) => self.gone(path),
            Ok(Sight::Dir) => return self.walk(writer, path),
            Ok(Sight::Other(stat)) => self.leaf(path, &stat)?,
            Err(error) => self.failed(path, error)?,
        }
        Ok(())
    }

    fn gone(&mut self, path: &[u8]) {
        self.report.gone.push(path.to_vec());
    }

    /// What went away is gone, what may not be read is gone with a note, the rest is an error.
    fn failed(&mut self, path: &[u8], error: Errno) -> Result<()> {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::INVAL => {}
            Errno::ACCESS | Errno::PERM => {
                let message = std::io::Error::from(error).to_string();
                let reason = NoteReason::Unreadable { message };
                self.report.notes.push(Note {
                    path: path.to_vec(),
                    reason,
                });
            }
            error => return Err(Error::io("scan", super::walk::display_path(path))(error)),
        }
        self.gone(path);
        Ok(())
    }

    /// Goes down to a path from the root, asking the filter at each step.
    fn sight(&mut self, path: &[u8]) -> rustix::io::Result<Sight> {
        let names: Vec<&[u8]> = path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
            .collect();
        if names.iter().any(|name| matches!(*name, b"." | b"..")) {
            return Ok(Sight::Gone);
        }
        let mut dir = Vec::new();
        self.enter(&dir)?;
        for (depth, name) in names.iter().enumerate() {
            let fd = open_below(self.root, &dir, OFlags::PATH | OFlags::DIRECTORY)?;
            self.report.counts.stated += 1;
            let stat = stat_name(fd.as_fd(), name)?;
            let kept = self
                .filters
                .get(&dir)
                .is_some_and(|filter| filter.keep(name, stat.is_dir()));
            if !kept {
                return Ok(Sight::Gone);
            }
            let last = depth + 1 == names.len();
            match (last, stat.is_dir()) {
                (true, false) => return Ok(Sight::Other(stat)),
                (false, false) => return Ok(Sight::Gone),
                (true, true) => return Ok(Sight::Dir),
                (false, true) => {}
            }
            dir = join(&dir, name);
            self.enter(&dir)?;
        }
        Ok(Sight::Dir)
    }

    /// Answers a directory itself, and makes its filter known.
    fn enter(&mut self, dir: &[u8]) -> rustix::io::Result<()> {
        if self.filters.contains_key(dir) {
            return Ok(());
        }
        let fd = open_below(self.root, dir, OFlags::PATH | OFlags::DIRECTORY)?;
        let stat = FileStat::of(&fd)?;
        let attributes = user_attributes(readable(fd.as_fd())?)?;
        let names = self.filter.ignore_file_names().iter();
        let ignore: Vec<_> = names
            .filter_map(|name| Some((name.clone(), read_ignore_file(fd.as_fd(), name.as_bytes())?)))
            .collect();
        self.filters
            .insert(dir.to_vec(), self.filter.enter(dir, &ignore));
        self.present
            .insert(key(dir), scanned(dir, &stat, ScannedKind::Dir, attributes));
        Ok(())
    }

    fn walk(&mut self, writer: &mut Writer, path: &[u8]) -> Result<()> {
        let walk = Walk::new(self.store, self.root, self.filter);
        let mut dirs = walk.run(path)?;
        let tally = complete(self.store, writer, self.root, &mut dirs, walk.start_ns)?;
        self.take(tally);
        let entries = in_order(dirs);
        if entries.is_empty() {
            self.gone(path);
            return Ok(());
        }
        self.present
            .extend(entries.into_iter().map(|entry| (key(&entry.path), entry)));
        self.report.walked.push(path.to_vec());
        Ok(())
    }

    fn take(&mut self, tally: Tally) {
        let (report, counts) = (&mut self.report, tally.counts);
        report.notes.extend(tally.notes);
        report.counts.stated += counts.stated;
        report.counts.listed += counts.listed;
        report.counts.hashed += counts.hashed;
        report.counts.bytes += counts.bytes;
    }

    fn leaf(&mut self, path: &[u8], stat: &FileStat) -> Result<()> {
        let kind = match leaf_kind(stat) {
            Some(RowKind::Regular) => {
                let blob = crate::store::empty_blob();
                let kind = ScannedKind::Regular {
                    blob,
                    size: stat.size,
                };
                self.files
                    .push((scanned(path, stat, kind, BTreeMap::new()), *stat));
                return Ok(());
            }
            Some(RowKind::Symlink) => {
                let (dir, name) = split(path);
                let target = open_below(self.root, dir, OFlags::PATH | OFlags::DIRECTORY)
                    .and_then(|dir| read_link(dir.as_fd(), name));
                match target {
                    Ok(target) => ScannedKind::Symlink { target },
                    Err(error) => return self.failed(path, error),
                }
            }
            Some(RowKind::Fifo) => ScannedKind::Fifo,
            Some(RowKind::Char) => ScannedKind::Char { rdev: stat.rdev },
            Some(RowKind::Block) => ScannedKind::Block { rdev: stat.rdev },
            Some(RowKind::Socket) => {
                let reason = NoteReason::Socket;
                self.report.notes.push(Note {
                    path: path.to_vec(),
                    reason,
                });
                self.gone(path);
                return Ok(());
            }
            Some(RowKind::Dir | RowKind::Excluded) | None => return Ok(()),
        };
        self.present
            .insert(key(path), scanned(path, stat, kind, BTreeMap::new()));
        Ok(())
    }

    /// Reads the files and puts the answer together.
    fn finish(mut self, writer: &mut Writer) -> Result<PathsReport> {
        let mut files: Vec<(Option<Scanned>, StatKey, bool)> = self
            .files
            .drain(..)
            .map(|(scanned, stat)| (Some(scanned), StatKey::of(&stat), false))
            .collect();
        let paths: Vec<Vec<u8>> = files
            .iter()
            .flat_map(|(scanned, ..)| scanned)
            .map(|file| file.path.clone())
            .collect();
        let wanted = files
            .iter_mut()
            .map(|(scanned, key, racy)| Wanted { scanned, key, racy })
            .collect();
        let mut tally = Tally::default();
        fill(self.store, writer, self.root, wanted, now_ns(), &mut tally)?;
        self.take(tally);
        for ((scanned, ..), path) in files.into_iter().zip(paths) {
            match scanned {
                Some(file) => {
                    self.present.insert(key(&path), file);
                }
                None => self.gone(&path),
            }
        }
        self.report.present = self.present.into_values().collect();
        self.report.notes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(self.report)
    }
}
