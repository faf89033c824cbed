//! Which parts of a stored blob are nothing but zeros: its holes, as far as they are worth a word.

use std::ops::{ControlFlow, Range};

use crate::list::{Level, ListView};
use crate::object::Object;
use crate::read::length_of;
use crate::record::RecordKind;
use crate::shelf::Want;
use crate::store::empty_blob;
use crate::{Id, Result, Store};

/// The piece with data that is looked for.
struct Search {
    zeros: Id,
    from: u64,
    found: Option<Range<u64>>,
}

impl Store {
    /// Gives the first piece of a blob, in bytes, that ends after `from` and holds data; nothing where
    /// only zeros follow, or nothing does.
    ///
    /// Chunks are looked at by their ids alone, and only the longest of zeros counts as a hole: a short
    /// run of zeros is data.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], [`crate::Error::Damaged`] and I/O errors.
    pub fn data_from(&self, blob: &Id, from: u64) -> Result<Option<Range<u64>>> {
        if *blob == empty_blob() {
            return Ok(None);
        }
        let object = self.object(blob, Want::Blob)?;
        if object.kind() != RecordKind::List {
            let len = length_of(&object);
            return Ok((from < len).then_some(0..len));
        }
        let mut search = Search {
            zeros: *self.inner.chunk_of_zeros(),
            from,
            found: None,
        };
        // Whether it was found or the blob ended says nothing more.
        let _ = self.search(&object, 0, &mut search)?;
        Ok(search.found)
    }

    /// Goes through the chunks below a list, which begins at `base`.
    fn search(&self, list: &Object, base: u64, search: &mut Search) -> Result<ControlFlow<()>> {
        let list = ListView::new(list.bytes());
        for number in list.piece_at(search.from.saturating_sub(base))..list.len() {
            let piece = list.range(number);
            let piece = base + piece.start..base + piece.end;
            let flow = match list.level() {
                Level::Chunks => search.meet(&list.id(number), piece),
                Level::Parts => {
                    let part = self.object(&list.id(number), Want::ListPart)?;
                    self.search(&part, piece.start, search)?
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Search {
    fn meet(&mut self, chunk: &Id, piece: Range<u64>) -> ControlFlow<()> {
        match (&mut self.found, *chunk == self.zeros) {
            (None, true) => ControlFlow::Continue(()),
            (Some(_), true) => ControlFlow::Break(()),
            (Some(found), false) => {
                found.end = piece.end;
                ControlFlow::Continue(())
            }
            (None, false) => {
                self.found = Some(piece);
                ControlFlow::Continue(())
            }
        }
    }
}
