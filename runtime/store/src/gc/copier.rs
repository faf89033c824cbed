//! Copies what lives in a segment that goes to new segments.

use std::sync::Arc;

use super::mark::Marks;
use super::plan::{Survey, survey};
use crate::appender::Appender;
use crate::frame::{FrameBuilder, record_of};
use crate::record::{Record, RecordKind};
use crate::segment::{LoadError, Segment};
use crate::{Error, Result, Store};

/// Copies everything that can be seen in a segment elsewhere; false when some of it is damaged.
pub(crate) fn rewrite(store: &Store, segment: &Arc<Segment>) -> Result<bool> {
    let marks = Marks::everything_in(segment);
    let mut copier = Copier::new(store, &marks);
    if !copier.copy(&survey(segment, &marks)?)? {
        return Ok(false);
    }
    copier.finish()?;
    Ok(true)
}

/// Copies live objects to new segments.
pub(crate) struct Copier<'a> {
    store: &'a Store,
    marks: &'a Marks,
    out: Appender,
    chunks: FrameBuilder,
    nodes: FrameBuilder,
}

impl<'a> Copier<'a> {
    pub(crate) fn new(store: &'a Store, marks: &'a Marks) -> Copier<'a> {
        Copier {
            store,
            marks,
            out: Appender::for_new_segments(),
            chunks: FrameBuilder::new(RecordKind::Chunks),
            nodes: FrameBuilder::new(RecordKind::Nodes),
        }
    }

    /// Copies what is live in a segment; false when a live object is damaged and has to stay.
    pub(crate) fn copy(&mut self, survey: &Survey) -> Result<bool> {
        for place in &survey.live_records {
            match self.copy_record(&survey.segment, *place) {
                Ok(()) => {}
                Err(LoadError::Damaged(_)) => return Ok(false),
                Err(LoadError::Failed(error)) => return Err(error),
            }
        }
        Ok(true)
    }

    fn copy_record(&mut self, segment: &Segment, place: u32) -> Result<(), LoadError> {
        let stored = segment.stored(place)?;
        let is_live = |slot: usize| self.marks.is_live(segment.number, (place, slot as u16));
        let live: Vec<usize> = (0..stored.table.len())
            .filter(|slot| is_live(*slot))
            .collect();
        if live.len() == stored.table.len() {
            return self.append(&stored).map_err(LoadError::Failed);
        }
        let frame = segment.load(place)?;
        for slot in live {
            let line = stored.table[slot];
            let bytes = frame.verified(slot as u16);
            let bytes = bytes.ok_or(LoadError::Damaged("its bytes do not match its id"))?;
            let builder = match stored.kind {
                RecordKind::Chunks => &mut self.chunks,
                RecordKind::Nodes => &mut self.nodes,
                kind => {
                    let record = record_of(kind, vec![line], bytes);
                    self.append(&record).map_err(LoadError::Failed)?;
                    continue;
                }
            };
            let full = if builder.fits(bytes.len()) {
                None
            } else {
                builder.take()
            };
            builder.push(line.id, line.tag, bytes);
            if let Some(record) = full {
                self.append(&record).map_err(LoadError::Failed)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, record: &Record) -> Result<(), Error> {
        self.out.append(&self.store.inner.shelf, record).map(|_| ())
    }

    /// Makes the copies durable and visible; answers their size in bytes.
    pub(crate) fn finish(mut self) -> Result<u64> {
        let frames = [self.chunks.take(), self.nodes.take()];
        frames
            .iter()
            .flatten()
            .try_for_each(|record| self.append(record))?;
        self.out.commit()?;
        Ok(self.out.touched_bytes())
    }
}
