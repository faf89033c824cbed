//! Tables of records that were looked at lately, for those who look up very many objects.

use std::collections::HashMap;

use crate::index::IndexEntry;
use crate::record::TableEntry;
use crate::segment::Segment;
use crate::{Id, Result};

/// Tables kept at most; neighbours in a tree are neighbours in a record, so few are enough.
const TABLES_MAX: usize = 1024;

/// Confirms index entries from whole tables, each read once, where [`Segment::confirm`] reads one line
/// for each entry.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// By the number of the segment and the place in it; none for a record that does not check.
    known: HashMap<(u64, u32), Option<Vec<TableEntry>>>,
}

impl Tables {
    /// As [`Segment::confirm`].
    pub(crate) fn confirm(
        &mut self,
        segment: &Segment,
        entry: &IndexEntry,
        id: &Id,
    ) -> Result<Option<u32>> {
        let key = (segment.number, entry.place);
        if !self.known.contains_key(&key) {
            if self.known.len() >= TABLES_MAX {
                self.known.clear();
            }
            let found = segment.outline(entry.place)?;
            self.known.insert(key, found.map(|found| found.table));
        }
        let Some(Some(table)) = self.known.get(&key) else {
            // Its single lines may still be what they were.
            return segment.confirm(entry, id);
        };
        Ok(table
            .get(usize::from(entry.slot))
            .filter(|line| line.id == *id && line.tag == entry.tag)
            .map(|line| line.len))
    }
}
