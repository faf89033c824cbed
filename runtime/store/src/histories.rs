//! All histories at once.

use crate::read::decode_history;
use crate::record::RecordKind;
use crate::shelf::Located;
use crate::{HistoryEntry, Id, Result, Store};

impl Store {
    /// Lists the entries of all histories with their keys; damaged ones are left out.
    ///
    /// # Errors
    /// I/O errors.
    pub fn histories(&self) -> Result<Vec<(Id, HistoryEntry)>> {
        self.refresh()?;
        let mut found = Vec::new();
        self.each_history(|_, key, entry| found.push((key, entry)))?;
        Ok(found)
    }

    /// Meets every sound entry that is visible, with its copy and its key.
    pub(crate) fn each_history(
        &self,
        mut meet: impl FnMut(Located, Id, HistoryEntry),
    ) -> Result<()> {
        for segment in self.inner.shelf.segments().iter() {
            for entry in segment.entries_of(RecordKind::History) {
                let Some(outline) = segment.outline(entry.place)? else {
                    continue;
                };
                let Some(line) = outline.table.first() else {
                    continue;
                };
                let copy = Located {
                    segment: segment.clone(),
                    entry,
                    len: line.len,
                };
                if let Ok(object) = self.object_at(&copy, &line.id)
                    && let Some(entry) = decode_history(object.bytes())
                {
                    meet(copy, line.id, entry);
                }
            }
        }
        Ok(())
    }
}
