//! The records of a segment, byte by byte. All numbers are little-endian.
//!
//! ```text
//! segment   header of 32 bytes: "hdsegm01", id (16), zero (4), CRC32C of the 28 bytes before
//!           then records, each starting at a multiple of 8
//! record     0  magic "hdR1"
//!            4  kind (u8)        5  codec (u8)         6  table entries (u16)
//!            8  stored bytes of the body (u32)        12  decoded bytes of the body (u32)
//!           16  offset of this record / 8 (u32)       20  CRC32C of the stored body (u32)
//!           24  zero (u32)                            28  CRC32C of bytes 0..28 and the table
//!           32  table: per object its id (32) and tag << 24 | length (u32)
//!            …  stored body, then zeros up to a multiple of 8
//! ```
//! The objects of a body lie in it one after the other in the order of the table.

use crate::Id;
use crate::codec::Codec;

pub(crate) const SEGMENT_HEADER_LEN: u64 = 32;
pub(crate) const HEADER_LEN: usize = 32;
pub(crate) const ENTRY_LEN: usize = 36;
/// The largest object a table entry can describe, in bytes.
pub(crate) const OBJECT_LIMIT: usize = (1 << 24) - 1;
/// The largest number of objects in a record.
pub(crate) const TABLE_LIMIT: usize = 4096;

const MAGIC: [u8; 4] = *b"hdR1";
const SEGMENT_MAGIC: [u8; 8] = *b"hdsegm01";

/// Says what the objects of a record are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RecordKind {
    /// Whole small blobs (tag 0) or one piece of a large blob (tag 1); the id is plain BLAKE3.
    Chunks,
    /// One chunk list: of a blob (tag 0, its id is the blob's) or a part of one (tag 1).
    List,
    /// Typed nodes; the tag is the code of the node kind.
    Nodes,
    /// One history entry; the id is its key, the body a time (u64) and the payload.
    History,
    /// Makes everything before it in the segment count; no objects.
    Commit,
    /// Takes objects of this segment back that a collection found dead; no objects.
    Forget,
}

impl RecordKind {
    pub(crate) const fn code(self) -> u8 {
        match self {
            RecordKind::Chunks => 1,
            RecordKind::List => 2,
            RecordKind::Nodes => 3,
            RecordKind::History => 4,
            RecordKind::Commit => 5,
            RecordKind::Forget => 6,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<RecordKind> {
        Some(match code {
            1 => RecordKind::Chunks,
            2 => RecordKind::List,
            3 => RecordKind::Nodes,
            4 => RecordKind::History,
            5 => RecordKind::Commit,
            6 => RecordKind::Forget,
            _ => return None,
        })
    }
}

/// Tags of [`RecordKind::Chunks`] and [`RecordKind::List`].
pub(crate) const TAG_WHOLE: u8 = 0;
pub(crate) const TAG_PART: u8 = 1;

/// One line of a record's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableEntry {
    pub(crate) id: Id,
    pub(crate) tag: u8,
    pub(crate) len: u32,
}

/// The decoded header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: RecordKind,
    pub(crate) codec: Codec,
    pub(crate) count: u16,
    pub(crate) stored: u32,
    pub(crate) raw: u32,
    pub(crate) body_crc: u32,
    pub(crate) header_crc: u32,
}

impl Header {
    pub(crate) fn table_len(&self) -> usize {
        usize::from(self.count) * ENTRY_LEN
    }

    /// Where the body starts, counted from the start of the record.
    pub(crate) fn body_start(&self) -> usize {
        HEADER_LEN + self.table_len()
    }

    /// The whole record with its padding, in bytes.
    pub(crate) fn record_len(&self) -> u64 {
        (self.body_start() as u64 + u64::from(self.stored)).next_multiple_of(8)
    }

    /// Decodes the fixed part at `offset`; the CRC is checked by [`Header::table`].
    pub(crate) fn decode(bytes: &[u8], offset: u64) -> Option<Header> {
        let bytes: &[u8; HEADER_LEN] = bytes.get(..HEADER_LEN)?.try_into().ok()?;
        let position = u64::from(u32_at(bytes, 16)) * 8;
        if bytes[..4] != MAGIC || position != offset || u32_at(bytes, 24) != 0 {
            return None;
        }
        Some(Header {
            kind: RecordKind::from_code(bytes[4])?,
            codec: Codec::from_code(bytes[5])?,
            count: u16::from_le_bytes([bytes[6], bytes[7]]),
            stored: u32_at(bytes, 8),
            raw: u32_at(bytes, 12),
            body_crc: u32_at(bytes, 20),
            header_crc: u32_at(bytes, 28),
        })
    }

    /// Decodes the table of a record that starts with `bytes`, if header and table check.
    pub(crate) fn table(&self, bytes: &[u8]) -> Option<Vec<TableEntry>> {
        let table = bytes.get(HEADER_LEN..self.body_start())?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(bytes.get(..28)?), table);
        if crc != self.header_crc {
            return None;
        }
        let entries: Vec<TableEntry> = table.chunks_exact(ENTRY_LEN).map(decode_entry).collect();
        let total: u64 = entries.iter().map(|entry| u64::from(entry.len)).sum();
        (entries.is_empty() || total == u64::from(self.raw)).then_some(entries)
    }
}

pub(crate) fn decode_entry(bytes: &[u8]) -> TableEntry {
    let mut id = [0; 32];
    id.copy_from_slice(&bytes[..32]);
    let tagged = u32_at(bytes, 32);
    TableEntry {
        id: Id::from_bytes(id),
        tag: (tagged >> 24) as u8,
        len: tagged & 0x00ff_ffff,
    }
}

/// Reads a number at a place that the caller knows to exist.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// Reads a number at a place that the caller knows to exist.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// A record without a place: encoded as soon as its offset is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: RecordKind,
    pub(crate) codec: Codec,
    pub(crate) table: Vec<TableEntry>,
    pub(crate) raw: u32,
    pub(crate) body: Vec<u8>,
}

impl Record {
    pub(crate) fn encoded_len(&self) -> u64 {
        let len = HEADER_LEN + self.table.len() * ENTRY_LEN + self.body.len();
        (len as u64).next_multiple_of(8)
    }

    /// Appends the record to `out` as it looks at `offset` of a segment; answers its header CRC.
    pub(crate) fn encode_into(&self, offset: u64, out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[self.kind.code(), self.codec.code()]);
        out.extend_from_slice(&(self.table.len() as u16).to_le_bytes());
        out.extend_from_slice(&(self.body.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.raw.to_le_bytes());
        out.extend_from_slice(&((offset / 8) as u32).to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&self.body).to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        for entry in &self.table {
            out.extend_from_slice(entry.id.as_bytes());
            out.extend_from_slice(&(u32::from(entry.tag) << 24 | entry.len).to_le_bytes());
        }
        let head = crc32c::crc32c(&out[start..start + 28]);
        let crc = crc32c::crc32c_append(head, &out[start + HEADER_LEN..]);
        out[start + 28..start + 32].copy_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&self.body);
        out.resize(start + self.encoded_len() as usize, 0);
        crc
    }
}

/// The first bytes of a segment file.
pub(crate) fn segment_header(id: &[u8; 16]) -> Vec<u8> {
    let mut header = Vec::with_capacity(SEGMENT_HEADER_LEN as usize);
    header.extend_from_slice(&SEGMENT_MAGIC);
    header.extend_from_slice(id);
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    header
}
