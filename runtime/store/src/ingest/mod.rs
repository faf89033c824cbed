//! Stores many files at once, on several threads.
//!
//! Workers open, read, cut, hash and compress; the calling thread alone appends. Records of file
//! content reach the segment before the list of any file, so that none is ever durable before the
//! chunks below it, whichever worker wrote them. Parts of lists may come before: nobody gets to them
//! but from the list of a file, and whoever finds one stored looks for its chunks all the same.

mod holes;
mod large;
mod subtrees;
mod worker;

use std::collections::HashSet;
use std::io;
use std::iter::Peekable;
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use crossbeam_channel::{Receiver, bounded, unbounded};

use crate::assemble::NamedList;
use crate::idhash::IdBuildHasher;
use crate::record::{Record, TAG_PART, TAG_WHOLE};
use crate::segment::lock;
use crate::shelf::Want;
use crate::stat::FileStat;
use crate::writer::{Pending, list_record};
use crate::{Error, Id, Result, Store, Writer};

use worker::Worker;

/// Records that may wait for the appending thread.
const QUEUE: usize = 64;
const CLAIM_SHARDS: usize = 16;

/// A file whose content is to be stored.
#[derive(Debug)]
pub struct Source<T, O> {
    /// Told with the answer.
    pub token: T,
    /// Opens the file when its turn comes, on a worker thread.
    pub open: O,
    /// The directory of the file, by any number: files of one come one after the other, and are packed
    /// together, so that what is read or removed as a whole lies in few records.
    pub dir: usize,
}

/// A file whose content is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ingested {
    /// Its content.
    pub id: Id,
    /// Its length in bytes, as read.
    pub size: u64,
    /// What the kernel said before the file was read.
    pub stat: FileStat,
    /// False when the file changed under each of three reads; the last content read is stored.
    pub stable: bool,
}

/// Stores the content of many files on at least two threads, in bounded memory.
///
/// `sink` is called on the calling thread, once per file, in no particular order, with the token and
/// either the stored file or the reason why that file could not be opened or read. The content
/// counts after the next [`Writer::commit`].
///
/// # Errors
/// I/O errors of the store; the writer takes nothing more then, and no answer given so far holds.
pub fn ingest_files<T, O>(
    store: &Store,
    writer: &mut Writer,
    files: impl Iterator<Item = Source<T, O>> + Send,
    sink: &mut dyn FnMut(T, io::Result<Ingested>),
) -> Result<()>
where
    T: Send,
    O: FnOnce() -> io::Result<OwnedFd> + Send,
{
    writer.guarded(|writer| {
        // A chunk list of this run may name small blobs put before.
        writer.flush_blobs()?;
        // Workers look up what was pending before; what they add is told apart by their claims.
        let before = std::mem::take(&mut writer.pending);
        let done = run(store, writer, &before, files, sink);
        writer.pending.extend(before);
        done
    })
}

fn run<T, O>(
    store: &Store,
    writer: &mut Writer,
    pending: &Pending,
    files: impl Iterator<Item = Source<T, O>> + Send,
    sink: &mut dyn FnMut(T, io::Result<Ingested>),
) -> Result<()>
where
    T: Send,
    O: FnOnce() -> io::Result<OwnedFd> + Send,
{
    let threads = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, 8);
    let known = Known {
        store,
        pending,
        claims: Default::default(),
    };
    let files = Mutex::new(files.peekable());
    let (out, incoming) = bounded(QUEUE);
    let (help_wanted, help) = unbounded();
    std::thread::scope(|scope| {
        let mut workers = Vec::with_capacity(threads);
        for _ in 0..threads {
            let worker = Worker::new(&known, out.clone(), help_wanted.clone(), help.clone());
            let files = &files;
            let spawned = std::thread::Builder::new()
                .name("ingest".into())
                .spawn_scoped(scope, move || worker.run(|batch| take_batch(files, batch)));
            workers.push(spawned.map_err(Error::io("start a thread for", &store.inner.cas))?);
        }
        drop((out, help_wanted, help));
        let appended = append_all(writer, incoming, sink);
        let ended = workers.into_iter().map(|worker| worker.join());
        let lost = ended.filter(|end| end.is_err()).count() > 0;
        appended.and(if lost { Err(Error::WorkerLost) } else { Ok(()) })
    })
}

/// What a worker tells the appending thread.
pub(crate) enum Message<T> {
    Record(Record),
    /// A part of a list: named by its own hash, so nobody finds it before its whole.
    Part(NamedList),
    Whole(NamedList),
    /// Answers of one batch: a message for each file would cost more than a small file itself.
    Done(Vec<(T, io::Result<Ingested>)>),
    Failed(Error),
}

fn append_all<T>(
    writer: &mut Writer,
    incoming: Receiver<Message<T>>,
    sink: &mut dyn FnMut(T, io::Result<Ingested>),
) -> Result<()> {
    let mut wholes = Vec::new();
    for message in incoming {
        match message {
            Message::Record(record) => writer.append(&record)?,
            Message::Part(part) => writer.append(&list_record(&part, TAG_PART))?,
            Message::Whole(whole) => wholes.push(whole),
            Message::Done(batch) => batch
                .into_iter()
                .for_each(|(token, done)| sink(token, done)),
            Message::Failed(error) => return Err(error),
        }
    }
    wholes
        .iter()
        .try_for_each(|whole| writer.append(&list_record(whole, TAG_WHOLE)))
}

/// Takes the next files from the shared iterator: neighbours stay together, and so do directories
/// unless they are very large.
fn take_batch<T, O>(
    files: &Mutex<Peekable<impl Iterator<Item = Source<T, O>>>>,
    batch: &mut Vec<Source<T, O>>,
) {
    const BATCH: usize = 32;
    const BATCH_MAX: usize = 256;
    let mut files = lock(files);
    let mut dir = None;
    while batch.len() < BATCH_MAX {
        let wanted = |next: &Source<T, O>| batch.len() < BATCH || Some(next.dir) == dir;
        let Some(file) = files.next_if(wanted) else {
            break;
        };
        dir = Some(file.dir);
        batch.push(file);
    }
}

/// Knows what need not be written: stored, pending, or claimed by a worker of this run.
pub(crate) struct Known<'a> {
    pub(crate) store: &'a Store,
    pending: &'a Pending,
    claims: [Mutex<HashSet<Id, IdBuildHasher>>; CLAIM_SHARDS],
}

impl Known<'_> {
    /// Answers true for the one caller that has to write the object.
    pub(crate) fn claim(&self, id: &Id, want: Want) -> Result<bool> {
        if self.pending.contains_key(id) {
            return Ok(false);
        }
        let shard = usize::from(id.as_bytes()[31]) % CLAIM_SHARDS;
        if lock(&self.claims[shard]).contains(id) || self.store.inner.shelf.has_sound(id, want)? {
            return Ok(false);
        }
        Ok(lock(&self.claims[shard]).insert(*id))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sizes(dirs: &[usize]) -> Vec<usize> {
        let source = |dir| Source {
            token: (),
            open: (),
            dir,
        };
        let files = dirs
            .iter()
            .enumerate()
            .flat_map(|(dir, count)| std::iter::repeat_n(dir, *count).map(source));
        let files = Mutex::new(files.peekable());
        let mut sizes = Vec::new();
        loop {
            let mut batch = Vec::new();
            take_batch(&files, &mut batch);
            if batch.is_empty() {
                return sizes;
            }
            sizes.push(batch.len());
        }
    }

    #[test]
    fn a_batch_ends_with_a_directory_unless_that_is_very_large() {
        let table: [(&[usize], &[usize]); 5] = [
            (&[], &[]),
            (&[3, 3, 3], &[9]),
            (&[50, 50, 1], &[50, 50, 1]),
            (&[31, 1, 1], &[32, 1]),
            (&[300, 5], &[256, 44, 5]),
        ];
        for (dirs, expected) in table {
            assert_eq!(sizes(dirs), expected, "{dirs:?}");
        }
    }

    #[test]
    fn a_directory_lies_in_a_record_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("cas")).unwrap();
        let file = |number: usize| {
            let path = dir.path().join(number.to_string());
            std::fs::write(&path, vec![number as u8; 1000]).unwrap();
            let open = move || std::fs::File::open(path).map(OwnedFd::from);
            Source {
                token: number / 40,
                open,
                dir: number / 40,
            }
        };
        let mut ids = vec![Vec::new(); 6];
        let mut writer = store.writer().unwrap();
        let files: Vec<_> = (0..240).map(file).collect();
        ingest_files(&store, &mut writer, files.into_iter(), &mut |dir, done| {
            ids[dir].push(done.unwrap().id);
        })
        .unwrap();
        writer.commit().unwrap();
        let place = |id: &Id| {
            let copies = store.inner.shelf.locate(id, Want::Chunk).unwrap();
            (copies[0].segment.number, copies[0].entry.place)
        };
        let mut all = BTreeSet::new();
        for ids in &ids {
            let places: BTreeSet<_> = ids.iter().map(place).collect();
            assert_eq!((ids.len(), places.len()), (40, 1));
            all.extend(places);
        }
        assert_eq!(all.len(), 6);
    }
}
