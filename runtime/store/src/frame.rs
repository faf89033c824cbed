//! Frames: several objects coded as one body, and the decoded form they are read from.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::codec::{Codec, Effort, compress};
use crate::record::{Record, RecordKind, TABLE_LIMIT, TAG_PART, TableEntry};
use crate::{Id, NodeKind};

/// The size a solid frame is filled up to, in bytes before compression.
pub(crate) const FRAME_SIZE: usize = 64 * 1024;
/// The same for pieces of large blobs, which are seldom read alone: programs take 2 % fewer bytes than in
/// frames of 128 KiB, in less time.
const PIECES_SIZE: usize = 192 * 1024;
/// A piece shorter than this has a frame of its own, lest a read of it decodes many times what it asks
/// for. About one piece in ten is that short, 3 % of the bytes of large blobs.
const ALONE: usize = 20 * 1024;

/// Collects objects of one kind in arrival order until a frame is full.
#[derive(Debug)]
pub(crate) struct FrameBuilder {
    kind: RecordKind,
    size: usize,
    table: Vec<TableEntry>,
    body: Vec<u8>,
}

impl FrameBuilder {
    pub(crate) fn new(kind: RecordKind) -> FrameBuilder {
        FrameBuilder {
            kind,
            size: FRAME_SIZE,
            table: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Collects pieces of large blobs.
    pub(crate) fn for_pieces() -> FrameBuilder {
        FrameBuilder {
            size: PIECES_SIZE,
            ..FrameBuilder::new(RecordKind::Chunks)
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Says whether a frame taken now compresses nearly as well as a full one.
    pub(crate) fn is_half_full(&self) -> bool {
        self.body.len() >= self.size / 2
    }

    /// Says whether an object fits without making the frame too large.
    pub(crate) fn fits(&self, len: usize) -> bool {
        self.is_empty() || (self.body.len() + len <= self.size && self.table.len() < TABLE_LIMIT)
    }

    pub(crate) fn push(&mut self, id: Id, tag: u8, bytes: &[u8]) {
        self.table.push(TableEntry {
            id,
            tag,
            len: bytes.len() as u32,
        });
        self.body.extend_from_slice(bytes);
    }

    /// Adds a piece of a large blob; answers a frame that is full, or the piece's own.
    pub(crate) fn push_piece(&mut self, id: Id, bytes: &[u8]) -> Option<Record> {
        if bytes.len() < ALONE {
            let mut own = FrameBuilder::for_pieces();
            own.push(id, TAG_PART, bytes);
            return own.take();
        }
        let full = if self.fits(bytes.len()) {
            None
        } else {
            self.take()
        };
        self.push(id, TAG_PART, bytes);
        full
    }

    /// Finds an object that was pushed and not taken yet.
    pub(crate) fn get(&self, id: &Id, tag: u8) -> Option<&[u8]> {
        let mut start = 0;
        for line in &self.table {
            let end = start + line.len as usize;
            if line.id == *id && line.tag == tag {
                return self.body.get(start..end);
            }
            start = end;
        }
        None
    }

    /// Finishes the frame and starts a new one.
    pub(crate) fn take(&mut self) -> Option<Record> {
        if self.is_empty() {
            return None;
        }
        let table = std::mem::take(&mut self.table);
        let record = record_of(self.kind, table, &self.body);
        self.body.clear();
        Some(record)
    }
}

/// Makes a record of objects that lie one after the other in `body`.
pub(crate) fn record_of(kind: RecordKind, table: Vec<TableEntry>, body: &[u8]) -> Record {
    let raw = body.len() as u32;
    let is_pieces = kind == RecordKind::Chunks && table.iter().any(|line| line.tag == TAG_PART);
    let is_alone = table.len() == 1 && body.len() < ALONE;
    let packed = match kind {
        // A list is made of hashes, which never shrink.
        RecordKind::List => None,
        _ if is_pieces && is_alone => compress(body, Effort::Alone),
        _ if is_pieces => compress(body, Effort::Piece),
        _ => compress(body, Effort::Small),
    };
    match packed {
        Some(packed) => Record {
            kind,
            codec: Codec::Zstd,
            table,
            raw,
            body: packed,
        },
        None => Record {
            kind,
            codec: Codec::Raw,
            table,
            raw,
            body: body.to_vec(),
        },
    }
}

/// A decoded record; each object in it is hashed once before its first byte is served.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: RecordKind,
    table: Vec<TableEntry>,
    starts: Vec<u32>,
    body: Vec<u8>,
    verified: Vec<AtomicBool>,
}

impl Frame {
    /// Puts a table and its decoded body together; `None` when the lengths disagree.
    pub(crate) fn new(kind: RecordKind, table: Vec<TableEntry>, body: Vec<u8>) -> Option<Frame> {
        let mut starts = Vec::with_capacity(table.len());
        let mut at = 0_usize;
        for line in &table {
            starts.push(at as u32);
            at += line.len as usize;
        }
        let verified = table.iter().map(|_| AtomicBool::new(false)).collect();
        (at == body.len()).then_some(Frame {
            kind,
            table,
            starts,
            body,
            verified,
        })
    }

    /// Memory this frame takes, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.body.len() + self.table.len() * 48 + 128
    }

    pub(crate) fn line(&self, slot: u16) -> Option<&TableEntry> {
        self.table.get(usize::from(slot))
    }

    /// The bytes of an object, if they are what its id says.
    pub(crate) fn verified(&self, slot: u16) -> Option<&[u8]> {
        let slot = usize::from(slot);
        let line = self.table.get(slot)?;
        let start = self.starts[slot] as usize;
        let bytes = self.body.get(start..start + line.len as usize)?;
        let known = &self.verified[slot];
        if !known.load(Ordering::Acquire) {
            if !is_object(self.kind, line, bytes) {
                return None;
            }
            known.store(true, Ordering::Release);
        }
        Some(bytes)
    }
}

/// Says whether bytes are the object that a table line names.
fn is_object(kind: RecordKind, line: &TableEntry, bytes: &[u8]) -> bool {
    match kind {
        RecordKind::Chunks => Id::of(bytes) == line.id,
        RecordKind::Nodes => {
            NodeKind::from_code(line.tag).is_some_and(|kind| kind.id_of(bytes) == line.id)
        }
        RecordKind::List => crate::list::is_sound(&line.id, line.tag, bytes),
        // The id is a key, not a name of the bytes: the checksum of the body has to do.
        RecordKind::History => true,
        RecordKind::Commit | RecordKind::Forget => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_frame_takes_no_more() {
        let mut builder = FrameBuilder::new(RecordKind::Chunks);
        assert!(builder.fits(1 << 20), "an empty frame takes anything");
        builder.push(Id::of(b"a"), 0, b"a");
        assert!(builder.fits(FRAME_SIZE - 1) && !builder.fits(FRAME_SIZE));
        assert_eq!(builder.get(&Id::of(b"a"), 0), Some(&b"a"[..]));
        assert_eq!(builder.get(&Id::of(b"a"), 1), None);
        let record = builder.take().unwrap();
        assert_eq!((record.table.len(), record.body), (1, b"a".to_vec()));
        assert!(builder.take().is_none());
    }

    #[test]
    fn pieces_share_frames_unless_they_are_short() {
        let mut builder = FrameBuilder::for_pieces();
        let long = vec![7; 50 << 10];
        let lens = |record: Option<Record>| {
            let table = record.map(|record| record.table).unwrap_or_default();
            table
                .iter()
                .map(|line| (line.tag, line.len as usize))
                .collect::<Vec<_>>()
        };
        assert_eq!(lens(builder.push_piece(Id::of(b"1"), &long)), []);
        let short = builder.push_piece(Id::of(b"2"), &long[..ALONE - 1]);
        assert_eq!(lens(short), [(TAG_PART, ALONE - 1)]);
        assert_eq!(lens(builder.push_piece(Id::of(b"3"), &long)), []);
        assert_eq!(lens(builder.push_piece(Id::of(b"4"), &long)), []);
        let full = builder.push_piece(Id::of(b"5"), &long);
        assert_eq!(lens(full), [(TAG_PART, long.len()); 3]);
        assert_eq!(lens(builder.take()), [(TAG_PART, long.len())]);
    }

    #[test]
    fn wrong_bytes_are_not_served() {
        let line = |id, tag, len| TableEntry { id, tag, len };
        let table = vec![line(Id::of(b"one"), 0, 3), line(Id::of(b"two"), 0, 3)];
        let frame = Frame::new(RecordKind::Chunks, table.clone(), b"onetwX".to_vec()).unwrap();
        assert_eq!(frame.verified(0), Some(&b"one"[..]));
        assert_eq!(frame.verified(1), None);
        assert_eq!(frame.verified(2), None);
        assert!(Frame::new(RecordKind::Chunks, table, b"short".to_vec()).is_none());
        let node = vec![line(NodeKind::Tree.id_of(b"t"), NodeKind::Times.code(), 1)];
        let frame = Frame::new(RecordKind::Nodes, node, b"t".to_vec()).unwrap();
        assert_eq!(frame.verified(0), None, "a node of another kind");
    }
}
