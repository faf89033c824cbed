//! One segment file as its readers see it: committed objects only, found by index and tail.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use rustix::fs::{FlockOperation, fdatasync, flock};

use crate::codec::decompress;
use crate::control::{SegmentId, Spot};
use crate::frame::Frame;
use crate::index::{self, Index, IndexEntry};
use crate::record::{
    ENTRY_LEN, HEADER_LEN, RecordKind, SEGMENT_HEADER_LEN, TableEntry, decode_entry,
};
use crate::replay::{Replay, replay};
use crate::stored::{Found, read_header, with_stored};
use crate::{Error, Id, Result};

/// A tail of more records, or of more objects, than this gets an index file; and of more than these
/// shares of what the index holds already, since it is written anew as a whole. Whoever opens the store
/// reads the head of every record in a tail: about 1.5 µs each, which is what 60 entries cost to write.
const INDEX_AFTER_RECORDS: usize = 32;
const INDEX_AFTER_OBJECTS: usize = 512;
const RECORDS_SHARE: usize = 512;
const OBJECTS_SHARE: usize = 16;

/// Why a record could not be read.
#[derive(Debug)]
pub(crate) enum LoadError {
    Failed(Error),
    Damaged(&'static str),
}

/// A segment that is open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) path: PathBuf,
    /// Unique in this process; keys the frame cache.
    pub(crate) number: u64,
    file: File,
    state: RwLock<State>,
    /// Objects that turned out to be damaged: passed over from then on.
    suspects: Mutex<HashMap<Spot, (IndexEntry, &'static str)>>,
    /// Records whose stored bytes were checked by this process.
    trusted: Mutex<HashSet<u32>>,
}

#[derive(Debug, Default)]
struct State {
    index: Option<Index>,
    /// What the index does not cover, sorted.
    tail: Vec<IndexEntry>,
    tail_records: usize,
    forgotten: HashSet<Spot>,
    committed: u64,
    durable: u64,
    /// Length and mtime at the last replay: equal ones mean that there is nothing new.
    seen: Option<(u64, i64, i64)>,
    damaged: bool,
}

impl Segment {
    /// Opens a segment and finds what is committed in it; `None` when it is gone.
    pub(crate) fn open(path: &Path, id: SegmentId, number: u64) -> Result<Option<Segment>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        let segment = Segment {
            id,
            path: path.to_owned(),
            number,
            file,
            state: RwLock::default(),
            suspects: Mutex::default(),
            trusted: Mutex::default(),
        };
        segment.refresh()?;
        segment.index_if_unclaimed();
        Ok(Some(segment))
    }

    /// The name of the segment: its id in hexadecimal.
    pub(crate) fn name(&self) -> String {
        self.id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn index_path(&self) -> PathBuf {
        self.path.with_extension("idx")
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        // States are replaced whole, so a panic elsewhere leaves none half-made.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was committed since the last look.
    pub(crate) fn refresh(&self) -> Result<()> {
        let (len, seen) = self.look()?;
        if self.state().seen == Some(seen) {
            return Ok(());
        }
        let mut guard = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        if state.seen.is_none() || len < state.committed {
            *state = State {
                committed: SEGMENT_HEADER_LEN.min(len),
                ..State::default()
            };
            if let Some(index) = Index::open(&self.index_path(), &self.id, len)? {
                // An index is written after the sync of what it covers.
                state.durable = index.covered;
                state.committed = index.covered;
                state.damaged = index.damaged;
                state.index = Some(index);
            }
        }
        let again = || replay(&self.file, &self.id, state.committed, len);
        let mut replayed = again().map_err(Error::io("read", &self.path))?;
        if !replayed.damages.is_empty() {
            // It may just have met a claimant that was cutting a tail and writing its own.
            replayed = again().map_err(Error::io("read", &self.path))?;
        }
        state.tail.extend(replayed.entries);
        // The stable sort takes what was sorted before as one run.
        state.tail.sort();
        state.tail_records += replayed.records;
        if !replayed.forgotten.is_empty() {
            state.forgotten.extend(replayed.forgotten);
            let forgotten = &state.forgotten;
            state
                .tail
                .retain(|entry| !forgotten.contains(&(entry.place, entry.slot)));
        }
        state.damaged |= !replayed.damages.is_empty();
        state.committed = replayed.committed;
        state.seen = Some(seen);
        Ok(())
    }

    fn look(&self) -> Result<(u64, (u64, i64, i64))> {
        let meta = self
            .file
            .metadata()
            .map_err(Error::io("look at", &self.path))?;
        Ok((meta.len(), (meta.len(), meta.mtime(), meta.mtime_nsec())))
    }

    /// End of what is committed, in bytes.
    pub(crate) fn committed(&self) -> u64 {
        self.state().committed
    }

    /// True when some committed record could not be understood; such a segment takes no more.
    pub(crate) fn is_damaged(&self) -> bool {
        self.state().damaged
    }

    /// Makes sure that everything visible here survives a power cut, whoever wrote it.
    ///
    /// Another process may have been killed, or may still be waiting, between its COMMIT record
    /// and the sync of it; nobody may build on such bytes before they are durable.
    pub(crate) fn make_durable(&self) -> Result<()> {
        let (committed, durable) = {
            let state = self.state();
            (state.committed, state.durable)
        };
        if durable >= committed {
            return Ok(());
        }
        fdatasync(&self.file).map_err(Error::io("sync", &self.path))?;
        self.note_durable(committed);
        Ok(())
    }

    pub(crate) fn note_durable(&self, end: u64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.durable = state.durable.max(end);
    }

    /// Adds the entries of one id prefix to `out`.
    pub(crate) fn find(&self, prefix: u64, out: &mut Vec<IndexEntry>) {
        let first = out.len();
        self.find_all(prefix, out);
        if out.len() > first {
            let suspects = lock(&self.suspects);
            let mut number = 0;
            out.retain(|entry| {
                number += 1;
                number <= first || !suspects.contains_key(&(entry.place, entry.slot))
            });
        }
    }

    /// The entries of one id prefix that turned out to be damaged, and why.
    pub(crate) fn find_suspects(&self, prefix: u64) -> Vec<(IndexEntry, &'static str)> {
        // Those that were quarantined since are among them.
        let suspects = lock(&self.suspects);
        let all = suspects.values().copied();
        all.filter(|(entry, _)| entry.prefix == prefix).collect()
    }

    fn find_all(&self, prefix: u64, out: &mut Vec<IndexEntry>) {
        let state = self.state();
        let visible = |entry: &IndexEntry| !state.forgotten.contains(&(entry.place, entry.slot));
        out.extend(
            state
                .index
                .iter()
                .flat_map(|index| index.find(prefix))
                .filter(visible),
        );
        let first = state.tail.partition_point(|entry| entry.prefix < prefix);
        let above = state.tail.iter().skip(first);
        let same = above.take_while(|entry| entry.prefix == prefix);
        out.extend(same.copied().filter(visible));
    }

    /// Every visible object, in the order of the segment.
    pub(crate) fn entries(&self) -> Vec<IndexEntry> {
        in_order(self.visible_entries())
    }

    /// Every visible object of one kind, in the order of the segment.
    pub(crate) fn entries_of(&self, kind: RecordKind) -> Vec<IndexEntry> {
        let state = self.state();
        let all = state.index.iter().flat_map(Index::entries);
        let all = all.chain(state.tail.iter().copied());
        let visible = all.filter(|entry| {
            let spot = (entry.place, entry.slot);
            entry.kind == kind.code() && !state.forgotten.contains(&spot)
        });
        in_order(visible.collect())
    }

    fn sorted_entries(&self) -> Vec<IndexEntry> {
        let mut entries = self.visible_entries();
        entries.sort_unstable();
        entries
    }

    fn visible_entries(&self) -> Vec<IndexEntry> {
        let state = self.state();
        let len = state.index.as_ref().map_or(0, Index::len) + state.tail.len();
        let mut entries = Vec::with_capacity(len);
        entries.extend(state.index.iter().flat_map(Index::entries));
        entries.extend(state.tail.iter().copied());
        if !state.forgotten.is_empty() {
            entries.retain(|entry| !state.forgotten.contains(&(entry.place, entry.slot)));
        }
        entries
    }

    /// Says whether an entry found by prefix is really about `id`; answers the object's length.
    pub(crate) fn confirm(&self, entry: &IndexEntry, id: &Id) -> Result<Option<u32>> {
        let line = self.line(entry)?;
        Ok(line
            .filter(|line| line.id == *id && line.tag == entry.tag)
            .map(|line| line.len))
    }

    /// The id that an entry leads to, read from a table that may be damaged.
    pub(crate) fn raw_line(&self, entry: &IndexEntry) -> Result<Option<Id>> {
        let line = self.line(entry)?;
        Ok(line
            .map(|line| line.id)
            .filter(|id| id.prefix() == entry.prefix))
    }

    fn line(&self, entry: &IndexEntry) -> Result<Option<TableEntry>> {
        let mut line = [0; ENTRY_LEN];
        let at = entry.offset() + (HEADER_LEN + usize::from(entry.slot) * ENTRY_LEN) as u64;
        match self.file.read_exact_at(&mut line, at) {
            Ok(()) => Ok(Some(decode_entry(&line))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(Error::io("read", &self.path)(error)),
        }
    }

    /// Says whether the stored bytes of a record are as they were written (checked once).
    pub(crate) fn trusts(&self, place: u32) -> Result<bool> {
        if lock(&self.trusted).contains(&place) {
            return Ok(true);
        }
        let offset = u64::from(place) * 8;
        let sound = with_stored(&self.file, offset, |_, body| body.is_some());
        let sound = sound.map_err(Error::io("read", &self.path))? == Some(true);
        if sound {
            lock(&self.trusted).insert(place);
        }
        Ok(sound)
    }

    /// Reads and decodes a record.
    pub(crate) fn load(&self, place: u32) -> Result<Frame, LoadError> {
        self.with_body(place, decoded)?
    }

    /// Reads the header and table of a record; `None` when they do not check.
    pub(crate) fn outline(&self, place: u32) -> Result<Option<Found>> {
        let found = read_header(&self.file, u64::from(place) * 8, u64::MAX);
        found.map_err(Error::io("read", &self.path))
    }

    /// Reads a record and answers what `then` makes of its body as it is stored.
    pub(crate) fn with_body<T>(
        &self,
        place: u32,
        then: impl FnOnce(Found, &[u8]) -> T,
    ) -> Result<T, LoadError> {
        let read = with_stored(&self.file, u64::from(place) * 8, |found, body| {
            body.map(|body| then(found, body))
        });
        read.map_err(|error| LoadError::Failed(Error::io("read", &self.path)(error)))?
            .ok_or(LoadError::Damaged("its record header does not check"))?
            .ok_or(LoadError::Damaged(
                "its stored bytes do not match their checksum",
            ))
    }

    /// Looks for damaged headers in the whole file, whatever the index says.
    pub(crate) fn replay_all(&self) -> Result<Replay> {
        let len = self.look()?.0;
        replay(&self.file, &self.id, SEGMENT_HEADER_LEN.min(len), len)
            .map_err(Error::io("read", &self.path))
    }

    /// Passes an object over from now on; answers whether that is news.
    pub(crate) fn suspect(&self, entry: &IndexEntry, reason: &'static str) -> bool {
        lock(&self.trusted).remove(&entry.place);
        let spot = (entry.place, entry.slot);
        let before = lock(&self.suspects).insert(spot, (*entry, reason));
        before.is_none()
    }

    /// Writes the index file if the tail is long, unless a writer holds the segment.
    fn index_if_unclaimed(&self) {
        if !self.wants_index() {
            return;
        }
        if flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Derived data on a store that may be read-only to us: without it reads just cost more.
            if let Err(error) = self.make_durable().and_then(|()| self.write_index()) {
                tracing::debug!(%error, "no index written");
            }
            flock(&self.file, FlockOperation::Unlock).ok();
        }
    }

    pub(crate) fn wants_index(&self) -> bool {
        let state = self.state();
        let indexed = state.index.as_ref().map_or(0, Index::len);
        state.tail_records > INDEX_AFTER_RECORDS + indexed / RECORDS_SHARE
            || state.tail.len() > INDEX_AFTER_OBJECTS + indexed / OBJECTS_SHARE
    }

    /// Writes the index of everything committed; the caller holds the segment's lock.
    pub(crate) fn write_index(&self) -> Result<()> {
        let entries = self.sorted_entries();
        let (committed, damaged) = {
            let state = self.state();
            (state.committed, state.damaged)
        };
        let encoded = index::encode(&self.id, committed, damaged, &entries);
        index::write(&self.index_path(), &encoded)?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.committed == committed {
            state.index = Index::from_encoded(encoded, &self.id);
            state.tail.clear();
            state.tail_records = 0;
        }
        Ok(())
    }
}

fn in_order(mut entries: Vec<IndexEntry>) -> Vec<IndexEntry> {
    entries.sort_unstable_by_key(|entry| u64::from(entry.place) << 16 | u64::from(entry.slot));
    entries
}

/// Decodes a record that was read.
pub(crate) fn decoded(found: Found, body: &[u8]) -> Result<Frame, LoadError> {
    let Found { header, table } = found;
    decompress(header.codec, body, header.raw as usize)
        .and_then(|body| Frame::new(header.kind, table, body))
        .ok_or(LoadError::Damaged("its stored bytes cannot be decoded"))
}

/// Locks plain data that no panic can leave half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
