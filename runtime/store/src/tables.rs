//! Tables of records that were looked at lately, for those who look up very many objects.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::cache::FrameKey;
use crate::idhash::SpotBuildHasher;
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
    known: HashMap<FrameKey, Option<Vec<TableEntry>>, SpotBuildHasher>,
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
        if self.known.len() >= TABLES_MAX && !self.known.contains_key(&key) {
            self.known.clear();
        }
        let table = match self.known.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let found = segment.outline(entry.place)?;
                unknown.insert(found.map(|found| found.table))
            }
        };
        let Some(table) = table else {
            // Its single lines may still be what they were.
            return segment.confirm(entry, id);
        };
        Ok(table
            .get(usize::from(entry.slot))
            .filter(|line| line.id == *id && line.tag == entry.tag)
            .map(|line| line.len))
    }
}
