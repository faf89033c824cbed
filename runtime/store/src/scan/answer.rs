//! Turns what a walk found into answers.

use super::fill::Tally;
use super::paths::key;
use super::types::{PathsReport, Scanned};
use super::walk::Found;

/// Puts everything in order: a directory, then its names in byte order with all below each.
pub(super) fn in_order(mut dirs: Vec<Found>) -> Vec<Scanned> {
    let rows = |dir: &Found| dir.rows.as_ref().map_or(0, Vec::len);
    let total = dirs.iter().map(rows).sum::<usize>() + 1;
    let mut entries = Vec::with_capacity(total);
    let mut open = Vec::new();
    let enter = |dirs: &mut Vec<Found>, entries: &mut Vec<Scanned>, number: u32| {
        let dir = dirs.get_mut(number as usize)?;
        entries.extend(dir.scanned.take());
        let rows = dir.rows.take().unwrap_or_default();
        let children = std::mem::take(&mut dir.children);
        Some((rows.into_iter(), children.into_iter()))
    };
    open.extend(enter(&mut dirs, &mut entries, 0));
    while let Some((rows, children)) = open.last_mut() {
        let Some(row) = rows.next() else {
            open.pop();
            continue;
        };
        if row.kind != super::cache::RowKind::Dir {
            entries.extend(row.scanned);
        } else if let Some(child) = children.next() {
            open.extend(enter(&mut dirs, &mut entries, child));
        }
    }
    entries
}

/// Gathers what a walk that leaves out what is as in the cache found.
pub(super) fn changes(dirs: Vec<Found>, tally: Tally) -> PathsReport {
    let mut report = PathsReport {
        notes: tally.notes,
        counts: tally.counts,
        gone: tally.lost,
        ..PathsReport::default()
    };
    for dir in dirs {
        let rows = dir.rows.into_iter().flatten();
        report.present.extend(dir.scanned);
        report.present.extend(rows.filter_map(|row| row.scanned));
        report.gone.extend(dir.gone);
    }
    report.gone.retain(|path| !path.is_empty());
    report.gone.sort_unstable();
    report.present.sort_by_cached_key(|entry| key(&entry.path));
    report
}
