//! Looks at the directories of a project on several threads.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::cache::{RowKind, StatCache};
use super::dirs::{Attributes, decode_attributes, open_below, readable, user_attributes};
use super::queue::Queue;
use super::types::{Filter, Note, NoteReason, Scanned, ScannedKind};
use super::visit::Visit;
use crate::stat::FileStat;
use crate::{Error, Result, Store};

/// What a walk needs to know.
pub(super) struct Walk<'a> {
    pub(super) store: &'a Store,
    pub(super) root: BorrowedFd<'a>,
    pub(super) filter: &'a dyn Filter,
    pub(super) cache: Option<&'a StatCache>,
    /// Nothing was removed from the store since the cache was saved.
    pub(super) blobs_are_there: bool,
    pub(super) start_ns: i64,
    pub(super) next: AtomicU32,
}

/// A directory that waits to be looked at.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: u32,
    pub(super) path: Vec<u8>,
    /// Its number in the cache.
    pub(super) cached: Option<u32>,
    /// Encoded attributes the cache has for this directory.
    pub(super) attributes: Vec<u8>,
}

/// A directory that was looked at.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: u32,
    pub(super) path: Vec<u8>,
    pub(super) stat: FileStat,
    /// The directory itself; `None` when it went away or may not be read.
    pub(super) scanned: Option<Scanned>,
    pub(super) rows: Vec<FoundRow>,
    pub(super) notes: Vec<Note>,
    pub(super) listed: bool,
    pub(super) stated: u64,
    /// Something differs from what the cache holds.
    pub(super) changed: bool,
}

impl Found {
    fn none(id: u32, path: Vec<u8>) -> Found {
        Found {
            id,
            path,
            stat: FileStat::default(),
            scanned: None,
            rows: Vec::new(),
            notes: Vec::new(),
            listed: false,
            stated: 1,
            changed: true,
        }
    }
}

/// A name in a directory that was looked at.
#[derive(Debug)]
pub(super) struct FoundRow {
    pub(super) name: Vec<u8>,
    pub(super) kind: RowKind,
    pub(super) is_dir: bool,
    pub(super) stat: FileStat,
    pub(super) racy: bool,
    /// The number of the directory, when it is one.
    pub(super) child: u32,
    /// Complete, unless `wanted`; `None` for what is not part of the answer or answered elsewhere.
    pub(super) scanned: Option<Scanned>,
    /// The content has to be read.
    pub(super) wanted: bool,
}

impl<'a> Walk<'a> {
    /// Walks everything below `path`; answers the directories by their number.
    pub(super) fn run(&self, path: &[u8]) -> Result<Vec<Found>> {
        let first = Task {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            path: path.to_vec(),
            cached: path.is_empty().then_some(0),
            attributes: Vec::new(),
        };
        let queue = Queue::new(first);
        let threads = std::thread::available_parallelism()
            .map_or(2, usize::from)
            .clamp(2, 8);
        let work = || self.work(&queue);
        let mut found = std::thread::scope(|scope| {
            let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut all = work()?;
            for worker in workers {
                all.append(&mut worker.join().map_err(|_| Error::WorkerLost)??);
            }
            Ok::<_, Error>(all)
        })?;
        // Children of a directory that failed half-way have a number and no answer.
        let known: HashSet<u32> = found.iter().map(|dir| dir.id).collect();
        let numbers = 0..self.next.load(Ordering::Relaxed);
        found.extend(
            numbers
                .filter(|id| !known.contains(id))
                .map(|id| Found::none(id, Vec::new())),
        );
        found.sort_unstable_by_key(|dir| dir.id);
        Ok(found)
    }

    fn work(&self, queue: &Queue<Task>) -> Result<Vec<Found>> {
        /// Lets the other threads end when this one panics.
        struct Bail<'q>(&'q Queue<Task>);
        impl Drop for Bail<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.give_up();
                }
            }
        }
        let bail = Bail(queue);
        let mut all = Vec::new();
        let mut more = Vec::new();
        while let Some(task) = queue.take() {
            match self.directory(task, &mut more) {
                Ok(found) => all.push(found),
                Err(error) => {
                    queue.give_up();
                    return Err(error);
                }
            }
            queue.done(&mut more);
        }
        drop(bail);
        Ok(all)
    }

    fn directory(&self, task: Task, more: &mut Vec<Task>) -> Result<Found> {
        let mut found = Found::none(task.id, task.path.clone());
        let filled = self.look_into(&task, &mut found, more);
        if let Err(error) = filled {
            found.scanned = None;
            found.rows.clear();
            more.clear();
            found.changed = true;
            self.note_failure(&task.path, &mut found.notes, error)?;
        }
        Ok(found)
    }

    /// A file or directory that cannot be looked at is a note, a sick system is an error.
    fn note_failure(&self, path: &[u8], notes: &mut Vec<Note>, error: Errno) -> Result<()> {
        let reason = match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE => NoteReason::Vanished,
            Errno::ACCESS | Errno::PERM | Errno::IO => NoteReason::Unreadable {
                message: std::io::Error::from(error).to_string(),
            },
            error => return Err(Error::io("scan", display_path(path))(error)),
        };
        notes.push(Note {
            path: path.to_vec(),
            reason,
        });
        Ok(())
    }

    fn look_into(
        &self,
        task: &Task,
        found: &mut Found,
        more: &mut Vec<Task>,
    ) -> rustix::io::Result<()> {
        let dir = open_below(self.root, &task.path, OFlags::PATH | OFlags::DIRECTORY)?;
        found.stat = FileStat::of(&dir)?;
        let cache = self
            .cache
            .and_then(|cache| Some((cache, cache.dir(task.cached?)?)));
        let same = cache.filter(|(_, cached)| cached.stat.is_same(&found.stat));
        found.changed = same.is_none();
        // A directory whose attributes are not in the cache is opened to ask for them.
        let fresh = same.is_none_or(|(_, cached)| cached.racy) || task.path.is_empty();
        let opened = if fresh {
            Some(readable(dir.as_fd())?)
        } else {
            None
        };
        let attributes = match &opened {
            Some(opened) => user_attributes(opened)?,
            None => decode_attributes(&task.attributes).unwrap_or_default(),
        };
        found.scanned = Some(scanned(
            &task.path,
            &found.stat,
            ScannedKind::Dir,
            attributes,
        ));
        let usable = same.filter(|(_, cached)| !cached.racy);
        let mut visit = Visit {
            walk: self,
            task,
            dir,
            found,
            more,
        };
        match (usable, opened) {
            (Some((cache, cached)), _) => visit.cached_names(cache, &cached),
            (None, Some(opened)) => visit.listed_names(&opened, cache),
            (None, None) => Ok(()),
        }
    }
}

pub(super) fn leaf_kind(stat: &FileStat) -> Option<RowKind> {
    Some(match stat.file_type() {
        0o100_000 => RowKind::Regular,
        0o120_000 => RowKind::Symlink,
        0o010_000 => RowKind::Fifo,
        0o020_000 => RowKind::Char,
        0o060_000 => RowKind::Block,
        0o140_000 => RowKind::Socket,
        _ => return None,
    })
}

pub(super) fn scanned(
    path: &[u8],
    stat: &FileStat,
    kind: ScannedKind,
    xattrs: Attributes,
) -> Scanned {
    let (path, mode) = (path.to_vec(), stat.mode & 0o7777);
    Scanned {
        path,
        kind,
        mode,
        mtime_ns: stat.mtime_ns,
        xattrs,
    }
}

pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    if !dir.is_empty() {
        path.extend_from_slice(dir);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

pub(super) fn display_path(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// The wall clock in nanoseconds: the one that file systems stamp ctimes with.
pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
