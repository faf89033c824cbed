//! Puts the chunks of a large blob together: the lists that name them.
//!
//! Lists form a tree of short ones, so that an edit writes anew about 0.7 KB for each level of it. A
//! blob stored with longer lists, as earlier versions wrote them, is read like any other; the first
//! edit of such a blob writes its lists, not its chunks, once more.

use crate::Id;
use crate::list::{FAN_OUT, Level, Piece, encode_part, encode_whole};

/// Pieces of a list before it may end.
const LIST_MIN: usize = 8;
/// One piece in so many ends a list.
const LIST_ODDS: u8 = 8;

/// Follows a large blob from its first to its last chunk. Memory: the unfinished list of each level.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    /// The lowest level names chunks, each other one the lists of the level below it.
    levels: Vec<Unfinished>,
    size: u64,
}

/// A list that pieces are still added to.
#[derive(Debug, Default)]
struct Unfinished {
    pieces: Vec<Piece>,
    /// Where it starts in the blob.
    start: u64,
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
    pub(crate) size: u64,
    /// The last parts, the lower ones first; none when a single list names all chunks.
    pub(crate) parts: Vec<NamedList>,
    /// The list of the whole; a blob of a single chunk needs none.
    pub(crate) whole: Option<NamedList>,
}

impl Assembler {
    /// Takes in the next chunk; answers the parts that are full, the lower ones first.
    pub(crate) fn chunk(&mut self, id: Id, len: usize) -> Vec<NamedList> {
        self.size += len as u64;
        let mut parts = Vec::new();
        self.push(0, id, self.size, &mut parts);
        parts
    }

    /// Adds a piece that ends at `end` of the blob to a level, closing lists that it has no place in.
    fn push(&mut self, level: usize, id: Id, end: u64, parts: &mut Vec<NamedList>) {
        if self.levels.get(level).is_some_and(Unfinished::is_full) {
            self.close(level, parts);
        }
        if self.levels.len() == level {
            self.levels.push(Unfinished::default());
        }
        if let Some(list) = self.levels.get_mut(level) {
            let end = end - list.start;
            list.pieces.push(Piece { id, end });
        }
    }

    /// Ends the list of a level and names it in the one above.
    fn close(&mut self, level: usize, parts: &mut Vec<NamedList>) {
        let Some(list) = self.levels.get_mut(level) else {
            return;
        };
        let (id, bytes) = encode_part(named_at(level), &list.pieces);
        let end = list.start + list.pieces.last().map_or(0, |last| last.end);
        list.pieces.clear();
        list.start = end;
        parts.push(NamedList { id, bytes });
        self.push(level + 1, id, end, parts);
    }

    /// Ends the blob, whose id its bytes alone say.
    pub(crate) fn finish(mut self, id: Id) -> Assembled {
        let mut parts = Vec::new();
        let mut top = 0;
        while top + 1 < self.levels.len() {
            self.close(top, &mut parts);
            top += 1;
        }
        let pieces = self.levels.pop().unwrap_or_default().pieces;
        let single = top == 0 && pieces.len() <= 1;
        let whole = (!single).then(|| NamedList {
            id,
            bytes: encode_whole(&id, named_at(top), &pieces),
        });
        Assembled {
            size: self.size,
            parts,
            whole,
        }
    }
}

impl Unfinished {
    /// Says whether the next piece starts a list of its own.
    ///
    /// A list ends where its content says so, as chunks do: after an insertion the lists behind it
    /// are the old ones.
    fn is_full(&self) -> bool {
        let ends = self.pieces.last().is_some_and(|last| {
            let [.., low] = *last.id.as_bytes();
            low % LIST_ODDS == 0
        });
        self.pieces.len() >= FAN_OUT || (self.pieces.len() >= LIST_MIN && ends)
    }
}

/// What the lists of a level name.
fn named_at(level: usize) -> Level {
    match level {
        0 => Level::Chunks,
        _ => Level::Parts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::ListView;
    use std::collections::HashMap;

    #[test]
    fn a_single_chunk_needs_no_list() {
        let mut one = Assembler::default();
        assert_eq!(one.chunk(Id::of(b"abc"), 3), []);
        let done = one.finish(Id::of(b"abc"));
        assert_eq!(done.size, 3);
        assert!(done.parts.is_empty() && done.whole.is_none());
    }

    #[test]
    fn lists_that_do_not_end_by_their_content_end_by_their_length() {
        let endless = (0_u8..)
            .map(|n| Id::of(&[n]))
            .find(|id| id.as_bytes()[31] % LIST_ODDS != 0);
        let mut many = Assembler::default();
        let count = FAN_OUT * 2 + 1;
        let parts: Vec<_> = (0..count)
            .flat_map(|_| many.chunk(endless.unwrap(), 10))
            .collect();
        let done = many.finish(Id::of(b"many"));
        let whole = done.whole.unwrap();
        let view = ListView::new(&whole.bytes);
        assert_eq!(
            (parts.len(), view.len(), view.level()),
            (2, 3, Level::Parts)
        );
        assert_eq!(view.total(), count as u64 * 10);
        assert_eq!(view.range(1), 40960..81920);
        assert_eq!(parts[0].id, parts[1].id, "equal parts are one object");
        assert_eq!(ListView::new(&done.parts[0].bytes).total(), 10);
        assert_eq!(view.id(2), done.parts[0].id);
    }

    fn chunk(number: u32) -> Id {
        Id::of(&number.to_le_bytes())
    }

    /// The lists of a blob made of these chunks of ten bytes each: those of parts by their names, in
    /// the order they are to be stored, and that of the whole.
    fn lists_of(chunks: impl Iterator<Item = Id>) -> (Vec<NamedList>, Vec<u8>) {
        let mut blob = Assembler::default();
        let mut parts: Vec<_> = chunks.flat_map(|id| blob.chunk(id, 10)).collect();
        let done = blob.finish(Id::of(b"blob"));
        parts.extend(done.parts);
        (parts, done.whole.unwrap().bytes)
    }

    /// The chunks below a list and where each ends, from the start of the blob on.
    fn below(list: &[u8], start: u64, parts: &HashMap<Id, Vec<u8>>) -> Vec<(Id, u64)> {
        let view = ListView::new(list);
        let piece = |number| {
            let (id, range) = (view.id(number), view.range(number));
            match view.level() {
                Level::Chunks => vec![(id, start + range.end)],
                Level::Parts => {
                    let part = &parts[&id];
                    assert_eq!(ListView::new(part).total(), range.end - range.start);
                    below(part, start + range.start, parts)
                }
            }
        };
        (0..view.len()).flat_map(piece).collect()
    }

    #[test]
    fn the_lists_name_every_chunk_at_its_place_and_parts_come_before_who_names_them() {
        for count in [2_u32, 7, 8, 9, 60, 500, 5000] {
            let (parts, whole) = lists_of((0..count).map(chunk));
            let mut stored = HashMap::new();
            for part in parts {
                let view = ListView::new(&part.bytes);
                let known =
                    view.level() == Level::Chunks || view.ids().all(|id| stored.contains_key(&id));
                assert!(known, "{count} chunks");
                stored.insert(part.id, part.bytes);
            }
            let expected: Vec<_> = (0..count)
                .map(|n| (chunk(n), u64::from(n + 1) * 10))
                .collect();
            assert_eq!(below(&whole, 0, &stored), expected);
        }
    }

    #[test]
    fn an_inserted_chunk_changes_the_lists_above_it_and_no_other() {
        let (before, _) = lists_of((0..20_000).map(chunk));
        assert!(
            (800..3000).contains(&before.len()),
            "{} parts",
            before.len()
        );
        let known: HashMap<_, _> = before.iter().map(|part| (part.id, ())).collect();
        let inserted = (0..7000)
            .map(chunk)
            .chain([chunk(1 << 30)])
            .chain((7000..20_000).map(chunk));
        let (after, whole) = lists_of(inserted);
        let new: Vec<_> = after
            .iter()
            .filter(|part| !known.contains_key(&part.id))
            .collect();
        assert!((1..=5).contains(&new.len()), "{} parts are new", new.len());
        let bytes = new.iter().map(|part| part.bytes.len()).sum::<usize>() + whole.len();
        assert!(bytes < 6000, "{bytes} bytes of lists are new");
    }
}
