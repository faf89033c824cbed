//! Looks for damage, and for what it affects.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::idhash::IdBuildHasher;
use crate::index::IndexEntry;
use crate::pool::BadCopy;
use crate::quarantine::Damaged;
use crate::refs::BadRef;
use crate::segment::{LoadError, Segment};
use crate::shelf::{Located, Want};
use crate::walk::{Visitor, Walk};
use crate::{Error, Id, Links, RefRecord, Result, Store};

/// Says how thoroughly to look.
#[derive(Clone, Copy, Default)]
pub struct VerifyOptions<'a> {
    /// Read, decode and hash every object; otherwise headers and reachability only.
    pub read_data: bool,
    /// Follows the references, to name what is missing and what a damage affects.
    pub links: Option<&'a dyn Links>,
}

impl std::fmt::Debug for VerifyOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let links = self.links.is_some();
        f.debug_struct("VerifyOptions")
            .field("read_data", &self.read_data)
            .field("links", &links)
            .finish()
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// The segment, or empty for something that is not stored at all.
    pub segment: String,
    /// Where the damaged record starts, in bytes.
    pub offset: u64,
    /// The object, as far as it can still be told.
    pub id: Option<Id>,
    /// What is wrong.
    pub reason: String,
    /// References that lead to it.
    pub reached_by: Vec<String>,
    /// True when another, sound copy is stored: nothing is lost.
    pub has_good_copy: bool,
}

/// Answers a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// What is damaged or missing, by place.
    pub damages: Vec<Damage>,
    /// Segments looked at.
    pub segments: u64,
    /// Records looked at.
    pub records: u64,
    /// Objects looked at.
    pub objects: u64,
    /// Bytes of objects hashed.
    pub bytes: u64,
    /// Raw copies hashed.
    pub copies: u64,
    /// Raw copies that were damaged, and have been removed.
    pub bad_copies: Vec<BadCopy>,
    /// References that cannot be understood.
    pub bad_refs: Vec<BadRef>,
}

impl VerifyReport {
    /// Tells whether all was as it should be.
    pub fn is_clean(&self) -> bool {
        self.damages.is_empty() && self.bad_copies.is_empty() && self.bad_refs.is_empty()
    }
}

impl Store {
    /// Checks the store; damaged copies are passed over by reads and healed by writes from then on.
    ///
    /// # Errors
    /// I/O errors; damage is an answer, not an error.
    pub fn verify(&self, options: &VerifyOptions<'_>) -> Result<VerifyReport> {
        let _hold = self.hold()?;
        Ok(self.check(options)?.report)
    }

    /// Checks the store; the caller holds it.
    pub(crate) fn check(&self, options: &VerifyOptions<'_>) -> Result<Checked> {
        let mut checked = check_segments(self, options.read_data)?;
        let report = &mut checked.report;
        for damage in &mut report.damages {
            if let Some(id) = &damage.id {
                damage.has_good_copy = self.inner.shelf.has_sound(id, Want::Anything)?;
            }
        }
        let refs = self.refs_found()?;
        report.bad_refs = refs.bad;
        if let Some(links) = options.links {
            follow_refs(self, links, &refs.sound, report)?;
        }
        if !report.damages.is_empty() {
            // Stat caches ask again, so that the next scan heals what it can.
            self.inner.locks.advance_epoch()?;
        }
        report.damages.sort();
        if options.read_data {
            let copies = self.check_copies()?;
            report.bytes += copies.bytes;
            (report.copies, report.bad_copies) = (copies.copies, copies.bad);
        }
        Ok(checked)
    }
}

/// What a check found, and where.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) report: VerifyReport,
    pub(crate) damaged: Damaged,
    /// Segments with headers that do not check.
    pub(crate) torn: Vec<Arc<Segment>>,
}

fn check_segments(store: &Store, read_data: bool) -> Result<Checked> {
    let segments = store.inner.shelf.segments();
    let next = AtomicUsize::new(0);
    let work = || -> Result<Checked> {
        let mut checked = Checked::default();
        while let Some(segment) = segments.get(next.fetch_add(1, Ordering::Relaxed)) {
            check_segment(segment, read_data, &mut checked)?;
        }
        Ok(checked)
    };
    std::thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        let mut whole = Checked::default();
        for worker in workers {
            let part = worker.join().map_err(|_| Error::WorkerLost)??;
            whole.damaged.append(part.damaged);
            whole.torn.extend(part.torn);
            let (report, part) = (&mut whole.report, part.report);
            report.damages.extend(part.damages);
            report.segments += part.segments;
            report.records += part.records;
            report.objects += part.objects;
            report.bytes += part.bytes;
        }
        Ok(whole)
    })
}

fn check_segment(segment: &Arc<Segment>, read_data: bool, checked: &mut Checked) -> Result<()> {
    checked.report.segments += 1;
    let entries = segment.entries();
    let mut bad_places = HashSet::new();
    for record in entries.chunk_by(|a, b| a.place == b.place) {
        checked.report.records += 1;
        checked.report.objects += record.len() as u64;
        let before = checked.report.damages.len();
        check_record(segment, record, read_data, checked)?;
        if checked.report.damages.len() > before {
            bad_places.extend(record.first().map(IndexEntry::offset));
        }
    }
    let torn = segment.replay_all()?.damages;
    if !torn.is_empty() {
        checked.torn.push(Arc::clone(segment));
    }
    for offset in torn {
        if !bad_places.contains(&offset) {
            checked.report.damages.push(damage(
                segment,
                offset,
                None,
                "a record header does not check",
            ));
        }
    }
    Ok(())
}

fn damage(segment: &Segment, offset: u64, id: Option<Id>, reason: &str) -> Damage {
    Damage {
        segment: segment.name(),
        offset,
        id,
        reason: reason.to_owned(),
        reached_by: Vec::new(),
        has_good_copy: false,
    }
}

fn check_record(
    segment: &Arc<Segment>,
    record: &[IndexEntry],
    read_data: bool,
    checked: &mut Checked,
) -> Result<()> {
    let Checked {
        report, damaged, ..
    } = checked;
    let Some(place) = record.first().map(|entry| entry.place) else {
        return Ok(());
    };
    let outline = segment.outline(place)?;
    let mut bad = |entry: &IndexEntry, reason: &'static str| -> Result<()> {
        segment.suspect(entry, reason);
        damaged.add(segment, (entry.place, entry.slot));
        let id = match &outline {
            Some(found) => found.table.get(usize::from(entry.slot)).map(|line| line.id),
            None => segment.raw_line(entry)?,
        };
        report
            .damages
            .push(damage(segment, entry.offset(), id, reason));
        Ok(())
    };
    if outline.is_none() {
        return record
            .iter()
            .try_for_each(|entry| bad(entry, "its record header does not check"));
    }
    if !read_data {
        return Ok(());
    }
    match segment.load(place) {
        Ok(frame) => {
            for entry in record {
                match frame.verified(entry.slot) {
                    Some(bytes) => report.bytes += bytes.len() as u64,
                    None => bad(entry, "its bytes do not match its id")?,
                }
            }
            Ok(())
        }
        Err(LoadError::Failed(error)) => Err(error),
        Err(LoadError::Damaged(reason)) => record.iter().try_for_each(|entry| bad(entry, reason)),
    }
}

/// Notes which of the damaged objects a reference leads to, and what it leads to in vain.
struct Affected<'a> {
    damaged: &'a HashSet<Id, IdBuildHasher>,
    name: &'a str,
    met: &'a mut BTreeMap<Id, BTreeSet<String>>,
    lost: &'a mut BTreeMap<Id, String>,
}

impl Affected<'_> {
    fn meet(&mut self, id: &Id) {
        self.met
            .entry(*id)
            .or_default()
            .insert(self.name.to_owned());
    }
}

impl Visitor for Affected<'_> {
    fn found(&mut self, id: &Id, _copy: &Located) {
        if self.damaged.contains(id) {
            self.meet(id);
        }
    }

    fn lost(&mut self, id: &Id, why: Option<Error>) -> Result<()> {
        self.meet(id);
        if !self.damaged.contains(id) {
            let reason = why.map_or("it is not in the store".to_owned(), |why| why.to_string());
            self.lost.insert(*id, reason);
        }
        Ok(())
    }
}

fn follow_refs(
    store: &Store,
    links: &dyn Links,
    refs: &[(String, RefRecord)],
    report: &mut VerifyReport,
) -> Result<()> {
    let damaged = report
        .damages
        .iter()
        .filter_map(|damage| damage.id)
        .collect();
    let (mut met, mut lost) = (BTreeMap::new(), BTreeMap::new());
    let mut walk = Walk::new(store, links);
    for (name, record) in refs {
        if !HashSet::is_empty(&damaged) {
            // Every reference has to meet what another one has met already.
            walk.restart();
        }
        let mut visitor = Affected {
            damaged: &damaged,
            name,
            met: &mut met,
            lost: &mut lost,
        };
        walk.visit(&record.links, &mut visitor)?;
    }
    for (id, reason) in lost {
        let missing = Damage {
            segment: String::new(),
            offset: 0,
            id: Some(id),
            reason,
            reached_by: Vec::new(),
            has_good_copy: false,
        };
        report.damages.push(missing);
    }
    for damage in &mut report.damages {
        let names = damage.id.and_then(|id| met.get(&id));
        damage.reached_by = names.into_iter().flatten().cloned().collect();
    }
    Ok(())
}
