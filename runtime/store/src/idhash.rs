//! Hash tables keyed by ids, which are hashes already, or by places.

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

/// Mixes a place and a line of its table, which nobody outside chooses.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct SpotHasher(u64);

pub(crate) type SpotBuildHasher = BuildHasherDefault<SpotHasher>;

/// An odd number with its ones spread evenly: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for SpotHasher {
    fn finish(&self) -> u64 {
        // Tables take their low bits, which a product knows least about.
        self.0.rotate_right(32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u32(u32::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(SPREAD);
    }
}
