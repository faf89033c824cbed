//! What objects take of the records they stand in.

use std::collections::HashMap;

use crate::Result;
use crate::shelf::Located;

/// Adds up what marked copies take in their segments.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    /// Of a record: bytes in the file, and bytes decoded.
    records: HashMap<(u64, u32), (u64, u64)>,
    pub(crate) bytes: u64,
}

impl Sizes {
    /// The share of its record that a copy takes, in bytes.
    pub(crate) fn of(&mut self, copy: &Located) -> Result<u64> {
        let key = (copy.segment.number, copy.entry.place);
        let (stored, raw) = match self.records.get(&key) {
            Some(known) => *known,
            None => {
                let outline = copy.segment.outline(copy.entry.place)?;
                let size = outline.map_or((0, 1), |found| {
                    let header = found.header;
                    (header.record_len(), u64::from(header.raw).max(1))
                });
                *self.records.entry(key).or_insert(size)
            }
        };
        Ok(stored * u64::from(copy.len) / raw)
    }

    pub(crate) fn add(&mut self, copy: &Located) {
        // A record that cannot be read takes no part in the sum; the collection meets it again.
        self.bytes += self.of(copy).unwrap_or_default();
    }
}
