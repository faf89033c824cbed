//! Looks at the directories of a project on several threads.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::cache::{RowKind, StatCache, StatKey};
use super::dirs::{
    Attributes, decode_attributes, open_below, read_ignore_file, readable, user_attributes,
};
use super::queue::Queue;
use super::racy::is_racy;
use super::types::{Filter, Note, NoteReason, Scanned, ScannedKind};
use super::visit::Visit;
use crate::segment::lock;
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
    /// The filter has the rules of its own that it had when the cache was saved.
    pub(super) same_rules: bool,
    /// What is as in the cache is left out of the answer.
    pub(super) only_changes: bool,
    pub(super) start_ns: i64,
    pub(super) next: AtomicU32,
    /// Directories that the filter entered for the sake of something below them.
    pub(super) entered: Mutex<HashSet<Vec<u8>>>,
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
    /// No rule above this directory changed since the cache was saved.
    pub(super) same_rules: bool,
    /// The filter has entered every directory above this one.
    pub(super) entered: bool,
}

/// A directory that was looked at.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: u32,
    pub(super) path: Vec<u8>,
    /// Its number in the cache.
    pub(super) cached: Option<u32>,
    pub(super) key: StatKey,
    /// It may have changed after it was looked at, or it could not be looked at.
    pub(super) racy: bool,
    /// It went away or may not be read.
    pub(super) failed: bool,
    /// The directory itself, unless it failed, or is as in the cache and that is left out.
    pub(super) scanned: Option<Scanned>,
    /// Its names; `None` when all are as in the cache and that is left out.
    pub(super) rows: Option<Vec<FoundRow>>,
    /// The numbers of the directories in it, in the order of their names.
    pub(super) children: Vec<u32>,
    /// Paths that the cache has, and that are no more.
    pub(super) gone: Vec<Vec<u8>>,
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
            cached: None,
            key: StatKey::default(),
            racy: true,
            failed: true,
            scanned: None,
            rows: Some(Vec::new()),
            children: Vec::new(),
            gone: Vec::new(),
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
    /// Empty when the answer or the cache has it.
    pub(super) name: Box<[u8]>,
    pub(super) kind: RowKind,
    pub(super) is_dir: bool,
    pub(super) key: StatKey,
    pub(super) racy: bool,
    /// Its place among the rows of the cached directory, when it is exactly as there.
    pub(super) as_cached: Option<u32>,
    /// Complete, unless `wanted`; `None` for what is not part of the answer or answered elsewhere.
    pub(super) scanned: Option<Scanned>,
    /// The content has to be read.
    pub(super) wanted: bool,
}

impl<'a> Walk<'a> {
    /// A walk that answers everything, knowing nothing.
    pub(super) fn new(store: &'a Store, root: BorrowedFd<'a>, filter: &'a dyn Filter) -> Walk<'a> {
        Walk {
            store,
            root,
            filter,
            cache: None,
            blobs_are_there: false,
            same_rules: false,
            only_changes: false,
            start_ns: now_ns(),
            next: AtomicU32::new(0),
            entered: Mutex::default(),
        }
    }

    /// Walks everything below `path`, whose parents the filter has entered; answers the
    /// directories by their number.
    pub(super) fn run(&self, path: &[u8]) -> Result<Vec<Found>> {
        let first = Task {
            id: self.new_number(),
            path: path.to_vec(),
            cached: path.is_empty().then_some(0),
            attributes: Vec::new(),
            same_rules: self.same_rules,
            entered: true,
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

    pub(super) fn new_number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
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
        if let Err(error) = self.look_into(&task, &mut found, more) {
            let stated = found.stated;
            found = Found::none(task.id, task.path);
            found.stated = stated;
            found.gone.push(found.path.clone());
            more.clear();
            self.note_failure(&mut found, error)?;
        }
        Ok(found)
    }

    /// A file or directory that cannot be looked at is a note, a sick system is an error.
    fn note_failure(&self, found: &mut Found, error: Errno) -> Result<()> {
        let reason = match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE => NoteReason::Vanished,
            Errno::ACCESS | Errno::PERM => NoteReason::Unreadable {
                message: std::io::Error::from(error).to_string(),
            },
            error => return Err(Error::io("scan", display_path(&found.path))(error)),
        };
        let path = found.path.clone();
        found.notes.push(Note { path, reason });
        Ok(())
    }

    fn look_into(
        &self,
        task: &Task,
        found: &mut Found,
        more: &mut Vec<Task>,
    ) -> rustix::io::Result<()> {
        let dir = open_below(self.root, &task.path, OFlags::PATH | OFlags::DIRECTORY)?;
        let stat = FileStat::of(&dir)?;
        found.key = StatKey::of(&stat);
        found.racy = is_racy(&stat, self.start_ns);
        found.failed = false;
        let cache = self
            .cache
            .and_then(|cache| Some((cache, cache.dir(task.cached?)?)));
        found.cached = cache.and(task.cached);
        let same = cache.filter(|(_, cached)| cached.key == found.key);
        found.changed = same.is_none();
        let usable = same.filter(|(_, cached)| !cached.racy);
        // A directory whose attributes are not in the cache is opened to ask for them.
        let ask = usable.is_none() || (task.path.is_empty() && !self.only_changes);
        let opened = ask.then(|| readable(dir.as_fd())).transpose()?;
        if !(self.only_changes && usable.is_some()) {
            let attributes = match &opened {
                Some(opened) => user_attributes(opened)?,
                None => decode_attributes(&task.attributes).unwrap_or_default(),
            };
            let itself = scanned(&task.path, &stat, ScannedKind::Dir, attributes);
            found.scanned = Some(itself);
        }
        let mut visit = Visit::new(self, task, dir, found, more);
        match (usable, opened) {
            (Some((cache, cached)), _) => visit.cached_names(cache, &cached),
            (None, Some(opened)) => visit.listed_names(&opened, cache),
            (None, None) => Ok(()),
        }
    }

    /// Makes the filter know the directories above `path`, the outermost first.
    pub(super) fn enter_above(&self, path: &[u8]) -> rustix::io::Result<()> {
        let mut entered = lock(&self.entered);
        let slashes = (0..path.len()).filter(|at| path[*at] == b'/');
        for end in std::iter::once(0).chain(slashes) {
            let above = &path[..end];
            if path.is_empty() || entered.contains(above) {
                continue;
            }
            let dir = open_below(self.root, above, OFlags::PATH | OFlags::DIRECTORY)?;
            let names = self.filter.ignore_file_names().iter();
            let ignore: Vec<_> = names
                .filter_map(|name| {
                    let bytes = read_ignore_file(dir.as_fd(), name.as_bytes())?;
                    Some((name.clone(), bytes))
                })
                .collect();
            drop(self.filter.enter(above, &ignore));
            entered.insert(above.to_vec());
        }
        Ok(())
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
