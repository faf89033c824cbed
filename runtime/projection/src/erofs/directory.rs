//! The content of a directory: blocks of entries, each with its names behind it.

use std::ops::Range;

use super::format::{BLOCK, put16, put64};

/// Bytes of an entry (`struct erofs_dirent`).
const ENTRY: usize = 12;

/// One name and what it leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) name: &'a [u8],
    pub(super) inode: usize,
    pub(super) file_type: u8,
}

/// Divides sorted names into blocks, each as full as it gets.
pub(super) fn blocks(names: &[Named<'_>]) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let (mut from, mut used) = (0, 0);
    for (at, named) in names.iter().enumerate() {
        let bytes = ENTRY + named.name.len();
        if used + bytes > BLOCK {
            blocks.push(from..at);
            (from, used) = (at, 0);
        }
        used += bytes;
    }
    blocks.push(from..names.len());
    blocks
}

/// Bytes of a block's entries and names.
pub(super) fn block_len(names: &[Named<'_>]) -> usize {
    names.iter().map(|named| ENTRY + named.name.len()).sum()
}

/// Writes one block; what is left of `out` behind the last name stays zero, which ends it.
pub(super) fn put_block(out: &mut [u8], names: &[Named<'_>], number: impl Fn(usize) -> u64) {
    let mut name_at = names.len() * ENTRY;
    for (at, named) in names.iter().enumerate() {
        let entry = &mut out[at * ENTRY..];
        put64(entry, 0, number(named.inode));
        put16(entry, 8, name_at as u16);
        entry[10] = named.file_type;
        out[name_at..name_at + named.name.len()].copy_from_slice(named.name);
        name_at += named.name.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_filled_and_none_overflows() {
        let long = [b'n'; 255];
        let named = Named {
            name: &long,
            inode: 0,
            file_type: 1,
        };
        // 15 of 267 bytes each fit into 4096.
        for (count, expected) in [(1, 1), (15, 1), (16, 2), (30, 2), (31, 3)] {
            let names = vec![named; count];
            let blocks = blocks(&names);
            assert_eq!(blocks.len(), expected, "{count}");
            assert!(
                blocks
                    .iter()
                    .all(|range| block_len(&names[range.clone()]) <= BLOCK)
            );
            assert_eq!(blocks.iter().map(|range| range.len()).sum::<usize>(), count);
        }
    }

    #[test]
    fn names_follow_their_entries() {
        let names = [(&b"."[..], 5, 2), (b"ab", 7, 1)].map(|(name, inode, file_type)| Named {
            name,
            inode,
            file_type,
        });
        let mut out = [0; 32];
        put_block(&mut out, &names, |inode| inode as u64 * 10);
        assert_eq!(&out[..12], b"\x32\0\0\0\0\0\0\0\x18\0\x02\0");
        assert_eq!(&out[12..24], b"\x46\0\0\0\0\0\0\0\x19\0\x01\0");
        assert_eq!(&out[24..], b".ab\0\0\0\0\0");
    }
}
