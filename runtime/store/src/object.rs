//! Single objects: found by id, read, verified; a damaged copy is passed over from then on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::frame::Frame;
use crate::index::IndexEntry;
use crate::quarantine::Damaged;
use crate::record::RecordKind;
use crate::segment::{LoadError, Segment, lock};
use crate::shelf::{Located, Want};
use crate::{Error, Id, Result, Store};

/// Damaged objects that are remembered by name.
const NAMED_DAMAGES: usize = 64;

/// A verified object inside a decoded frame.
#[derive(Debug)]
pub(crate) struct Object {
    frame: Arc<Frame>,
    slot: u16,
}

impl Object {
    pub(crate) fn bytes(&self) -> &[u8] {
        // Verified when the object was made; the frame cannot change.
        self.frame.verified(self.slot).unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> RecordKind {
        self.frame.kind
    }
}

impl Store {
    /// Finds a sound copy of an object, looking at the other processes' segments once on a miss.
    pub(crate) fn object(&self, id: &Id, want: Want) -> Result<Object> {
        if let Some(object) = self.object_at_once(id, want) {
            return Ok(object);
        }
        let (mut damage, mut failed) = (None, None);
        for attempt in 0..2 {
            for copy in self.inner.shelf.locate(id, want)? {
                match self.object_at(&copy, id) {
                    Ok(object) => return Ok(object),
                    Err(error @ Error::Damaged { .. }) => damage = Some(error),
                    // Another copy may lie where the disk can be read.
                    Err(error) => failed = Some(error),
                }
            }
            if attempt == 0 {
                self.refresh()?;
            }
        }
        Err(match failed.or(damage) {
            Some(error) => error,
            None => self
                .known_damage(id, want)?
                .unwrap_or(Error::NotFound { id: *id }),
        })
    }

    /// Reads the first copy that an index names; `None` unless that is sound.
    ///
    /// The table line that confirms it comes with the record, where [`Shelf::locate`] reads it by itself.
    ///
    /// [`Shelf::locate`]: crate::shelf::Shelf::locate
    fn object_at_once(&self, id: &Id, want: Want) -> Option<Object> {
        let mut entries = Vec::new();
        for segment in self.inner.shelf.segments().iter() {
            segment.find(id.prefix(), &mut entries);
            let Some(entry) = entries.iter().find(|entry| want.accepts(entry)) else {
                entries.clear();
                continue;
            };
            let frame = self.frame(segment, entry.place).ok()?;
            let slot = entry.slot;
            return is_sound(&frame, entry, id).then_some(Object { frame, slot });
        }
        None
    }

    /// The decoded record at a place, from the cache or from the disk.
    fn frame(&self, segment: &Segment, place: u32) -> Result<Arc<Frame>, LoadError> {
        let key = (segment.number, place);
        if let Some(frame) = self.inner.frames.get(key) {
            return Ok(frame);
        }
        let frame = Arc::new(segment.load(place)?);
        self.inner.frames.insert(key, &frame);
        Ok(frame)
    }

    /// Reads one copy of an object. A damaged copy is passed over from then on.
    pub(crate) fn object_at(&self, copy: &Located, id: &Id) -> Result<Object> {
        let (segment, entry) = (&copy.segment, &copy.entry);
        let frame = self.frame(segment, entry.place);
        let reason = match frame {
            Ok(frame) if is_sound(&frame, entry, id) => {
                return Ok(Object {
                    frame,
                    slot: entry.slot,
                });
            }
            Ok(_) => "its bytes do not match its id",
            Err(LoadError::Failed(error)) => return Err(error),
            Err(LoadError::Damaged(reason)) => reason,
        };
        self.inner.frames.remove((segment.number, entry.place));
        if segment.suspect(entry, reason) {
            self.met_damage(id, copy, reason)?;
        }
        let (segment, offset) = (segment.name(), entry.offset());
        Err(Error::Damaged {
            id: *id,
            segment,
            offset,
            reason,
        })
    }

    /// Tells everybody about a damaged copy, so that its object is healed from wherever it came.
    fn met_damage(&self, id: &Id, copy: &Located, reason: &str) -> Result<()> {
        let (segment, offset) = (copy.segment.name(), copy.entry.offset());
        tracing::warn!(%segment, offset, reason, "a stored object is damaged");
        self.inner.damages_met.fetch_add(1, Ordering::Relaxed);
        let mut damaged = lock(&self.inner.damaged);
        if damaged.len() < NAMED_DAMAGES {
            damaged.insert(*id);
        }
        drop(damaged);
        // A stat cache that vouches for this object must ask again.
        self.inner.locks.advance_epoch()?;
        let mut damaged = Damaged::default();
        // Once more from the disk: what is damaged in memory only is no reason to forget it.
        if copy.is_damaged()? {
            damaged.add(&copy.segment, copy.spot());
        }
        // A store that cannot be written to is passed over by this process alone.
        if let Err(error) = self.quarantine(&damaged) {
            tracing::debug!(%error, "a damaged object was not quarantined");
        }
        Ok(())
    }

    /// Tells why nothing sound is left of an object, if a copy was found damaged before.
    pub(crate) fn known_damage(&self, id: &Id, want: Want) -> Result<Option<Error>> {
        for segment in self.inner.shelf.segments().iter() {
            for (entry, reason) in segment.find_suspects(id.prefix()) {
                if want.accepts(&entry) && segment.confirm(&entry, id)?.is_some() {
                    let (segment, offset) = (segment.name(), entry.offset());
                    return Ok(Some(Error::Damaged {
                        id: *id,
                        segment,
                        offset,
                        reason,
                    }));
                }
            }
        }
        Ok(None)
    }
}

/// Says whether a frame has the object that an index entry leads to, and its bytes are what the id says.
fn is_sound(frame: &Frame, entry: &IndexEntry, id: &Id) -> bool {
    let line = frame.line(entry.slot);
    line.is_some_and(|line| line.id == *id && line.tag == entry.tag)
        && frame.verified(entry.slot).is_some()
}
