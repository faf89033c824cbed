//! Puts the chunks of a large blob together: its id and the lists that name its chunks.

use crate::Id;
use crate::list::{FAN_OUT, Level, Piece, encode_part, encode_whole};

/// Pieces of a part before it may end; a blob of fewer chunks (about 2 MiB) needs no parts.
const PART_MIN: usize = 64;
/// One piece in so many ends a part.
const PART_ODDS: u8 = 64;
/// Parts of one blob that end by their content: about 256 GiB.
const SHORT_PARTS: usize = 65_536;

/// Follows a large blob from its first to its last chunk. Memory: 40 bytes per chunk of one part.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    hasher: blake3::Hasher,
    pieces: Vec<Piece>,
    parts: Vec<Piece>,
    size: u64,
    /// Where the current part starts.
    part_start: u64,
}

/// A list that has to be stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamedList {
    pub(crate) id: Id,
    pub(crate) bytes: Vec<u8>,
}

/// A blob whose chunks are all known.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) id: Id,
    pub(crate) size: u64,
    /// The last part, when the blob needed parts.
    pub(crate) part: Option<NamedList>,
    /// The list of the whole; a blob of a single chunk needs none.
    pub(crate) whole: Option<NamedList>,
}

impl Assembler {
    /// Takes in bytes of the blob, in order; independent of where chunks are cut.
    pub(crate) fn hash(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Takes in the next chunk; answers a part that is full.
    pub(crate) fn chunk(&mut self, id: Id, len: usize) -> Option<NamedList> {
        let part = self.is_full().then(|| self.close_part());
        self.size += len as u64;
        self.pieces.push(Piece {
            id,
            end: self.size - self.part_start,
        });
        part
    }

    /// Says whether the next piece starts a part of its own.
    ///
    /// A part ends where its content says so, as chunks do: after an insertion the parts behind it
    /// are the old ones. In huge blobs parts are as long as they may be, lest the list of the
    /// whole grows too long.
    fn is_full(&self) -> bool {
        let ends = self.pieces.last().is_some_and(|last| {
            let [.., low] = *last.id.as_bytes();
            low % PART_ODDS == 0
        });
        let may_end = self.pieces.len() >= PART_MIN && self.parts.len() < SHORT_PARTS;
        self.pieces.len() >= FAN_OUT || (may_end && ends)
    }

    fn close_part(&mut self) -> NamedList {
        let (id, bytes) = encode_part(&self.pieces);
        self.pieces.clear();
        self.part_start = self.size;
        self.parts.push(Piece { id, end: self.size });
        NamedList { id, bytes }
    }

    pub(crate) fn finish(mut self) -> Assembled {
        let id = Id::from_bytes(*self.hasher.finalize().as_bytes());
        let part = (!self.parts.is_empty()).then(|| self.close_part());
        let (level, pieces) = match part {
            Some(_) => (Level::Parts, &self.parts),
            None => (Level::Chunks, &self.pieces),
        };
        let single = part.is_none() && pieces.len() <= 1;
        let whole = (!single).then(|| NamedList {
            id,
            bytes: encode_whole(&id, level, pieces),
        });
        Assembled {
            id,
            size: self.size,
            part,
            whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::ListView;

    #[test]
    fn a_single_chunk_needs_no_list() {
        let mut one = Assembler::default();
        one.hash(b"abc");
        assert_eq!(one.chunk(Id::of(b"abc"), 3), None);
        let done = one.finish();
        assert_eq!((done.id, done.size), (Id::of(b"abc"), 3));
        assert!(done.part.is_none() && done.whole.is_none());
    }

    #[test]
    fn many_chunks_go_into_parts() {
        let mut many = Assembler::default();
        let count = FAN_OUT * 2 + 1;
        let parts: Vec<_> = (0..count)
            .filter_map(|_| many.chunk(Id::of(b"x"), 10))
            .collect();
        let done = many.finish();
        let whole = done.whole.unwrap();
        let view = ListView::new(&whole.bytes);
        assert_eq!(
            (parts.len(), view.len(), view.level()),
            (2, 3, Level::Parts)
        );
        assert_eq!(view.total(), count as u64 * 10);
        assert_eq!(view.range(1), 40960..81920);
        assert_eq!(parts[0].id, parts[1].id, "equal parts are one object");
        let last = done.part.unwrap();
        assert_eq!(ListView::new(&last.bytes).total(), 10);
        assert_eq!(view.id(2), last.id);
    }

    /// The names of the parts of a blob made of these chunks of ten bytes each.
    fn parts_of(chunks: impl Iterator<Item = Id>) -> Vec<Id> {
        let mut blob = Assembler::default();
        let parts = chunks
            .filter_map(|id| blob.chunk(id, 10))
            .collect::<Vec<_>>();
        let last = blob.finish().part;
        parts.into_iter().chain(last).map(|part| part.id).collect()
    }

    #[test]
    fn an_inserted_chunk_changes_the_part_it_is_in_and_no_other() {
        let chunk = |number: u32| Id::of(&number.to_le_bytes());
        let before = parts_of((0..20_000).map(chunk));
        assert!((80..320).contains(&before.len()), "{} parts", before.len());
        let inserted = (0..7000).chain([1 << 30]).chain(7000..20_000);
        let after = parts_of(inserted.map(chunk));
        let new = after.iter().filter(|id| !before.contains(id)).count();
        assert!((1..=2).contains(&new), "{new} parts are new");
        assert_eq!(parts_of((0..64).map(chunk)), [], "a small list stays whole");
    }
}
