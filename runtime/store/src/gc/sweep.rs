//! Carries a plan out.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::GcReport;
use super::mark::Marks;
use super::plan::{Plan, Survey};
use crate::appender::{Appender, append_forget};
use crate::durable::{TEMPORARY_PREFIX, names_in, remove_if_there, sync_dir};
use crate::frame::{FrameBuilder, record_of};
use crate::record::{Record, RecordKind};
use crate::segment::{LoadError, Segment};
use crate::{Error, Result, Store};

/// Copies, takes back, and removes, in this order. The caller is alone.
pub(crate) fn sweep(store: &Store, marks: &Marks, plan: Plan, report: &mut GcReport) -> Result<()> {
    let shelf = &store.inner.shelf;
    let (dead, thin): (Vec<Survey>, Vec<Survey>) = plan
        .condemned
        .into_iter()
        .partition(|survey| survey.live_records.is_empty());
    // Wholly dead segments go first: that takes next to no space, even on a full disk. What else
    // is dead must be forgotten before, in the thin ones too: copying them may yet fail.
    let staying = thin.iter().filter(|_| !dead.is_empty()).chain(&plan.kept);
    for survey in staying.filter(|survey| !survey.to_forget.is_empty()) {
        append_forget(&survey.segment, &survey.to_forget)?;
    }
    let mut removed = remove_all(store, &dead, report)?;
    let mut copier = Copier::new(store, marks);
    let mut copied = Vec::new();
    for survey in thin {
        if copier.copy(&survey)? {
            copied.push(survey);
        } else {
            report.segments_kept_damaged += 1;
            append_forget(&survey.segment, &survey.to_forget)?;
        }
    }
    let written = copier.finish()?;
    report.segments_rewritten = copied.len() as u64;
    report.segments_kept_damaged += plan
        .kept
        .iter()
        .filter(|survey| survey.has_damaged_live)
        .count() as u64;
    removed += remove_all(store, &copied, report)?;
    report.freed_bytes = removed.saturating_sub(written);
    sweep_leftovers(&store.refs_dir())?;
    for shard in names_in(shelf.objects())? {
        sweep_leftovers(&shelf.objects().join(shard))?;
    }
    store.refresh()
}

/// Removes segments, once every stat cache has been told to ask again.
fn remove_all(store: &Store, surveys: &[Survey], report: &mut GcReport) -> Result<u64> {
    if surveys.is_empty() {
        return Ok(0);
    }
    store.inner.locks.advance_epoch()?;
    let mut removed = 0;
    for survey in surveys {
        removed += remove(&survey.segment)?;
        report.segments_removed += 1;
    }
    Ok(removed)
}

fn remove(segment: &Arc<Segment>) -> Result<u64> {
    let len = fs::metadata(&segment.path).map_or(0, |meta| meta.len());
    remove_if_there(&segment.path)?;
    remove_if_there(&segment.index_path())?;
    if let Some(shard) = segment.path.parent() {
        sync_dir(shard)?;
        // Only an empty one goes, and nobody makes files in it now.
        fs::remove_dir(shard).ok();
    }
    Ok(len)
}

/// Removes temporary files of crashed processes; nobody else is writing now.
fn sweep_leftovers(dir: &Path) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    for name in names_in(dir)? {
        if name.to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            remove_if_there(&dir.join(name))?;
        }
    }
    Ok(())
}

/// Copies live objects to new segments.
struct Copier<'a> {
    store: &'a Store,
    marks: &'a Marks,
    out: Appender,
    chunks: FrameBuilder,
    nodes: FrameBuilder,
}

impl<'a> Copier<'a> {
    fn new(store: &'a Store, marks: &'a Marks) -> Copier<'a> {
        Copier {
            store,
            marks,
            out: Appender::for_new_segments(),
            chunks: FrameBuilder::new(RecordKind::Chunks),
            nodes: FrameBuilder::new(RecordKind::Nodes),
        }
    }

    /// Copies what is live in a segment; false when a live object is damaged and has to stay.
    fn copy(&mut self, survey: &Survey) -> Result<bool> {
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
    fn finish(mut self) -> Result<u64> {
        let frames = [self.chunks.take(), self.nodes.take()];
        frames
            .iter()
            .flatten()
            .try_for_each(|record| self.append(record))?;
        self.out.commit()?;
        Ok(self.out.touched_bytes())
    }
}
