//! Which roots are known to be whole: everything they lead to is stored.
//!
//! ```text
//! cas/whole   0 "hdwhol01"   8 CRC32C of what follows (u32)   12 zero (4)   16 store epoch (u64)
//!             24 per root: code of its node kind (u8), id (32)
//! ```
//! A collection, or damage that was found, moves the epoch; then every root is looked at again.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::durable::{Durability, replace};
use crate::record::{u32_at, u64_at};
use crate::segment::lock;
use crate::shelf::Located;
use crate::walk::{Visitor, Walk};
use crate::{Error, Id, Link, Links, NodeKind, Result, Store};

const MAGIC: [u8; 8] = *b"hdwhol01";
const HEAD: usize = 24;
const ENTRY: usize = 33;
/// More roots than this are not remembered.
const LIMIT: usize = 10_000;

/// Roots that are whole, as of an epoch.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    epoch: Option<u64>,
    roots: HashSet<(NodeKind, Id)>,
}

/// Only wants to know whether something is lost.
struct Anything;

impl Visitor for Anything {
    fn found(&mut self, _id: &Id, _copy: &Located) {}

    fn lost(&mut self, _id: &Id, _why: Option<Error>) -> Result<()> {
        Ok(())
    }
}

impl Store {
    /// Says whether everything that these roots lead to is stored, and not about to be removed by a collection. Blobs
    /// are not read: damage that nobody has met yet does not show.
    ///
    /// Cheap for roots that were asked about before, unless something was removed or found damaged
    /// since.
    ///
    /// # Errors
    /// I/O errors.
    pub fn is_whole(&self, links: &dyn Links, roots: &[Link]) -> Result<bool> {
        let epoch = self.epoch()?;
        if self.knows_whole(epoch, roots) {
            return Ok(true);
        }
        // What is gone as of this epoch must not be seen any more.
        self.refresh()?;
        let whole = Walk::of_usable(self, links).visit(roots, &mut Anything)?;
        if whole && self.epoch()? == epoch {
            self.note_whole(epoch, roots);
        }
        Ok(whole)
    }

    fn knows_whole(&self, epoch: u64, roots: &[Link]) -> bool {
        let mut known = lock(&self.inner.whole);
        if known.epoch != Some(epoch) {
            known.roots = read(&self.inner.cas.join("whole"), epoch).unwrap_or_default();
            known.epoch = Some(epoch);
        }
        let is_known = |link: &Link| matches!(link, Link::Node(kind, id) if known.roots.contains(&(*kind, *id)));
        roots.iter().all(is_known)
    }

    pub(crate) fn note_whole(&self, epoch: u64, roots: &[Link]) {
        let mut known = lock(&self.inner.whole);
        let path = self.inner.cas.join("whole");
        if known.epoch != Some(epoch) {
            // What was whole before something was removed or found damaged must be looked at again.
            known.roots.clear();
            known.epoch = Some(epoch);
        }
        // What other processes noted meanwhile is kept.
        known.roots.extend(read(&path, epoch).unwrap_or_default());
        if known.roots.len() > LIMIT {
            known.roots.clear();
        }
        for link in roots {
            if let Link::Node(kind, id) = link {
                known.roots.insert((*kind, *id));
            }
        }
        if let Err(error) = replace(&path, &encode(epoch, &known.roots), Durability::Derived) {
            tracing::debug!(%error, "what is whole was not noted");
        }
    }
}

fn encode(epoch: u64, roots: &HashSet<(NodeKind, Id)>) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend_from_slice(&epoch.to_le_bytes());
    for (kind, id) in roots {
        body.push(kind.code());
        body.extend_from_slice(id.as_bytes());
    }
    let mut file = MAGIC.to_vec();
    file.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    file.append(&mut body);
    file
}

/// Reads what is whole as of this epoch; `None` when nothing sound says so.
fn read(path: &Path, epoch: u64) -> Option<HashSet<(NodeKind, Id)>> {
    let bytes = fs::read(path).ok()?;
    let head = bytes.get(..HEAD)?;
    if head[..8] != MAGIC || crc32c::crc32c(&bytes[12..]) != u32_at(head, 8) {
        return None;
    }
    if u64_at(head, 16) != epoch {
        return None;
    }
    let entry = |bytes: &[u8]| {
        let id: [u8; 32] = bytes[1..].try_into().ok()?;
        Some((NodeKind::from_code(bytes[0])?, Id::from_bytes(id)))
    };
    bytes[HEAD..].chunks_exact(ENTRY).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_whole_in_an_epoch_that_is_over_is_noted_no_more() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path()).unwrap();
        let [before, after] =
            [b"before", b"after "].map(|text| Link::Node(NodeKind::Tree, Id::of(text)));
        store.note_whole(0, &[before]);
        assert!(store.knows_whole(0, &[before]));
        store.note_whole(1, &[after]);
        for store in [&store, &Store::open(place.path()).unwrap()] {
            assert!(store.knows_whole(1, &[after]));
            assert!(!store.knows_whole(1, &[before]));
        }
    }
}
