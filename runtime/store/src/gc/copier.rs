//! Copies what lives in a segment that goes to new segments.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::mark::Marks;
use super::plan::{Survey, survey};
use crate::appender::Appender;
use crate::frame::{Frame, FrameBuilder, record_of};
use crate::record::{Record, RecordKind, TAG_PART};
use crate::segment::{LoadError, Segment, decoded};
use crate::stored::Found;
use crate::{Error, Result, Store};

/// Records that one worker copies at a time: what lives in them is packed anew together.
const BATCH: usize = 64;
/// Batches of each worker that may wait to be written.
const WAITING: usize = 2;

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
}

/// The records that a batch becomes, or why it cannot be copied.
type Copied = Result<Vec<Record>, LoadError>;

impl<'a> Copier<'a> {
    pub(crate) fn new(store: &'a Store, marks: &'a Marks) -> Copier<'a> {
        Copier {
            store,
            marks,
            out: Appender::for_new_segments(),
        }
    }

    /// Copies what is live in a segment; false when a live object is damaged and has to stay.
    ///
    /// Decoding, checking and packing is done on all processors, writing in the order of the segment:
    /// what lay side by side does so again.
    pub(crate) fn copy(&mut self, survey: &Survey) -> Result<bool> {
        let batches: Vec<&[u32]> = survey.live_records.chunks(BATCH).collect();
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = workers.min(batches.len());
        let (segment, marks) = (&*survey.segment, self.marks);
        std::thread::scope(|scope| {
            let mut answers: Vec<Receiver<Copied>> = Vec::new();
            for worker in 0..workers {
                let (answer, answered) = bounded(WAITING);
                let mine = batches.iter().skip(worker).step_by(workers);
                scope.spawn(move || work(segment, marks, mine, &answer));
                answers.push(answered);
            }
            for number in 0..batches.len() {
                let copied = answers[number % workers].recv();
                match copied.map_err(|_| Error::WorkerLost)? {
                    Ok(records) => records.iter().try_for_each(|record| self.append(record))?,
                    Err(LoadError::Damaged(_)) => return Ok(false),
                    Err(LoadError::Failed(error)) => return Err(error),
                }
            }
            Ok(true)
        })
    }

    fn append(&mut self, record: &Record) -> Result<()> {
        self.out.append(&self.store.inner.shelf, record).map(|_| ())
    }

    /// Makes the copies durable and visible; answers their size in bytes.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.out.commit()?;
        Ok(self.out.touched_bytes())
    }
}

fn work<'b>(
    segment: &Segment,
    marks: &Marks,
    batches: impl Iterator<Item = &'b &'b [u32]>,
    answer: &Sender<Copied>,
) {
    for batch in batches {
        let copied = repacked(segment, marks, batch);
        let failed = copied.is_err();
        // Nobody listens any more when another batch failed.
        if answer.send(copied).is_err() || failed {
            return;
        }
    }
}

/// Packs what lives in some records anew.
fn repacked(segment: &Segment, marks: &Marks, places: &[u32]) -> Copied {
    let mut batch = Batch {
        records: Vec::new(),
        chunks: FrameBuilder::new(RecordKind::Chunks),
        pieces: FrameBuilder::for_pieces(),
        nodes: FrameBuilder::new(RecordKind::Nodes),
    };
    for place in places {
        batch.take(segment, marks, *place)?;
    }
    let rest = [batch.chunks.take(), batch.pieces.take(), batch.nodes.take()];
    batch.records.extend(rest.into_iter().flatten());
    Ok(batch.records)
}

struct Batch {
    records: Vec<Record>,
    chunks: FrameBuilder,
    pieces: FrameBuilder,
    nodes: FrameBuilder,
}

impl Batch {
    fn take(&mut self, segment: &Segment, marks: &Marks, place: u32) -> Result<(), LoadError> {
        segment.with_body(place, |found, body| {
            let marked = marks.in_record(segment.number, place);
            let is_live = |slot: &usize| marked.is_some_and(|slots| slots.contains(*slot as u16));
            let live: Vec<usize> = (0..found.table.len()).filter(is_live).collect();
            if live.len() == found.table.len() {
                self.records.push(as_it_is(found, body));
                return Ok(());
            }
            self.pack(&decoded(found, body)?, &live)
        })?
    }

    fn pack(&mut self, frame: &Frame, live: &[usize]) -> Result<(), LoadError> {
        for slot in live {
            let slot = *slot as u16;
            let (Some(line), Some(bytes)) = (frame.line(slot), frame.verified(slot)) else {
                return Err(LoadError::Damaged("its bytes do not match its id"));
            };
            let builder = match frame.kind {
                RecordKind::Chunks if line.tag == TAG_PART => {
                    self.records.extend(self.pieces.push_piece(line.id, bytes));
                    continue;
                }
                RecordKind::Chunks => &mut self.chunks,
                RecordKind::Nodes => &mut self.nodes,
                kind => {
                    self.records.push(record_of(kind, vec![*line], bytes));
                    continue;
                }
            };
            if !builder.fits(bytes.len()) {
                self.records.extend(builder.take());
            }
            builder.push(line.id, line.tag, bytes);
        }
        Ok(())
    }
}

/// A record to be copied to the byte.
fn as_it_is(found: Found, body: &[u8]) -> Record {
    Record {
        kind: found.header.kind,
        codec: found.header.codec,
        table: found.table,
        raw: found.header.raw,
        body: body.to_vec(),
    }
}
