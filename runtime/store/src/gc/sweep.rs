//! Carries a plan out, once nobody can rely on what is condemned and not marked.

use std::fs;
use std::sync::Arc;

use super::GcReport;
use super::copier::Copier;
use super::mark::Marks;
use super::plan::{Plan, Survey};
use crate::appender::append_forget;
use crate::control::Spot;
use crate::durable::{remove_if_there, sync_dir};
use crate::locks::condemned::Condemned;
use crate::segment::Segment;
use crate::{Result, Store};

/// What a sweep did.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) live_bytes: u64,
    removed_bytes: u64,
    written_bytes: u64,
    removed: u64,
    rewritten: u64,
    kept_damaged: u64,
}

impl Swept {
    pub(crate) fn tell(&self, report: &mut GcReport) {
        report.freed_bytes = self.removed_bytes.saturating_sub(self.written_bytes);
        report.segments_removed = self.removed;
        report.segments_rewritten = self.rewritten;
        report.segments_kept_damaged = self.kept_damaged;
    }
}

/// Takes back, copies, and removes, in this order. Every segment to be changed is locked.
pub(crate) fn sweep(
    store: &Store,
    marks: &Marks,
    plan: Plan,
    condemned: &Condemned,
) -> Result<Swept> {
    let mut swept = Swept::default();
    let staying = measured(plan.staying, marks)?;
    let (dead, thin): (Vec<Survey>, Vec<Survey>) = measured(plan.going, marks)?
        .into_iter()
        .partition(|survey| survey.live_records.is_empty());
    // What else is dead must be forgotten first, in the thin ones too: copying them may yet fail.
    let mut to_forget: Vec<(&Survey, Vec<Spot>)> = Vec::new();
    for survey in &staying {
        let mut spots = survey.to_forget.clone();
        spots.retain(|spot| condemned.names(&survey.segment.id, *spot));
        to_forget.push((survey, spots));
        swept.live_bytes += survey.live_bytes;
        swept.kept_damaged += u64::from(survey.has_damaged_live);
    }
    for survey in thin.iter().filter(|_| !dead.is_empty()) {
        to_forget.push((survey, survey.to_forget.clone()));
    }
    for (survey, spots) in to_forget {
        forget(survey, &spots)?;
    }
    // Wholly dead segments go before others are copied: that makes room on a full disk.
    remove_all(&dead, &mut swept)?;
    let mut copier = Copier::new(store, marks);
    let mut copied = Vec::new();
    for survey in thin {
        swept.live_bytes += survey.live_bytes;
        if copier.copy(&survey)? {
            copied.push(survey);
        } else {
            swept.kept_damaged += 1;
            forget(&survey, &survey.to_forget)?;
        }
    }
    swept.written_bytes = copier.finish()?;
    swept.rewritten = copied.len() as u64;
    remove_all(&copied, &mut swept)?;
    Ok(swept)
}

/// Measures again, with the marks that count.
fn measured(surveys: Vec<Survey>, marks: &Marks) -> Result<Vec<Survey>> {
    let again = |survey: Survey| survey.renewed(marks);
    surveys.into_iter().map(again).collect()
}

fn forget(survey: &Survey, spots: &[Spot]) -> Result<()> {
    match &survey.lock {
        Some(lock) if !spots.is_empty() => append_forget(&survey.segment, lock, spots),
        _ => Ok(()),
    }
}

fn remove_all(surveys: &[Survey], swept: &mut Swept) -> Result<()> {
    for survey in surveys {
        swept.removed_bytes += remove(&survey.segment)?;
        swept.removed += 1;
    }
    Ok(())
}

/// Removes a segment. Whoever has it open reads on.
pub(crate) fn remove(segment: &Arc<Segment>) -> Result<u64> {
    let len = fs::metadata(&segment.path).map_or(0, |meta| meta.len());
    // The index goes last: one without a segment is swept, one without an index is built anew.
    remove_if_there(&segment.path)?;
    remove_if_there(&segment.index_path())?;
    if let Some(shard) = segment.path.parent() {
        sync_dir(shard)?;
    }
    Ok(len)
}
