//! All segments of a store: those of this process and those that others add or remove.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::control::{SegmentId, Spot};
use crate::durable::names_in;
use crate::index::IndexEntry;
use crate::locks::Locks;
use crate::locks::condemned::Condemned;
use crate::record::{RecordKind, TAG_PART, TAG_WHOLE};
use crate::segment::{LoadError, Segment, lock};
use crate::tables::Tables;
use crate::{Id, NodeKind, Result};

/// What kind of object is looked for; an id alone does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// A whole blob: a chunk of that name, or the list of its chunks.
    Blob,
    /// One chunk.
    Chunk,
    /// A part of a chunk list.
    ListPart,
    /// A node of a kind.
    Node(NodeKind),
    /// The entries of a history.
    History,
    /// Any blob or node.
    Anything,
}

impl Want {
    pub(crate) fn accepts(self, entry: &IndexEntry) -> bool {
        let kind = RecordKind::from_code(entry.kind);
        match self {
            Want::Blob => {
                kind == Some(RecordKind::Chunks)
                    || (kind == Some(RecordKind::List) && entry.tag == TAG_WHOLE)
            }
            Want::Chunk => kind == Some(RecordKind::Chunks),
            Want::ListPart => kind == Some(RecordKind::List) && entry.tag == TAG_PART,
            Want::Node(node) => kind == Some(RecordKind::Nodes) && entry.tag == node.code(),
            Want::History => kind == Some(RecordKind::History),
            Want::Anything => Want::Blob.accepts(entry) || kind == Some(RecordKind::Nodes),
        }
    }
}

/// An object in a segment.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub(crate) segment: Arc<Segment>,
    pub(crate) entry: IndexEntry,
    /// Bytes of the object.
    pub(crate) len: u32,
}

impl Located {
    pub(crate) fn spot(&self) -> Spot {
        (self.entry.place, self.entry.slot)
    }

    /// Reads the copy from the disk; true when its bytes are not what they were.
    pub(crate) fn is_damaged(&self) -> Result<bool> {
        match self.segment.load(self.entry.place) {
            Ok(frame) => Ok(frame.verified(self.entry.slot).is_none()),
            Err(LoadError::Damaged(_)) => Ok(true),
            Err(LoadError::Failed(error)) => Err(error),
        }
    }
}

/// The segments that are known to this handle.
#[derive(Debug)]
pub(crate) struct Shelf {
    objects: PathBuf,
    /// They say what a collection is about to remove.
    locks: Arc<Locks>,
    segments: RwLock<Arc<Vec<Arc<Segment>>>>,
    refreshing: Mutex<()>,
    /// What a collection is about to remove: to be read, but not to be relied on any more.
    condemned: RwLock<Arc<Condemned>>,
    next_number: AtomicU64,
}

impl Shelf {
    pub(crate) fn open(objects: PathBuf, locks: Arc<Locks>) -> Result<Shelf> {
        let shelf = Shelf {
            objects,
            locks,
            segments: RwLock::default(),
            refreshing: Mutex::default(),
            condemned: RwLock::default(),
            next_number: AtomicU64::new(0),
        };
        shelf.refresh()?;
        Ok(shelf)
    }

    /// The segments known now.
    pub(crate) fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        Arc::clone(&read(&self.segments))
    }

    /// Where a segment lies: `<first two digits>/<id>.seg`.
    pub(crate) fn path_of(&self, id: &SegmentId) -> PathBuf {
        let name: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        self.objects.join(&name[..2]).join(format!("{name}.seg"))
    }

    pub(crate) fn objects(&self) -> &Path {
        &self.objects
    }

    /// Looks at the directory again: takes in new segments and new commits, lets go of removed ones.
    pub(crate) fn refresh(&self) -> Result<()> {
        let _one_at_a_time = lock(&self.refreshing);
        // Read before the directory is: what is condemned no more has left that before.
        let condemned = self.locks.condemned()?;
        let known = self.segments();
        let mut now = Vec::with_capacity(known.len() + 1);
        for shard in names_in(&self.objects)? {
            for name in names_in_shard(&self.objects.join(&shard))? {
                let Some(id) = segment_id(&name) else {
                    continue;
                };
                match known.iter().find(|segment| segment.id == id) {
                    Some(segment) => {
                        segment.refresh()?;
                        now.push(Arc::clone(segment));
                    }
                    None => now.extend(self.open_segment(id)?),
                }
            }
        }
        *write(&self.segments) = Arc::new(now);
        // Replaced after the segments: whoever still sees a segment that is gone sees it condemned too.
        if **read(&self.condemned) != condemned {
            *write(&self.condemned) = Arc::new(condemned);
        }
        Ok(())
    }

    fn open_segment(&self, id: SegmentId) -> Result<Option<Arc<Segment>>> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        Ok(Segment::open(&self.path_of(&id), id, number)?.map(Arc::new))
    }

    /// Takes in a segment that a writer of this process has just made.
    pub(crate) fn adopt(&self, id: SegmentId) -> Result<Option<Arc<Segment>>> {
        let _one_at_a_time = lock(&self.refreshing);
        let known = self.segments();
        if let Some(segment) = known.iter().find(|segment| segment.id == id) {
            return Ok(Some(Arc::clone(segment)));
        }
        let Some(segment) = self.open_segment(id)? else {
            return Ok(None);
        };
        let mut now = known.as_ref().clone();
        now.push(Arc::clone(&segment));
        *write(&self.segments) = Arc::new(now);
        Ok(Some(segment))
    }

    /// Finds every copy of an object that is visible now.
    pub(crate) fn locate(&self, id: &Id, want: Want) -> Result<Vec<Located>> {
        self.confirmed(id, want, |segment, entry| segment.confirm(entry, id))
    }

    /// Finds every copy of one of very many objects.
    pub(crate) fn locate_by(
        &self,
        tables: &mut Tables,
        id: &Id,
        want: Want,
    ) -> Result<Vec<Located>> {
        self.confirmed(id, want, |segment, entry| {
            tables.confirm(segment, entry, id)
        })
    }

    fn confirmed(
        &self,
        id: &Id,
        want: Want,
        mut confirm: impl FnMut(&Segment, &IndexEntry) -> Result<Option<u32>>,
    ) -> Result<Vec<Located>> {
        let mut copies = Vec::new();
        let mut entries = Vec::new();
        for segment in self.segments().iter() {
            entries.clear();
            segment.find(id.prefix(), &mut entries);
            for entry in entries.iter().filter(|entry| want.accepts(entry)) {
                if let Some(len) = confirm(segment, entry)? {
                    copies.push(Located {
                        segment: Arc::clone(segment),
                        entry: *entry,
                        len,
                    });
                }
            }
        }
        Ok(copies)
    }

    /// Finds the copies of an object that may be relied on.
    pub(crate) fn locate_usable(&self, id: &Id, want: Want) -> Result<Vec<Located>> {
        self.usable(|| self.locate(id, want))
    }

    /// Finds the copies of one of very many objects that may be relied on.
    pub(crate) fn locate_usable_by(
        &self,
        tables: &mut Tables,
        id: &Id,
        want: Want,
    ) -> Result<Vec<Located>> {
        self.usable(|| self.locate_by(tables, id, want))
    }

    fn usable(&self, locate: impl FnOnce() -> Result<Vec<Located>>) -> Result<Vec<Located>> {
        // Taken before the segments are: see `refresh`.
        let condemned = Arc::clone(&read(&self.condemned));
        let mut copies = locate()?;
        if !condemned.is_empty() {
            copies.retain(|copy| condemned.allows(&copy.segment.id, copy.spot()));
        }
        Ok(copies)
    }

    /// Says whether a copy of an object is stored that may be relied on.
    pub(crate) fn has_usable(&self, id: &Id, want: Want) -> Result<bool> {
        Ok(!self.locate_usable(id, want)?.is_empty())
    }

    /// Says whether a sound copy of an object exists, so that writing it again is not needed.
    pub(crate) fn has_sound(&self, id: &Id, want: Want) -> Result<bool> {
        for copy in self.locate_usable(id, want)? {
            if copy.segment.trusts(copy.entry.place)? {
                return Ok(true);
            }
            copy.segment
                .suspect(&copy.entry, "its stored bytes do not match their checksum");
        }
        Ok(false)
    }

    /// Makes everything that is visible here survive a power cut, whoever wrote it.
    pub(crate) fn make_durable(&self) -> Result<()> {
        self.make_durable_but(None)
    }

    /// The same, but for a segment that is about to be synced anyway.
    pub(crate) fn make_durable_but(&self, synced_next: Option<u64>) -> Result<()> {
        self.segments()
            .iter()
            .filter(|segment| Some(segment.number) != synced_next)
            .try_for_each(|segment| segment.make_durable())
    }
}

/// What these locks guard is replaced whole, so a panic elsewhere leaves none half-made.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn names_in_shard(shard: &Path) -> Result<Vec<std::ffi::OsString>> {
    if shard.is_dir() {
        names_in(shard)
    } else {
        Ok(Vec::new())
    }
}

fn segment_id(name: &OsStr) -> Option<SegmentId> {
    let digits = name.to_str()?.strip_suffix(".seg")?;
    let text = format!("{digits}{}", "0".repeat(32));
    let id: Id = text.parse().ok().filter(|_| digits.len() == 32)?;
    let mut segment = [0; 16];
    segment.copy_from_slice(&id.as_bytes()[..16]);
    Some(segment)
}
