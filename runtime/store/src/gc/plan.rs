//! Which segments go, which stay, and what is taken back in those that stay.

use std::sync::Arc;

use super::GcReport;
use super::mark::Marks;
use crate::control::Spot;
use crate::record::RecordKind;
use crate::segment::Segment;
use crate::{Result, Store};

/// How much of a segment is live.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) segment: Arc<Segment>,
    pub(crate) live_bytes: u64,
    /// Dead objects that could still be found and built upon: everything but chunks.
    pub(crate) to_forget: Vec<Spot>,
    /// Records with live objects, in order.
    pub(crate) live_records: Vec<u32>,
    /// A live object lies in a record that does not check.
    pub(crate) has_damaged_live: bool,
}

/// What a sweep does.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) condemned: Vec<Survey>,
    pub(crate) kept: Vec<Survey>,
}

impl Plan {
    pub(crate) fn live_bytes(&self) -> u64 {
        self.condemned
            .iter()
            .chain(&self.kept)
            .map(|survey| survey.live_bytes)
            .sum()
    }

    /// Fills in what a sweep would probably do.
    pub(crate) fn foretell(&self, report: &mut GcReport) {
        for survey in &self.condemned {
            report.segments_removed += 1;
            report.segments_rewritten += u64::from(!survey.live_records.is_empty());
            report.freed_bytes += survey.segment.committed().saturating_sub(survey.live_bytes);
        }
    }
}

/// Decides about every segment: less than half live means that the rest is copied elsewhere.
pub(crate) fn plan(store: &Store, marks: &Marks) -> Result<Plan> {
    let mut plan = Plan {
        condemned: Vec::new(),
        kept: Vec::new(),
    };
    for segment in store.inner.shelf.segments().iter() {
        let survey = survey(segment, marks)?;
        let thin = survey.live_bytes * 2 < segment.committed();
        if thin && !survey.has_damaged_live {
            plan.condemned.push(survey);
        } else {
            plan.kept.push(survey);
        }
    }
    Ok(plan)
}

/// Measures one segment.
pub(crate) fn survey(segment: &Arc<Segment>, marks: &Marks) -> Result<Survey> {
    let mut survey = Survey {
        segment: Arc::clone(segment),
        live_bytes: 0,
        to_forget: Vec::new(),
        live_records: Vec::new(),
        has_damaged_live: false,
    };
    let entries = segment.entries();
    for record in entries.chunk_by(|a, b| a.place == b.place) {
        let Some(place) = record.first().map(|entry| entry.place) else {
            continue;
        };
        let mut live = Vec::new();
        for entry in record {
            let spot = (entry.place, entry.slot);
            if marks.is_live(segment.number, spot) {
                live.push(entry.slot);
            } else if entry.kind != RecordKind::Chunks.code() {
                survey.to_forget.push(spot);
            }
        }
        if live.is_empty() {
            continue;
        }
        survey.live_records.push(place);
        match segment.outline(place)? {
            Some(found) => {
                let len = |slot: &u16| {
                    found
                        .table
                        .get(usize::from(*slot))
                        .map_or(0, |line| line.len)
                };
                let live: u64 = live.iter().map(|slot| u64::from(len(slot))).sum();
                let raw = u64::from(found.header.raw).max(1);
                survey.live_bytes += found.header.record_len() * live / raw;
            }
            None => survey.has_damaged_live = true,
        }
    }
    Ok(survey)
}
