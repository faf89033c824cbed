//! Puts blobs, nodes and history into the store.

use std::collections::HashMap;
use std::io::{self, Read};

use crate::appender::{Appender, Place, now_unix_ms};
use crate::assemble::{Assembler, NamedList};
use crate::frame::{FRAME_SIZE, FrameBuilder, record_of};
use crate::hold::Hold;
use crate::idhash::IdBuildHasher;
use crate::record::{OBJECT_LIMIT, Record, RecordKind, TAG_PART, TAG_WHOLE, TableEntry};
use crate::segment::LoadError;
use crate::shelf::Want;
use crate::store::empty_blob;
use crate::{Error, Id, Link, NodeKind, Result, Store};

/// Blobs up to this many bytes are one chunk in a solid frame.
pub(crate) const SMALL: usize = FRAME_SIZE;
/// Bytes of a large blob held at once.
const WINDOW: usize = 1 << 20;

/// Writes to a store; what it wrote counts, durably and for everyone, after [`Writer::commit`].
///
/// While it lives nothing it found or wrote is collected, so keep it until the references to what
/// it wrote are put, and no longer. Dropping it without a commit takes back everything since the
/// last one.
#[derive(Debug)]
pub struct Writer {
    pub(crate) store: Store,
    _hold: Hold,
    /// The epoch it began in, if that could be read.
    epoch: Option<u64>,
    pub(crate) out: Appender,
    blobs: FrameBuilder,
    pieces: FrameBuilder,
    nodes: FrameBuilder,
    /// What this writer has put since its last commit.
    pub(crate) pending: Pending,
    newest_history: HashMap<Id, u64, IdBuildHasher>,
    failed: bool,
}

pub(crate) type Pending = HashMap<Id, Spot, IdBuildHasher>;

/// Where an object is that is not committed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spot {
    /// In a frame that is being filled.
    Filling,
    /// In a record of a segment.
    Written { place: Place, slot: u16 },
}

impl Writer {
    pub(crate) fn new(store: Store, hold: Hold) -> Writer {
        Writer {
            epoch: store.epoch().ok(),
            store,
            _hold: hold,
            out: Appender::new(),
            blobs: FrameBuilder::new(RecordKind::Chunks),
            pieces: FrameBuilder::for_pieces(),
            nodes: FrameBuilder::new(RecordKind::Nodes),
            pending: Pending::default(),
            newest_history: HashMap::default(),
            failed: false,
        }
    }

    /// Says that everything these roots lead to was put or found through this writer, and is committed:
    /// then [`Store::is_whole`] need not look for it.
    pub fn vouch(&self, roots: &[Link]) {
        if let Some(epoch) = self.epoch
            && self.store.epoch().is_ok_and(|now| now == epoch)
        {
            self.store.note_whole(epoch, roots);
        }
    }

    /// Stores a blob unless a sound copy of it is stored already; answers its id.
    ///
    /// # Errors
    /// I/O errors; after one the writer takes nothing more.
    pub fn put_blob(&mut self, bytes: &[u8]) -> Result<Id> {
        if bytes.len() > SMALL {
            return self
                .guarded(|writer| writer.large_blob(bytes, &mut io::empty()))
                .map(|(id, _)| id);
        }
        self.guarded(|writer| writer.small_blob(bytes))
    }

    /// Stores a blob from a stream in bounded memory; answers its id and its length in bytes.
    ///
    /// # Errors
    /// [`Error::Source`] when the stream fails (the writer stays usable) and I/O errors.
    pub fn put_blob_from(&mut self, source: &mut dyn Read) -> Result<(Id, u64)> {
        self.guarded(|writer| {
            let mut head = Vec::new();
            fill(source, &mut head, SMALL + 1)?;
            match head.len() {
                len if len <= SMALL => Ok((writer.small_blob(&head)?, len as u64)),
                _ => writer.large_blob(&head, source),
            }
        })
    }

    /// Stores a node unless a sound copy of it is stored already; answers its id.
    ///
    /// Put what it links to first: a node is never durable before what was put before it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] from 16 MiB on, and I/O errors.
    pub fn put_node(&mut self, kind: NodeKind, bytes: &[u8]) -> Result<Id> {
        check_size(bytes.len())?;
        self.guarded(|writer| {
            let id = kind.id_of(bytes);
            if writer.knows(&id, Want::Node(kind))? {
                return Ok(id);
            }
            if !writer.nodes.fits(bytes.len()) {
                writer.flush_nodes()?;
            }
            writer.nodes.push(id, kind.code(), bytes);
            writer.pending.insert(id, Spot::Filling);
            Ok(id)
        })
    }

    /// Appends an entry to the history of a key, stamped with the time of the call.
    ///
    /// # Errors
    /// [`Error::TooLarge`] from 16 MiB on, and I/O errors.
    pub fn append_history(&mut self, key: &Id, payload: &[u8]) -> Result<()> {
        check_size(payload.len() + 8)?;
        self.guarded(|writer| {
            let before = match writer.newest_history.get(key) {
                Some(at) => Some(*at),
                None => writer
                    .store
                    .history(key)?
                    .first()
                    .map(|entry| entry.at_unix_ms),
            };
            // The order must hold even when the clock was set back.
            let at = now_unix_ms().max(before.map_or(0, |at| at.saturating_add(1)));
            writer.flush_nodes()?;
            writer
                .out
                .append(&writer.store.inner.shelf, &history_record(key, at, payload))?;
            writer.newest_history.insert(*key, at);
            Ok(())
        })
    }

    /// Says whether a blob or node is stored, or was put by this writer. What others commit while
    /// this writer lives may not be seen.
    ///
    /// # Errors
    /// I/O errors.
    pub fn contains(&self, id: &Id) -> Result<bool> {
        let shelf = &self.store.inner.shelf;
        let known = self.pending.contains_key(id) || *id == empty_blob();
        Ok(known || shelf.has_usable(id, Want::Anything)?)
    }

    /// Reads a node that is stored, or that this writer put without committing it yet.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Damaged`] and I/O errors.
    pub fn read_node(&mut self, kind: NodeKind, id: &Id) -> Result<Vec<u8>> {
        match self.pending.get(id).copied() {
            None => self.store.read_node(kind, id),
            Some(Spot::Filling) => match self.nodes.get(id, kind.code()) {
                Some(bytes) => Ok(bytes.to_vec()),
                None => Err(Error::NotFound { id: *id }),
            },
            Some(Spot::Written { place, slot }) => self.read_written(kind, id, place, slot),
        }
    }

    fn read_written(
        &mut self,
        kind: NodeKind,
        id: &Id,
        place: Place,
        slot: u16,
    ) -> Result<Vec<u8>> {
        let missing = Error::NotFound { id: *id };
        let Some(segment) = self.out.segment_of(place)? else {
            return Err(missing);
        };
        let damaged = |reason| Error::Damaged {
            id: *id,
            segment: segment.name(),
            offset: u64::from(place.place) * 8,
            reason,
        };
        let frame = match segment.load(place.place) {
            Ok(frame) => frame,
            Err(LoadError::Failed(error)) => return Err(error),
            Err(LoadError::Damaged(reason)) => return Err(damaged(reason)),
        };
        match frame.line(slot) {
            Some(line) if line.id == *id && line.tag == kind.code() => {}
            _ => return Err(missing),
        }
        let bytes = frame.verified(slot).map(<[u8]>::to_vec);
        bytes.ok_or_else(|| damaged("its bytes do not match its id"))
    }

    /// Says whether anything was written since the last commit: not what was stored already.
    pub fn has_new(&self) -> bool {
        let frames = [&self.blobs, &self.pieces, &self.nodes];
        self.out.has_new() || frames.iter().any(|frame| !frame.is_empty())
    }

    /// Makes everything put so far durable, then visible to every process.
    ///
    /// # Errors
    /// I/O errors; a failed sync is never retried: what was put since the last commit is void.
    pub fn commit(&mut self) -> Result<()> {
        self.guarded(|writer| {
            writer.flush_nodes()?;
            // What others committed a moment ago, and this writer did not write again, comes first.
            let synced_next = writer.out.synced_by_commit();
            writer.store.inner.shelf.make_durable_but(synced_next)?;
            writer.out.commit()?;
            writer.pending.clear();
            Ok(())
        })
    }

    /// Runs one operation; an error other than the caller's own makes the writer unusable.
    pub(crate) fn guarded<T>(&mut self, run: impl FnOnce(&mut Writer) -> Result<T>) -> Result<T> {
        if self.failed {
            return Err(Error::WriterFailed);
        }
        let done = run(self);
        self.failed = matches!(&done, Err(error) if !matches!(error, Error::Source { .. }));
        done
    }

    /// Says whether an object need not be written: it is pending here, or a sound copy is stored.
    pub(crate) fn knows(&self, id: &Id, want: Want) -> Result<bool> {
        Ok(self.pending.contains_key(id) || self.store.inner.shelf.has_sound(id, want)?)
    }

    fn small_blob(&mut self, bytes: &[u8]) -> Result<Id> {
        let id = Id::of(bytes);
        if id == empty_blob() || self.knows(&id, Want::Chunk)? {
            return Ok(id);
        }
        if !self.blobs.fits(bytes.len()) {
            self.flush_blobs()?;
        }
        self.blobs.push(id, TAG_WHOLE, bytes);
        self.pending.insert(id, Spot::Filling);
        Ok(id)
    }

    fn large_blob(&mut self, head: &[u8], source: &mut dyn Read) -> Result<(Id, u64)> {
        let mut blob = Assembler::default();
        let mut hasher = blake3::Hasher::new();
        let mut window = head.to_vec();
        loop {
            let last = fill(source, &mut window, WINDOW.max(head.len()))?;
            let mut used = 0;
            for chunk in self.store.inner.format.cut.cut(&window, last) {
                used = chunk.end;
                let bytes = &window[chunk];
                hasher.update(bytes);
                let id = self.chunk(bytes)?;
                for part in blob.chunk(id, bytes.len()) {
                    self.list(part, TAG_PART)?;
                }
            }
            window.drain(..used);
            if last {
                break;
            }
        }
        let id = Id::from_bytes(*hasher.finalize().as_bytes());
        let done = blob.finish(id);
        for part in done.parts {
            self.list(part, TAG_PART)?;
        }
        if let Some(whole) = done.whole {
            self.list(whole, TAG_WHOLE)?;
        }
        Ok((id, done.size))
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<Id> {
        let id = Id::of(bytes);
        if !self.knows(&id, Want::Chunk)? {
            self.pending.insert(id, Spot::Filling);
            if let Some(record) = self.pieces.push_piece(id, bytes) {
                self.append(&record)?;
            }
        }
        Ok(id)
    }

    fn list(&mut self, list: NamedList, tag: u8) -> Result<()> {
        let want = if tag == TAG_PART {
            Want::ListPart
        } else {
            Want::Blob
        };
        if self.knows(&list.id, want)? {
            return Ok(());
        }
        // Small blobs may be chunks of this one.
        self.flush_blobs()?;
        self.append(&list_record(&list, tag)).map(|_| ())
    }

    pub(crate) fn flush_blobs(&mut self) -> Result<()> {
        if let Some(record) = self.blobs.take() {
            self.append(&record)?;
        }
        self.flush_pieces()
    }

    fn flush_pieces(&mut self) -> Result<()> {
        match self.pieces.take() {
            Some(record) => self.append(&record),
            None => Ok(()),
        }
    }

    fn flush_nodes(&mut self) -> Result<()> {
        // Nodes refer to blobs, never the other way round.
        self.flush_blobs()?;
        match self.nodes.take() {
            Some(record) => self.append(&record),
            None => Ok(()),
        }
    }

    /// Appends a record and remembers where its objects are.
    pub(crate) fn append(&mut self, record: &Record) -> Result<()> {
        let place = self.out.append(&self.store.inner.shelf, record)?;
        for (slot, line) in record.table.iter().enumerate() {
            self.pending.insert(
                line.id,
                Spot::Written {
                    place,
                    slot: slot as u16,
                },
            );
        }
        Ok(())
    }
}

fn check_size(len: usize) -> Result<()> {
    match len {
        len if len > OBJECT_LIMIT => Err(Error::TooLarge {
            len,
            limit: OBJECT_LIMIT,
        }),
        _ => Ok(()),
    }
}

/// Makes the record of one chunk list.
pub(crate) fn list_record(list: &NamedList, tag: u8) -> Record {
    let line = TableEntry {
        id: list.id,
        tag,
        len: list.bytes.len() as u32,
    };
    record_of(RecordKind::List, vec![line], &list.bytes)
}

/// Makes the record of one history entry.
pub(crate) fn history_record(key: &Id, at_unix_ms: u64, payload: &[u8]) -> Record {
    let mut body = at_unix_ms.to_le_bytes().to_vec();
    body.extend_from_slice(payload);
    let line = TableEntry {
        id: *key,
        tag: 0,
        len: body.len() as u32,
    };
    record_of(RecordKind::History, vec![line], &body)
}

/// Reads until the buffer holds `len` bytes; answers whether the source ended.
pub(crate) fn fill(source: &mut dyn Read, buffer: &mut Vec<u8>, len: usize) -> Result<bool> {
    let missing = len.saturating_sub(buffer.len()) as u64;
    let got = source.take(missing).read_to_end(buffer);
    got.map(|got| (got as u64) < missing)
        .map_err(|source| Error::Source { source })
}
