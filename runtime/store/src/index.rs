//! The `.idx` file: a sorted index of a prefix of one segment. Derived and checksummed.
//!
//! ```text
//!  0  "hdindx01"             8  segment id (16)        24  covered bytes of the segment (u64)
//! 32  entries (u64)         40  fan-out bits (u32)     44  CRC32C of everything from 64 on
//! 48  1 if the covered part has damaged records (u32)  52  zero (8)   60  CRC32C of 0..60
//! 64  fan-out: 2^bits + 1 numbers (u32): the first entry of each group of leading bits
//!  …  entries of 16 bytes: first 8 bytes of the id (as a number), record offset / 8 (u32),
//!     line in its table (u16), record kind (u8), tag (u8)
//! ```
//! Whole ids are not repeated here: a hit is compared with the table of the record itself.
//!
//! It is read whole, not mapped: all of it is checked at the opening anyway, and a disk that fails under a
//! map ends the process (SIGBUS) where a read gives an error.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::control::SegmentId;
use crate::durable::{Durability, replace};
use crate::record::{u32_at, u64_at};
use crate::{Error, Result};

const MAGIC: [u8; 8] = *b"hdindx01";
const HEADER_LEN: usize = 64;
const ENTRY_LEN: usize = 16;

/// Points to one object of a segment. Sorts by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IndexEntry {
    /// First eight bytes of the id.
    pub(crate) prefix: u64,
    /// Offset of the record / 8.
    pub(crate) place: u32,
    /// Line in the table of the record.
    pub(crate) slot: u16,
    /// Code of the record kind.
    pub(crate) kind: u8,
    /// Tag of the object.
    pub(crate) tag: u8,
}

impl IndexEntry {
    pub(crate) fn offset(&self) -> u64 {
        u64::from(self.place) * 8
    }

    fn encode_into(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix.to_le_bytes());
        out.extend_from_slice(&self.place.to_le_bytes());
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.extend_from_slice(&[self.kind, self.tag]);
    }

    fn decode(bytes: &[u8]) -> IndexEntry {
        IndexEntry {
            prefix: u64_at(bytes, 0),
            place: u32_at(bytes, 8),
            slot: u16::from_le_bytes([bytes[12], bytes[13]]),
            kind: bytes[14],
            tag: bytes[15],
        }
    }
}

/// Encodes the index of the first `covered` bytes of a segment; `entries` must be sorted.
pub(crate) fn encode(
    segment: &SegmentId,
    covered: u64,
    damaged: bool,
    entries: &[IndexEntry],
) -> Vec<u8> {
    let bits = entries
        .len()
        .checked_ilog2()
        .unwrap_or(0)
        .saturating_sub(3)
        .min(20);
    let mut tail = Vec::with_capacity(((1 << bits) + 1) * 4 + entries.len() * ENTRY_LEN);
    let mut group = 0;
    for (number, entry) in entries.iter().enumerate() {
        while group <= group_of(entry.prefix, bits) {
            tail.extend_from_slice(&(number as u32).to_le_bytes());
            group += 1;
        }
    }
    while group <= 1 << bits {
        tail.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        group += 1;
    }
    entries
        .iter()
        .for_each(|entry| entry.encode_into(&mut tail));
    let mut file = Vec::with_capacity(HEADER_LEN + tail.len());
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(segment);
    file.extend_from_slice(&covered.to_le_bytes());
    file.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    file.extend_from_slice(&bits.to_le_bytes());
    file.extend_from_slice(&crc32c::crc32c(&tail).to_le_bytes());
    file.extend_from_slice(&u32::from(damaged).to_le_bytes());
    file.extend_from_slice(&[0; 8]);
    file.extend_from_slice(&crc32c::crc32c(&file).to_le_bytes());
    file.append(&mut tail);
    file
}

/// Writes an index beside its segment. Not synced: a reader checks it, and rebuilds a bad one.
pub(crate) fn write(path: &Path, encoded: &[u8]) -> Result<()> {
    replace(path, encoded, Durability::Derived)
}

fn group_of(prefix: u64, bits: u32) -> usize {
    // A shift by 64 is no shift in Rust, so no bits at all is a case of its own.
    prefix.checked_shr(64 - bits).unwrap_or(0) as usize
}

/// A checked index, in memory: 16 bytes for each object and a little.
pub(crate) struct Index {
    bytes: Vec<u8>,
    /// Bytes of the segment that this index covers.
    pub(crate) covered: u64,
    /// True when damaged records were left out of the covered part.
    pub(crate) damaged: bool,
    count: usize,
    bits: u32,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("covered", &self.covered)
            .field("count", &self.count)
            .finish()
    }
}

impl Index {
    /// Reads the index at `path`; `None` when it is missing, does not check, or lies where the disk fails: the
    /// segment says the same, at length.
    pub(crate) fn open(
        path: &Path,
        segment: &SegmentId,
        segment_len: u64,
    ) -> Result<Option<Index>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        let mut bytes = Vec::new();
        match file.read_to_end(&mut bytes) {
            Ok(_) => Ok(Index::check(bytes, segment, segment_len)),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                Ok(None)
            }
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// Checks an index that was just encoded and keeps it.
    pub(crate) fn from_encoded(encoded: Vec<u8>, segment: &SegmentId) -> Option<Index> {
        Index::check(encoded, segment, u64::MAX)
    }

    fn check(bytes: Vec<u8>, segment: &SegmentId, segment_len: u64) -> Option<Index> {
        let header = bytes.get(..HEADER_LEN)?;
        let bits = u32_at(header, 40);
        let count = usize::try_from(u64_at(header, 32)).ok()?;
        let covered = u64_at(header, 24);
        let sound = header[..8] == MAGIC
            && header[8..24] == *segment
            && crc32c::crc32c(&header[..60]) == u32_at(header, 60)
            && bits <= 20
            && covered <= segment_len;
        if !sound {
            return None;
        }
        let groups = ((1_usize << bits) + 1) * 4;
        let len = count
            .checked_mul(ENTRY_LEN)?
            .checked_add(HEADER_LEN + groups)?;
        if bytes.len() != len || crc32c::crc32c(&bytes[HEADER_LEN..]) != u32_at(header, 44) {
            return None;
        }
        let damaged = u32_at(header, 48) != 0;
        Some(Index {
            bytes,
            covered,
            damaged,
            count,
            bits,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn raw_entries(&self) -> &[u8] {
        &self.bytes[HEADER_LEN + ((1 << self.bits) + 1) * 4..]
    }

    /// All entries, sorted.
    pub(crate) fn entries(&self) -> impl Iterator<Item = IndexEntry> + '_ {
        let (entries, _) = self.raw_entries().as_chunks::<ENTRY_LEN>();
        entries.iter().map(|entry| IndexEntry::decode(entry))
    }

    /// The entries of one id prefix.
    pub(crate) fn find(&self, prefix: u64) -> impl Iterator<Item = IndexEntry> + '_ {
        let group = HEADER_LEN + group_of(prefix, self.bits) * 4;
        let first = u32_at(&self.bytes, group) as usize;
        let end = (u32_at(&self.bytes, group + 4) as usize).min(self.count);
        let (entries, _) = self.raw_entries().as_chunks::<ENTRY_LEN>();
        let group = entries.get(first..end).unwrap_or_default();
        let below = group.partition_point(|entry| u64_at(entry, 0) < prefix);
        group[below..]
            .iter()
            .map(|entry| IndexEntry::decode(entry))
            .take_while(move |entry| entry.prefix == prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(prefix: u64, place: u32) -> IndexEntry {
        IndexEntry {
            prefix,
            place,
            slot: 7,
            kind: 1,
            tag: 2,
        }
    }

    proptest! {
        #[test]
        fn every_entry_is_found_and_no_other(mut prefixes in prop::collection::vec(any::<u64>(), 0..600), absent: u64) {
            prefixes.extend_from_within(..prefixes.len() / 10);
            prefixes.sort_unstable();
            let entries: Vec<_> =
                prefixes.iter().enumerate().map(|(n, p)| entry(*p, n as u32)).collect();
            let index = Index::from_encoded(encode(&[1; 16], 99, true, &entries), &[1; 16]).unwrap();
            prop_assert!(index.damaged && index.covered == 99);
            prop_assert!(index.entries().eq(entries.iter().copied()));
            for wanted in prefixes.iter().chain([&absent, &0, &u64::MAX]) {
                let expected: Vec<_> = entries.iter().filter(|e| e.prefix == *wanted).copied().collect();
                prop_assert_eq!(index.find(*wanted).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let entries: Vec<_> = (0..40).map(|n| entry(n << 57, n as u32)).collect();
        let good = encode(&[1; 16], 50, false, &entries);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(Index::from_encoded(bad, &[1; 16]).is_none(), "byte {at}");
            assert!(
                Index::from_encoded(good[..at].to_vec(), &[1; 16]).is_none(),
                "cut at {at}"
            );
        }
        assert!(
            Index::from_encoded(good.clone(), &[2; 16]).is_none(),
            "another segment"
        );
        assert!(
            Index::check(good, &[1; 16], 49).is_none(),
            "covers too much"
        );
    }
}
