//! Takes damaged copies out of sight, for good and for every process.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use crate::appender::append_forget;
use crate::control::Spot;
use crate::segment::Segment;
use crate::{Error, Result, Store};

/// Copies that turned out to be damaged, by segment.
#[derive(Debug, Default)]
pub(crate) struct Damaged {
    spots: BTreeMap<String, (Arc<Segment>, Vec<Spot>)>,
}

impl Damaged {
    pub(crate) fn add(&mut self, segment: &Arc<Segment>, spot: Spot) {
        let entry = self.spots.entry(segment.name());
        let (_, spots) = entry.or_insert_with(|| (Arc::clone(segment), Vec::new()));
        spots.push(spot);
    }

    pub(crate) fn append(&mut self, other: Damaged) {
        for (name, (segment, mut spots)) in other.spots {
            let entry = self.spots.entry(name);
            let (_, known) = entry.or_insert_with(|| (segment, Vec::new()));
            known.append(&mut spots);
        }
    }
}

impl Store {
    /// Quarantines damaged copies: whoever looks an object up from now on does not find them, so
    /// that it is written again, fetched or made again. Answers how many could be; a segment that
    /// a writer holds is left for another time.
    pub(crate) fn quarantine(&self, damaged: &Damaged) -> Result<u64> {
        let mut count = 0;
        for (segment, spots) in damaged.spots.values() {
            let path = &segment.path;
            let opened = OpenOptions::new().read(true).write(true).open(path);
            let file = opened.map_err(Error::io("open", path))?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                append_forget(segment, &file, spots)?;
                count += spots.len() as u64;
            }
        }
        if count > 0 {
            // Whoever remembers that something is stored asks again.
            self.inner.locks.advance_epoch()?;
        }
        Ok(count)
    }
}
