//! Which segments go, which stay, and what is taken back in those that stay.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use super::mark::Marks;
use super::{GcOptions, GcReport};
use crate::control::Spot;
use crate::locks::condemned::Condemned;
use crate::record::RecordKind;
use crate::segment::Segment;
use crate::{Error, Result};

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
    /// The segment's file, locked against writers; none yet, or one of them has it.
    pub(crate) lock: Option<File>,
    /// What it follows from: the marks, which only become more, and what can be seen of the segment.
    basis: (u64, u64),
}

/// What a sweep does.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Segments to be removed.
    pub(crate) going: Vec<Survey>,
    pub(crate) staying: Vec<Survey>,
}

impl Plan {
    pub(crate) fn live_bytes(&self) -> u64 {
        let all = self.going.iter().chain(&self.staying);
        all.map(|survey| survey.live_bytes).sum()
    }

    /// Fills in what a sweep would probably do.
    pub(crate) fn foretell(&self, report: &mut GcReport) {
        for survey in &self.going {
            report.segments_removed += 1;
            report.segments_rewritten += u64::from(!survey.live_records.is_empty());
            report.freed_bytes += survey.segment.committed().saturating_sub(survey.live_bytes);
        }
    }

    /// Keeps writers out of all segments that are to be changed. Those that a writer has now are
    /// left as they are; answers how many.
    pub(crate) fn lock(&mut self) -> Result<u64> {
        let mut busy = Vec::new();
        for survey in std::mem::take(&mut self.going) {
            match survey.locked()? {
                (survey, true) => self.going.push(survey),
                (survey, false) => busy.push(survey),
            }
        }
        for survey in std::mem::take(&mut self.staying) {
            if survey.to_forget.is_empty() {
                self.staying.push(survey);
                continue;
            }
            match survey.locked()? {
                (survey, true) => self.staying.push(survey),
                (survey, false) => busy.push(survey),
            }
        }
        let count = busy.len() as u64;
        self.staying.extend(busy.into_iter().map(|survey| Survey {
            to_forget: Vec::new(),
            ..survey
        }));
        Ok(count)
    }

    /// What nobody may begin to rely on from now on.
    pub(crate) fn condemned(&self) -> Condemned {
        let spots = self
            .staying
            .iter()
            .filter(|survey| !survey.to_forget.is_empty());
        Condemned {
            segments: self.going.iter().map(|survey| survey.segment.id).collect(),
            spots: spots
                .map(|survey| {
                    let spots: HashSet<Spot> = survey.to_forget.iter().copied().collect();
                    (survey.segment.id, spots)
                })
                .collect(),
        }
    }
}

/// Decides about every segment: less than half live means that the rest is copied elsewhere; less
/// than nine tenths, when there is more than a budget allows or that is asked for.
pub(crate) fn plan(segments: &[Arc<Segment>], marks: &Marks, options: &GcOptions) -> Result<Plan> {
    let bytes: u64 = segments.iter().map(|segment| segment.committed()).sum();
    let budget = options.budget.as_ref();
    let is_tight = budget.is_some_and(|budget| bytes > budget.max_bytes);
    let tenths = if is_tight || options.thorough { 9 } else { 5 };
    let mut plan = Plan {
        going: Vec::new(),
        staying: Vec::new(),
    };
    for segment in segments {
        let survey = survey(segment, marks)?;
        let thin = survey.live_bytes * 10 < segment.committed() * tenths;
        if thin && !survey.has_damaged_live {
            plan.going.push(survey);
        } else {
            plan.staying.push(survey);
        }
    }
    Ok(plan)
}

impl Survey {
    /// Measures again, unless nothing was marked and nothing appended since.
    pub(crate) fn renewed(self, marks: &Marks) -> Result<Survey> {
        if self.basis == basis(&self.segment, marks) {
            return Ok(self);
        }
        Ok(Survey {
            lock: self.lock,
            ..survey(&self.segment, marks)?
        })
    }

    /// Takes the lock of the segment unless a writer has it; answers whether it did.
    fn locked(mut self) -> Result<(Survey, bool)> {
        let path = &self.segment.path;
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let file = opened.map_err(Error::io("open", path))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok((self, false));
        }
        self.lock = Some(file);
        Ok((self, true))
    }
}

fn basis(segment: &Segment, marks: &Marks) -> (u64, u64) {
    (marks.objects(), segment.committed())
}

/// Measures one segment.
pub(crate) fn survey(segment: &Arc<Segment>, marks: &Marks) -> Result<Survey> {
    let mut survey = Survey {
        segment: Arc::clone(segment),
        live_bytes: 0,
        to_forget: Vec::new(),
        live_records: Vec::new(),
        has_damaged_live: false,
        lock: None,
        basis: basis(segment, marks),
    };
    let entries = segment.entries();
    for record in entries.chunk_by(|a, b| a.place == b.place) {
        let Some(place) = record.first().map(|entry| entry.place) else {
            continue;
        };
        let marked = marks.in_record(segment.number, place);
        let mut live = Vec::new();
        for entry in record {
            if marked.is_some_and(|slots| slots.contains(entry.slot)) {
                live.push(entry.slot);
            } else if entry.kind != RecordKind::Chunks.code() {
                survey.to_forget.push((entry.place, entry.slot));
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
