//! Hash tables keyed by ids: the ids are hashes already.

use std::hash::{BuildHasherDefault, Hasher};

/// Takes the first eight bytes of an id for its hash.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct IdHasher(u64);

pub(crate) type IdBuildHasher = BuildHasherDefault<IdHasher>;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(head) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*head);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}
