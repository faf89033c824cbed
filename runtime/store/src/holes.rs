//! Which parts of a stored blob are nothing but zeros: its holes, as far as they are worth a word.
//!
//! Chunks are looked at by their ids alone, and only the longest of zeros counts as a hole: a short run
//! of zeros is data.

use std::ops::{ControlFlow, Range};

use crate::list::{Level, ListView};
use crate::object::Object;
use crate::read::length_of;
use crate::record::RecordKind;
use crate::shelf::Want;
use crate::store::empty_blob;
use crate::{Id, Result, Store};

/// A piece of a blob.
struct Piece {
    bytes: Range<u64>,
    is_hole: bool,
}

impl Store {
    /// Gives the first place with data in a blob from an offset on, in bytes; nothing where only a hole
    /// or the end follows.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], [`crate::Error::Damaged`] and I/O errors.
    pub fn data_from(&self, blob: &Id, offset: u64) -> Result<Option<u64>> {
        let mut found = None;
        self.each_piece(blob, offset, &mut |piece| match piece.is_hole {
            true => ControlFlow::Continue(()),
            false => {
                found = Some(piece.bytes.start.max(offset));
                ControlFlow::Break(())
            }
        })?;
        Ok(found)
    }

    /// Gives the first place of a blob from an offset on that lies in a hole, in bytes, or its end.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], [`crate::Error::Damaged`] and I/O errors.
    pub fn hole_from(&self, blob: &Id, offset: u64) -> Result<u64> {
        let mut at = offset;
        self.each_piece(blob, offset, &mut |piece| match piece.is_hole {
            true => ControlFlow::Break(()),
            false => {
                at = piece.bytes.end;
                ControlFlow::Continue(())
            }
        })?;
        Ok(at)
    }

    /// Counts the bytes of a blob that lie in no hole.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], [`crate::Error::Damaged`] and I/O errors.
    pub fn data_bytes(&self, blob: &Id) -> Result<u64> {
        let mut bytes = 0;
        self.each_piece(blob, 0, &mut |piece| {
            if !piece.is_hole {
                bytes += piece.bytes.end - piece.bytes.start;
            }
            ControlFlow::Continue(())
        })?;
        Ok(bytes)
    }

    /// Visits the pieces of a blob that end after an offset, in order, until the visitor has enough.
    fn each_piece(
        &self,
        blob: &Id,
        offset: u64,
        visit: &mut dyn FnMut(Piece) -> ControlFlow<()>,
    ) -> Result<()> {
        if *blob == empty_blob() {
            return Ok(());
        }
        let object = self.object(blob, Want::Blob)?;
        if object.kind() == RecordKind::List {
            // Whether the visitor had enough says nothing more.
            let _ = self.each_below(&object, 0, offset, visit)?;
            return Ok(());
        }
        let bytes = 0..length_of(&object);
        if offset < bytes.end {
            let is_hole = false;
            let _ = visit(Piece { bytes, is_hole });
        }
        Ok(())
    }

    /// Goes through the chunks below a list, which begins at `base`.
    fn each_below(
        &self,
        list: &Object,
        base: u64,
        offset: u64,
        visit: &mut dyn FnMut(Piece) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let list = ListView::new(list.bytes());
        let zeros = self.inner.chunk_of_zeros();
        for number in list.piece_at(offset.saturating_sub(base))..list.len() {
            let (id, within) = (list.id(number), list.range(number));
            let bytes = base + within.start..base + within.end;
            let flow = match list.level() {
                Level::Chunks => {
                    let is_hole = id == *zeros;
                    visit(Piece { bytes, is_hole })
                }
                Level::Parts => {
                    let part = self.object(&id, Want::ListPart)?;
                    self.each_below(&part, bytes.start, offset, visit)?
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
