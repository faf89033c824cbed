//! What a collection is about to remove, told to whoever begins a transaction meanwhile.
//!
//! ```text
//! lock/condemned   0 "hdcond01"   8 CRC32C of what follows (u32)   12 segments (u32)
//!                  16 their ids (16 each)   then per segment that stays: id (16), objects (u32),
//!                  per object offset of its record / 8 (u32) and its line (u32)
//! ```
//! It is not synced: after a power cut there is neither a collection nor a transaction left.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use crate::control::{SegmentId, Spot};
use crate::durable::{Durability, remove_if_there, replace};
use crate::record::u32_at;
use crate::{Error, Result};

const MAGIC: [u8; 8] = *b"hdcond01";
const HEAD: usize = 16;

/// Copies of objects that a collection found dead. Nobody may begin to rely on one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Condemned {
    /// Segments of which no copy may be relied on.
    pub(crate) segments: HashSet<SegmentId>,
    /// Single copies in segments that stay.
    pub(crate) spots: HashMap<SegmentId, HashSet<Spot>>,
}

impl Condemned {
    /// Says whether a copy may be relied on.
    pub(crate) fn allows(&self, segment: &SegmentId, spot: Spot) -> bool {
        !self.segments.contains(segment) && !self.names(segment, spot)
    }

    /// Says whether a single copy of a segment that stays is named.
    pub(crate) fn names(&self, segment: &SegmentId, spot: Spot) -> bool {
        self.spots
            .get(segment)
            .is_some_and(|spots| spots.contains(&spot))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.spots.is_empty()
    }

    pub(crate) fn publish(&self, path: &Path) -> Result<()> {
        replace(path, &self.encode(), Durability::Derived)
    }

    /// Takes the list back: what it named is gone, or stays after all.
    pub(crate) fn withdraw(path: &Path) -> Result<()> {
        remove_if_there(path).map(drop)
    }

    /// Reads the list; an empty one when there is none, or none that was written whole.
    pub(crate) fn read(path: &Path) -> Result<Condemned> {
        match fs::read(path) {
            Ok(bytes) => Ok(Condemned::decode(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Condemned::default()),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend_from_slice(&(self.segments.len() as u32).to_le_bytes());
        self.segments
            .iter()
            .for_each(|id| body.extend_from_slice(id));
        for (segment, spots) in &self.spots {
            body.extend_from_slice(segment);
            body.extend_from_slice(&(spots.len() as u32).to_le_bytes());
            for (place, slot) in spots {
                body.extend_from_slice(&place.to_le_bytes());
                body.extend_from_slice(&u32::from(*slot).to_le_bytes());
            }
        }
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        file.append(&mut body);
        file
    }

    fn decode(bytes: &[u8]) -> Option<Condemned> {
        if bytes.len() < HEAD || bytes[..8] != MAGIC {
            return None;
        }
        if crc32c::crc32c(&bytes[12..]) != u32_at(bytes, 8) {
            return None;
        }
        let mut rest = Cursor(&bytes[12..]);
        let mut found = Condemned::default();
        for _ in 0..rest.number()? {
            found.segments.insert(rest.id()?);
        }
        while !rest.0.is_empty() {
            let segment = rest.id()?;
            let count = rest.number()?;
            let spots = (0..count).map(|_| Some((rest.number()?, rest.number()? as u16)));
            found.spots.insert(segment, spots.collect::<Option<_>>()?);
        }
        Some(found)
    }
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn number(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*head))
    }

    fn id(&mut self) -> Option<SegmentId> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_until_it_is_withdrawn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("condemned");
        assert!(Condemned::read(&path).unwrap().is_empty());
        let list = Condemned {
            segments: [[1; 16], [2; 16]].into(),
            spots: [
                ([3; 16], [(4, 0), (u32::MAX, u16::MAX)].into()),
                ([4; 16], HashSet::new()),
            ]
            .into(),
        };
        list.publish(&path).unwrap();
        let read = Condemned::read(&path).unwrap();
        assert_eq!(read, list);
        assert!(!read.allows(&[1; 16], (9, 9)) && !read.allows(&[3; 16], (4, 0)));
        assert!(read.allows(&[3; 16], (4, 1)) && read.allows(&[5; 16], (4, 0)));
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            fs::write(&path, &good[..at]).unwrap();
            assert!(Condemned::read(&path).unwrap().is_empty(), "cut at {at}");
        }
        Condemned::withdraw(&path).unwrap();
        assert!(Condemned::read(&path).unwrap().is_empty());
    }
}
