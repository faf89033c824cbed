//! The handle on a store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::cache::FrameCache;
use crate::durable::make_private_dir;
use crate::format::Format;
use crate::locks::Locks;
use crate::segment::lock;
use crate::shelf::{Shelf, Want};
use crate::used::Uses;
use crate::whole::Whole;
use crate::writer::Writer;
use crate::{Error, Id, Result};

/// A content-addressed store that many processes and threads may use at once.
///
/// A clone is another handle on the same open store and costs next to nothing.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) cas: PathBuf,
    pub(crate) format: Format,
    pub(crate) shelf: Shelf,
    pub(crate) frames: FrameCache,
    pub(crate) locks: Arc<Locks>,
    pub(crate) whole: Mutex<Whole>,
    pub(crate) damages_met: AtomicU64,
    /// The objects of those, as far as there are not too many.
    pub(crate) damaged: Mutex<BTreeSet<Id>>,
    /// Uses of history that this process knows of; read when the first one is noted.
    pub(crate) used: Mutex<Option<Uses>>,
    /// Asked for by [`Inner::chunk_of_zeros`].
    zeros: OnceLock<Id>,
}

impl Inner {
    /// The id of the chunks that a hole is cut into.
    pub(crate) fn chunk_of_zeros(&self) -> &Id {
        let cut = &self.format.cut;
        self.zeros
            .get_or_init(|| Id::of(&vec![0; cut.len_of_zeros()]))
    }
}

impl Store {
    /// Opens the store in the directory `cas`, creating it when missing.
    ///
    /// Recovery from a crash is part of opening: only what was committed is visible.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] when a newer program made it, [`Error::BadFormat`]
    /// when its format file is damaged, and I/O errors.
    pub fn open(cas: &Path) -> Result<Store> {
        // A later change of the working directory must not move the store.
        let cas = &std::path::absolute(cas).map_err(Error::io("find", cas))?;
        make_private_dir(cas)?;
        for name in ["objects", "refs", "leases", "scan", "lock"] {
            make_private_dir(&cas.join(name))?;
        }
        let is_new = !cas.join("FORMAT").exists();
        // The sync that comes with a new format file makes the directories durable too.
        let format = Format::open_or_create(cas)?;
        let locks = Arc::new(Locks::open(cas.join("lock"))?);
        if is_new {
            locks.fill_reserve();
        }
        let inner = Inner {
            cas: cas.to_owned(),
            format,
            shelf: Shelf::open(cas.join("objects"), Arc::clone(&locks))?,
            frames: FrameCache::new(),
            locks,
            whole: Mutex::default(),
            damages_met: AtomicU64::new(0),
            damaged: Mutex::default(),
            used: Mutex::default(),
            zeros: OnceLock::new(),
        };
        Ok(Store {
            inner: Arc::new(inner),
        })
    }

    /// Gives the memory of what was read back; it is read again when it is wanted.
    pub fn forget_read(&self) {
        self.inner.frames.clear();
    }

    /// The directory of this store.
    pub fn path(&self) -> &Path {
        &self.inner.cas
    }

    /// Opens a writer: a [`Hold`](crate::Hold) that can put things.
    ///
    /// Cheap as long as nothing is put: a segment is claimed by the first record.
    ///
    /// # Errors
    /// I/O errors.
    pub fn writer(&self) -> Result<Writer> {
        Ok(Writer::new(self.clone(), self.hold()?))
    }

    /// Takes in what other processes have committed, lets go of what they removed, and learns what
    /// is about to be.
    ///
    /// Reads do this by themselves when they miss something.
    ///
    /// # Errors
    /// I/O errors.
    pub fn refresh(&self) -> Result<()> {
        self.inner.shelf.refresh()
    }

    /// Says whether a blob or node is stored, and not about to be collected.
    ///
    /// # Errors
    /// I/O errors.
    pub fn contains(&self, id: &Id) -> Result<bool> {
        if self.is_usable(id)? {
            return Ok(true);
        }
        self.refresh()?;
        self.is_usable(id)
    }

    /// As [`Store::contains`], by what was seen of the store last.
    pub(crate) fn is_usable(&self, id: &Id) -> Result<bool> {
        Ok(*id == empty_blob() || self.inner.shelf.has_usable(id, Want::Anything)?)
    }

    /// Says whether any copy of a blob or node is there.
    pub(crate) fn is_stored(&self, id: &Id) -> Result<bool> {
        Ok(*id == empty_blob() || !self.inner.shelf.locate(id, Want::Anything)?.is_empty())
    }

    /// How many damaged copies were met through this handle and its clones: whoever failed may have
    /// failed because of that, and tries again with what is made anew.
    pub fn damages_met(&self) -> u64 {
        self.inner.damages_met.load(Ordering::Relaxed)
    }

    /// The first of the objects that were found damaged through this handle and its clones.
    pub fn damaged(&self) -> BTreeSet<Id> {
        lock(&self.inner.damaged).clone()
    }

    /// Bytes of all segment files that are known to this handle: what a budget is about.
    pub fn file_bytes(&self) -> u64 {
        let segments = self.inner.shelf.segments();
        segments.iter().map(|segment| segment.committed()).sum()
    }

    /// A number that changes whenever something stored was removed or found damaged.
    ///
    /// # Errors
    /// I/O errors.
    pub fn epoch(&self) -> Result<u64> {
        self.inner.locks.epoch()
    }
}

/// The id of no bytes at all; always there, never stored.
pub(crate) fn empty_blob() -> Id {
    const EMPTY: [u8; 32] = [
        0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9,
        0x49, 0x9b, 0xcb, 0x25, 0xc9, 0xad, 0xc1, 0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f,
        0x32, 0x62,
    ];
    Id::from_bytes(EMPTY)
}
