//! Reads the records of a segment from its bytes alone: recovery, tails and lost indexes.
//!
//! A record counts once a COMMIT behind it checks: right segment, right place, an unbroken chain
//! over all headers of its extent. What follows the last COMMIT is a tail that its claimant cuts.
//! A damaged header costs the records of its own extent only; later commits still count.

use std::fs::File;
use std::io;

use crate::control::{Commit, SegmentId, Spot, decode_forget, extend_chain};
use crate::index::IndexEntry;
use crate::record::{HEADER_LEN, Header, RecordKind};
use crate::stored::{Found, read_body, read_header, read_up_to};

/// What the bytes of a segment say from some commit on.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Replay {
    /// Committed objects, in the order of the segment.
    pub(crate) entries: Vec<IndexEntry>,
    /// Objects taken back by committed FORGET records.
    pub(crate) forgotten: Vec<Spot>,
    /// Committed records.
    pub(crate) records: usize,
    /// End of the last commit.
    pub(crate) committed: u64,
    /// Offsets of bad headers before `committed`.
    pub(crate) damages: Vec<u64>,
}

/// The extent that is being read.
#[derive(Debug, Default)]
struct Extent {
    start: u64,
    chain: u32,
    records: u32,
    entries: Vec<IndexEntry>,
    forgotten: Vec<Spot>,
}

impl Extent {
    fn starting_at(start: u64) -> Extent {
        Extent {
            start,
            ..Extent::default()
        }
    }

    fn take(&mut self, offset: u64, found: &Found) {
        self.chain = extend_chain(self.chain, found.header.header_crc);
        self.records += 1;
        let place = (offset / 8) as u32;
        let kind = found.header.kind.code();
        self.entries.extend(
            found
                .table
                .iter()
                .enumerate()
                .map(|(slot, line)| IndexEntry {
                    prefix: line.id.prefix(),
                    place,
                    slot: slot as u16,
                    kind,
                    tag: line.tag,
                }),
        );
    }

    fn is_closed_by(&self, commit: &Commit) -> bool {
        (commit.start, commit.records, commit.chain) == (self.start, self.records, self.chain)
    }
}

/// Replays `file` from `from` (the end of a commit, or of the segment header) up to `len`.
pub(crate) fn replay(file: &File, segment: &SegmentId, from: u64, len: u64) -> io::Result<Replay> {
    let mut out = Replay {
        committed: from,
        ..Replay::default()
    };
    let mut extent = Extent::starting_at(from);
    let mut at = from;
    while at + HEADER_LEN as u64 <= len {
        let step = read_record(file, segment, at, len)?;
        match step {
            Some(Step::Record(found, forgotten)) => {
                extent.take(at, &found);
                extent.forgotten.extend(forgotten);
                at += found.header.record_len();
                continue;
            }
            Some(Step::Commit(commit, end)) if extent.is_closed_by(&commit) => {
                out.entries.append(&mut extent.entries);
                out.forgotten.append(&mut extent.forgotten);
                out.records += extent.records as usize;
                out.committed = end;
                at = end;
                extent = Extent::starting_at(end);
                continue;
            }
            _ => {}
        }
        // Bad here. If a later commit exists this is damage, else it is the uncommitted tail.
        let Some((commit, end)) = next_commit(file, segment, at + 8, len)? else {
            break;
        };
        out.damages.push(at);
        at = if commit.start > at { commit.start } else { end };
        extent = Extent::starting_at(at);
        out.committed = out.committed.max(at);
    }
    Ok(out)
}

enum Step {
    Record(Found, Vec<Spot>),
    Commit(Commit, u64),
}

fn read_record(file: &File, segment: &SegmentId, at: u64, len: u64) -> io::Result<Option<Step>> {
    let Some(found) = read_header(file, at, len)? else {
        return Ok(None);
    };
    let header = found.header;
    Ok(match header.kind {
        RecordKind::Commit => read_commit(file, segment, at, &header)?
            .map(|commit| Step::Commit(commit, at + header.record_len())),
        RecordKind::Forget => {
            read_body(file, at, &header)?.map(|body| Step::Record(found, decode_forget(&body)))
        }
        _ => Some(Step::Record(found, Vec::new())),
    })
}

fn read_commit(
    file: &File,
    segment: &SegmentId,
    at: u64,
    header: &Header,
) -> io::Result<Option<Commit>> {
    let commit = read_body(file, at, header)?.and_then(|body| Commit::decode(&body));
    Ok(
        commit
            .filter(|commit| commit.segment == *segment && commit.end == at && commit.start <= at),
    )
}

/// Looks for the next COMMIT of this segment at or after `from`.
fn next_commit(
    file: &File,
    segment: &SegmentId,
    from: u64,
    len: u64,
) -> io::Result<Option<(Commit, u64)>> {
    const WINDOW: usize = 1 << 20;
    let mut window = vec![0; WINDOW];
    let mut start = from.next_multiple_of(8);
    while start + HEADER_LEN as u64 <= len {
        let got = read_up_to(file, &mut window, start)?;
        for at in (0..got.saturating_sub(HEADER_LEN - 1)).step_by(8) {
            let offset = start + at as u64;
            let Some(header) = Header::decode(&window[at..], offset) else {
                continue;
            };
            if header.kind != RecordKind::Commit || read_header(file, offset, len)?.is_none() {
                continue;
            }
            if let Some(commit) = read_commit(file, segment, offset, &header)? {
                return Ok(Some((commit, offset + header.record_len())));
            }
        }
        // Headers that straddle two windows are seen in the second.
        start += (WINDOW - HEADER_LEN) as u64;
    }
    Ok(None)
}
