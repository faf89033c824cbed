//! The BLAKE3 of a file whose windows are hashed by whoever has time, in any order.
//!
//! BLAKE3 is a tree over blocks of 1 KiB (section 2.1 of its paper): the hash of an aligned part of a
//! power of two of them depends on nothing else, so the threads that hash chunks can do that too.

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::Id;

/// Bytes of a part that is hashed for itself.
pub(super) const SUBTREE: usize = 1 << 20;

/// What one window says about the hash of the whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hashed {
    /// There is nothing else.
    Whole(Id),
    /// The subtrees it is made of, in order.
    Subtrees(Vec<ChainingValue>),
}

/// Hashes the bytes that start at a multiple of [`SUBTREE`]. Only the last window may have a length
/// that is none, and so may the first: if that is shorter than one, it has to be the last.
pub(super) fn hash_window(offset: u64, bytes: &[u8]) -> Hashed {
    if offset == 0 && bytes.len() <= SUBTREE {
        return Hashed::Whole(Id::of(bytes));
    }
    let mut at = offset;
    let subtree = |part: &[u8]| {
        let mut hasher = Hasher::new();
        let value = hasher.set_input_offset(at).update(part).finalize_non_root();
        at += part.len() as u64;
        value
    };
    Hashed::Subtrees(bytes.chunks(SUBTREE).map(subtree).collect())
}

/// Puts together what windows say, which come in order.
#[derive(Debug, Default)]
pub(super) struct Subtrees {
    whole: Option<Id>,
    /// Complete subtrees on the left of the last part, the largest first.
    left: Vec<ChainingValue>,
    /// Parts that those stand for.
    parts: u64,
    /// What may be the end of the file: the topmost merge is unlike all others.
    last: Option<ChainingValue>,
}

impl Subtrees {
    pub(super) fn add(&mut self, hashed: Hashed) {
        match hashed {
            Hashed::Whole(id) => self.whole = Some(id),
            Hashed::Subtrees(values) => values.into_iter().for_each(|value| self.push(value)),
        }
    }

    fn push(&mut self, value: ChainingValue) {
        let Some(mut full) = self.last.replace(value) else {
            return;
        };
        self.parts += 1;
        for _ in 0..self.parts.trailing_zeros() {
            let Some(left) = self.left.pop() else { break };
            full = merge_subtrees_non_root(&left, &full, Mode::Hash);
        }
        self.left.push(full);
    }

    /// The id of the whole; `None` when no window came.
    pub(super) fn finish(mut self) -> Option<Id> {
        if self.whole.is_some() {
            return self.whole;
        }
        let mut right = self.last?;
        while self.left.len() > 1 {
            let left = self.left.pop()?;
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
        }
        let root = merge_subtrees_root(&self.left.pop()?, &right, Mode::Hash);
        Some(Id::from_bytes(*root.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_give_the_hash_of_the_whole() {
        let mut bytes = vec![0; 9 * SUBTREE + 1];
        Hasher::new().finalize_xof().fill(&mut bytes);
        let ends = [0, 1, SUBTREE - 1, SUBTREE, SUBTREE + 1, 2 * SUBTREE];
        let more = (2..=9).flat_map(|parts| [parts * SUBTREE, parts * SUBTREE + 1]);
        for len in ends.into_iter().chain(more) {
            for window in [2 * SUBTREE, 4 * SUBTREE] {
                let mut tree = Subtrees::default();
                let mut at = 0;
                loop {
                    let end = (at + window).min(len);
                    tree.add(hash_window(at as u64, &bytes[at..end]));
                    at = end;
                    if at == len {
                        break;
                    }
                }
                let expected = Id::of(&bytes[..len]);
                assert_eq!(tree.finish(), Some(expected), "{len} in {window}");
            }
        }
        assert_eq!(Subtrees::default().finish(), None);
    }

    #[test]
    fn an_empty_last_window_says_nothing() {
        let bytes = vec![7; 2 * SUBTREE];
        let mut tree = Subtrees::default();
        tree.add(hash_window(0, &bytes));
        tree.add(hash_window(bytes.len() as u64, b""));
        assert_eq!(tree.finish(), Some(Id::of(&bytes)));
    }
}
