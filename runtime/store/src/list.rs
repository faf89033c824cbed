//! Chunk lists: which chunks make up a large blob.
//!
//! ```text
//! 0 version 1 (u8)   1 level: 0 = of chunks, 1 = of lists (u8)   2 zero (2)   4 entries (u32)
//! 8 bytes of the blob or part (u64)
//! 16 entries of 40 bytes: id (32), end of this piece within the whole (u64)
//!  … BLAKE3 `derive_key` hash over the id of a whole blob (zeros for a part) and the bytes before
//! ```
//! A part is named by that hash; the list of a whole blob is named by the blob. A list of lists may
//! name such again: a reader follows any depth.

use std::ops::Range;

use crate::Id;
use crate::record::{TAG_WHOLE, u32_at, u64_at};

const CONTEXT: &str = "hd 2026 chunk list v1";
const HEAD: usize = 16;
const ENTRY: usize = 40;
/// Entries of one list at most.
pub(crate) const FAN_OUT: usize = 4096;

/// One piece of a blob and where it ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) id: Id,
    pub(crate) end: u64,
}

/// Says what the pieces of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Chunks,
    Parts,
}

/// Encodes the list of a whole blob.
pub(crate) fn encode_whole(blob: &Id, level: Level, pieces: &[Piece]) -> Vec<u8> {
    seal(encode(level, pieces), blob.as_bytes())
}

/// Encodes a part; answers its name too.
pub(crate) fn encode_part(level: Level, pieces: &[Piece]) -> (Id, Vec<u8>) {
    let sealed = seal(encode(level, pieces), &[0; 32]);
    let mut name = [0; 32];
    name.copy_from_slice(&sealed[sealed.len() - 32..]);
    (Id::from_bytes(name), sealed)
}

fn encode(level: Level, pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + pieces.len() * ENTRY + 32);
    bytes.extend_from_slice(&[1, u8::from(level == Level::Parts), 0, 0]);
    bytes.extend_from_slice(&(pieces.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&pieces.last().map_or(0, |piece| piece.end).to_le_bytes());
    for piece in pieces {
        bytes.extend_from_slice(piece.id.as_bytes());
        bytes.extend_from_slice(&piece.end.to_le_bytes());
    }
    bytes
}

fn seal(mut bytes: Vec<u8>, owner: &[u8; 32]) -> Vec<u8> {
    let hash = seal_hash(&bytes, owner);
    bytes.extend_from_slice(&hash);
    bytes
}

fn seal_hash(bytes: &[u8], owner: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(owner).update(bytes);
    *hasher.finalize().as_bytes()
}

/// Says whether the bytes are the list that a table line names.
pub(crate) fn is_sound(id: &Id, tag: u8, bytes: &[u8]) -> bool {
    let Some(split) = bytes.len().checked_sub(32).filter(|split| *split >= HEAD) else {
        return false;
    };
    let (content, hash) = bytes.split_at(split);
    let whole = tag == TAG_WHOLE;
    let owner = if whole { *id.as_bytes() } else { [0; 32] };
    (whole || hash == id.as_bytes())
        && seal_hash(content, &owner) == hash
        && content[0] == 1
        && split == HEAD + u32_at(content, 4) as usize * ENTRY
}

/// A list that is known to be sound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListView<'a> {
    bytes: &'a [u8],
}

impl<'a> ListView<'a> {
    /// Looks at bytes for which [`is_sound`] holds.
    pub(crate) fn new(bytes: &'a [u8]) -> ListView<'a> {
        ListView { bytes }
    }

    pub(crate) fn level(&self) -> Level {
        if self.bytes[1] == 0 {
            Level::Chunks
        } else {
            Level::Parts
        }
    }

    /// Bytes of the blob or part.
    pub(crate) fn total(&self) -> u64 {
        u64_at(self.bytes, 8)
    }

    pub(crate) fn len(&self) -> usize {
        u32_at(self.bytes, 4) as usize
    }

    pub(crate) fn id(&self, number: usize) -> Id {
        let start = HEAD + number * ENTRY;
        let mut id = [0; 32];
        id.copy_from_slice(&self.bytes[start..start + 32]);
        Id::from_bytes(id)
    }

    pub(crate) fn ids(self) -> impl Iterator<Item = Id> + 'a {
        (0..self.len()).map(move |number| self.id(number))
    }

    fn end(&self, number: usize) -> u64 {
        u64_at(self.bytes, HEAD + number * ENTRY + 32)
    }

    /// Where a piece lies within the whole.
    pub(crate) fn range(&self, number: usize) -> Range<u64> {
        let start = number.checked_sub(1).map_or(0, |before| self.end(before));
        start..self.end(number)
    }

    /// The number of the first piece that ends after `offset`.
    pub(crate) fn piece_at(&self, offset: u64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.end(middle) <= offset {
                low = middle + 1
            } else {
                high = middle
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TAG_PART;

    fn pieces() -> Vec<Piece> {
        (1..=3)
            .map(|n| Piece {
                id: Id::of(&[n]),
                end: u64::from(n) * 10,
            })
            .collect()
    }

    #[test]
    fn golden_part() {
        let (name, bytes) = encode_part(Level::Chunks, &pieces());
        assert_eq!(bytes.len(), 16 + 3 * 40 + 32);
        assert_eq!(
            bytes[..16],
            [1, 0, 0, 0, 3, 0, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(name.short(), GOLDEN_PART);
        assert!(is_sound(&name, TAG_PART, &bytes));
    }
    const GOLDEN_PART: &str = "cabf57dffd6c";

    #[test]
    fn a_list_belongs_to_its_blob_and_any_flip_is_noticed() {
        let blob = Id::of(b"blob");
        let bytes = encode_whole(&blob, Level::Parts, &pieces());
        assert!(is_sound(&blob, TAG_WHOLE, &bytes));
        assert!(!is_sound(&Id::of(b"other"), TAG_WHOLE, &bytes));
        assert!(!is_sound(&blob, TAG_PART, &bytes));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(!is_sound(&blob, TAG_WHOLE, &bad), "byte {at}");
        }
    }

    #[test]
    fn offsets_find_their_piece() {
        let bytes = encode_whole(&Id::of(b"blob"), Level::Chunks, &pieces());
        let view = ListView::new(&bytes);
        assert_eq!(
            (view.len(), view.total(), view.level()),
            (3, 30, Level::Chunks)
        );
        let found: Vec<_> = [0, 9, 10, 29, 30]
            .map(|offset| view.piece_at(offset))
            .to_vec();
        assert_eq!(found, [0, 0, 1, 2, 3]);
        assert_eq!(view.range(1), 10..20);
    }
}
