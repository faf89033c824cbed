//! Counts what a store holds.

use crate::gc::mark::{Marker, Marks};
use crate::record::{RecordKind, TAG_WHOLE};
use crate::segment::Segment;
use crate::{GcOptions, Links, Result, Store};

/// What a store holds, in objects and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Segment files.
    pub segments: u64,
    /// Records that hold objects.
    pub frames: u64,
    /// Stored chunks: small blobs and pieces of large ones, copies included.
    pub chunks: u64,
    /// Stored blobs: small ones, and large ones of several chunks.
    pub blobs: u64,
    /// Stored nodes.
    pub nodes: u64,
    /// Entries of histories.
    pub history: u64,
    /// References.
    pub refs: u64,
    /// Bytes of all stored objects before compression.
    pub raw_bytes: u64,
    /// Bytes of the same as stored.
    pub stored_bytes: u64,
    /// Bytes of all segment files, headers and indexes of the format included.
    pub file_bytes: u64,
    /// Bytes of segment files that live objects take, when that was asked for.
    pub live_bytes: Option<u64>,
}

impl Store {
    /// Counts what is stored.
    ///
    /// # Errors
    /// I/O errors.
    pub fn stats(&self) -> Result<Stats> {
        self.refresh()?;
        let mut stats = Stats {
            refs: self.sound_refs()?.len() as u64,
            ..Stats::default()
        };
        for segment in self.inner.shelf.segments().iter() {
            stats.segments += 1;
            stats.file_bytes += segment.committed();
            count(segment, &mut stats)?;
        }
        Ok(stats)
    }

    /// Counts what is stored, and how much of it a collection would keep.
    ///
    /// # Errors
    /// As [`Store::gc`].
    pub fn stats_with_live(&self, links: &dyn Links, options: &GcOptions) -> Result<Stats> {
        let _hold = self.hold()?;
        let mut stats = self.stats()?;
        let mut marker = Marker::new(self, links, options);
        marker.mark_at_first()?;
        stats.live_bytes = Some(live_bytes(self, &marker.marks)?);
        Ok(stats)
    }
}

fn live_bytes(store: &Store, marks: &Marks) -> Result<u64> {
    let mut bytes = 0;
    for segment in store.inner.shelf.segments().iter() {
        bytes += crate::gc::plan::survey(segment, marks)?.live_bytes;
    }
    Ok(bytes)
}

fn count(segment: &Segment, stats: &mut Stats) -> Result<()> {
    let entries = segment.entries();
    for record in entries.chunk_by(|a, b| a.place == b.place) {
        let Some(first) = record.first() else {
            continue;
        };
        let Some(outline) = segment.outline(first.place)? else {
            continue;
        };
        stats.frames += 1;
        stats.raw_bytes += u64::from(outline.header.raw);
        stats.stored_bytes += u64::from(outline.header.stored);
        for entry in record {
            match RecordKind::from_code(entry.kind) {
                Some(RecordKind::Chunks) => {
                    stats.chunks += 1;
                    stats.blobs += u64::from(entry.tag == TAG_WHOLE);
                }
                Some(RecordKind::List) => stats.blobs += u64::from(entry.tag == TAG_WHOLE),
                Some(RecordKind::Nodes) => stats.nodes += 1,
                Some(RecordKind::History) => stats.history += 1,
                _ => {}
            }
        }
    }
    Ok(())
}
