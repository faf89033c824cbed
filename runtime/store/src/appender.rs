//! Appends records to a segment of its own and commits them.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, fdatasync, flock};

use crate::control::{Commit, SegmentId, Spot, extend_chain, forget_record};
use crate::durable::{make_private_dir, private, sync_dir};
use crate::record::{Record, SEGMENT_HEADER_LEN, segment_header};
use crate::segment::Segment;
use crate::shelf::Shelf;
use crate::{Error, Id, Result};

/// A segment is full at this size, in bytes.
const SEGMENT_LIMIT: u64 = 256 << 20;
/// A segment with less room than this is not claimed again.
const WORTHWHILE_ROOM: u64 = 8 << 20;
/// Bytes collected before they are written.
const BUFFER: usize = 1 << 20;

/// The writing end of one transaction after another.
#[derive(Debug)]
pub(crate) struct Appender {
    active: Option<Active>,
    /// Every segment this appender wrote to; a [`Place`] refers to them by number.
    touched: Vec<Arc<Segment>>,
    limit: u64,
    only_new: bool,
}

/// Where a record was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) touched: u32,
    pub(crate) place: u32,
}

/// A segment that this appender holds the lock of.
#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    file: File,
    /// Start of the extent since the last commit.
    start: u64,
    /// Where the buffer belongs in the file.
    written: u64,
    buffer: Vec<u8>,
    chain: u32,
    records: u32,
}

impl Appender {
    pub(crate) fn new() -> Appender {
        Appender {
            active: None,
            touched: Vec::new(),
            limit: SEGMENT_LIMIT,
            only_new: false,
        }
    }

    /// An appender that never continues a segment that exists.
    pub(crate) fn for_new_segments() -> Appender {
        Appender {
            only_new: true,
            ..Appender::new()
        }
    }

    /// Appends a record; it is neither durable nor visible before [`Appender::commit`].
    pub(crate) fn append(&mut self, shelf: &Shelf, record: &Record) -> Result<Place> {
        let len = record.encoded_len();
        if self
            .active
            .as_ref()
            .is_some_and(|active| active.is_full_for(len, self.limit))
        {
            // Records refer only to earlier ones, so a commit here leaves no hole.
            self.commit()?;
            self.seal();
        }
        let active = match &mut self.active {
            Some(active) => active,
            none => {
                let active = match self.only_new {
                    true => Active::create(shelf)?,
                    false => Active::claim(shelf, self.limit)?,
                };
                self.touched.push(Arc::clone(&active.segment));
                none.insert(active)
            }
        };
        let place = active.append(record)?;
        Ok(Place {
            touched: (self.touched.len() - 1) as u32,
            place,
        })
    }

    /// The segment of a place, with everything appended so far readable in its file.
    pub(crate) fn segment_of(&mut self, place: Place) -> Result<Option<&Arc<Segment>>> {
        if let Some(active) = &mut self.active {
            active.flush()?;
        }
        Ok(self.touched.get(place.touched as usize))
    }

    /// Committed bytes of all segments that were written to.
    pub(crate) fn touched_bytes(&self) -> u64 {
        self.touched.iter().map(|segment| segment.committed()).sum()
    }

    /// The number of the segment whose file, with all that was in it before, [`Appender::commit`] syncs before it
    /// makes anything visible.
    pub(crate) fn synced_by_commit(&self) -> Option<u64> {
        let active = self.active.as_ref().filter(|active| active.records > 0);
        active.map(|active| active.segment.number)
    }

    /// Makes everything appended durable, then visible.
    pub(crate) fn has_new(&self) -> bool {
        self.active
            .as_ref()
            .is_some_and(|active| active.records > 0)
    }

    pub(crate) fn commit(&mut self) -> Result<()> {
        match &mut self.active {
            Some(active) if active.records > 0 => active.commit(),
            _ => Ok(()),
        }
    }

    /// Lets go of the segment and writes its index.
    fn seal(&mut self) {
        if let Some(active) = self.active.take() {
            try_index(&active.segment);
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if self.written > self.start {
            // Nobody counts this tail; cutting it now spares the next claimant the work.
            self.file.set_len(self.start).ok();
        }
    }
}

impl Active {
    /// Takes a segment that nobody writes to and that has room, or makes one.
    fn claim(shelf: &Shelf, limit: u64) -> Result<Active> {
        let segments = shelf.segments();
        let roomy = |segment: &Segment| {
            !segment.is_damaged() && segment.committed() + WORTHWHILE_ROOM.min(limit / 2) < limit
        };
        let mut candidates: Vec<_> = segments.iter().filter(|segment| roomy(segment)).collect();
        candidates.sort_by_key(|segment| std::cmp::Reverse(segment.committed()));
        for segment in candidates {
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .open(&segment.path);
            let Ok(file) = opened else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            if is_removed(&file) {
                // A collection unlinked it between the listing and the lock.
                continue;
            }
            segment.refresh()?;
            if roomy(segment) {
                return Active::take_over(Arc::clone(segment), file);
            }
        }
        Active::create(shelf)
    }

    /// Starts behind the last commit of a segment; what an earlier writer left there goes.
    fn take_over(segment: Arc<Segment>, file: File) -> Result<Active> {
        let path = &segment.path;
        let mut start = segment.committed();
        if start < SEGMENT_HEADER_LEN {
            file.write_all_at(&segment_header(&segment.id), 0)
                .map_err(Error::io("write", path))?;
            start = SEGMENT_HEADER_LEN;
        }
        let len = file.metadata().map_err(Error::io("look at", path))?.len();
        if len > start {
            file.set_len(start).map_err(Error::io("cut", path))?;
        }
        Ok(Active::at(segment, file, start))
    }

    fn create(shelf: &Shelf) -> Result<Active> {
        let id = random_segment_id();
        let path = shelf.path_of(&id);
        let shard = path.parent().unwrap_or(shelf.objects());
        make_private_dir(shard)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        // Locked before it has its name, so that no other writer finds it unlocked.
        let unnamed = path.with_extension("new");
        let file = options
            .open(&unnamed)
            .and_then(private)
            .map_err(Error::io("create", &unnamed))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(Error::io("lock", &unnamed))?;
        file.write_all_at(&segment_header(&id), 0)
            .map_err(Error::io("write", &unnamed))?;
        std::fs::rename(&unnamed, &path).map_err(Error::io("name", &path))?;
        sync_dir(shard)?;
        sync_dir(shelf.objects())?;
        match shelf.adopt(id)? {
            Some(segment) => Ok(Active::at(segment, file, SEGMENT_HEADER_LEN)),
            None => Err(Error::io("find again", &path)(std::io::Error::from(
                std::io::ErrorKind::NotFound,
            ))),
        }
    }

    fn at(segment: Arc<Segment>, file: File, start: u64) -> Active {
        let buffer = Vec::new();
        Active {
            segment,
            file,
            start,
            written: start,
            buffer,
            chain: 0,
            records: 0,
        }
    }

    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn is_full_for(&self, len: u64, limit: u64) -> bool {
        self.end() + len > limit && self.end() > SEGMENT_HEADER_LEN
    }

    fn append(&mut self, record: &Record) -> Result<u32> {
        let offset = self.end();
        let header_crc = record.encode_into(offset, &mut self.buffer);
        self.chain = extend_chain(self.chain, header_crc);
        self.records += 1;
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok((offset / 8) as u32)
    }

    fn flush(&mut self) -> Result<()> {
        let written = self.file.write_all_at(&self.buffer, self.written);
        written.map_err(Error::io("write", &self.segment.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.flush()?;
        self.sync()?;
        let end = self.end();
        let commit = Commit {
            segment: self.segment.id,
            start: self.start,
            end,
            records: self.records,
            chain: self.chain,
            at_unix_ms: now_unix_ms(),
        };
        commit.to_record().encode_into(end, &mut self.buffer);
        self.flush()?;
        self.sync()?;
        // From here on the commit stands, whatever fails below.
        (self.start, self.chain, self.records) = (self.end(), 0, 0);
        self.segment.refresh()?;
        if self.segment.committed() != self.end() {
            let error = std::io::Error::other("what was written cannot be read back");
            return Err(Error::io("commit to", &self.segment.path)(error));
        }
        self.segment.note_durable(self.end());
        if self.segment.wants_index() {
            try_index(&self.segment);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        fdatasync(&self.file).map_err(Error::io("sync", &self.segment.path))
    }
}

/// Takes objects of a segment back, durably. The caller holds the segment's lock by `file`.
pub(crate) fn append_forget(segment: &Arc<Segment>, file: &File, spots: &[Spot]) -> Result<()> {
    segment.refresh()?;
    let file = file.try_clone().map_err(Error::io("open", &segment.path))?;
    let mut active = Active::take_over(Arc::clone(segment), file)?;
    active.append(&forget_record(spots))?;
    active.commit()?;
    try_index(segment);
    Ok(())
}

/// Writes an index, which is derived: on a full disk the segment is read without one.
fn try_index(segment: &Segment) {
    if let Err(error) = segment.write_index() {
        tracing::debug!(%error, "no index written");
    }
}

fn is_removed(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.nlink() == 0)
}

fn random_segment_id() -> SegmentId {
    // The standard library seeds this from the system's random source; O_EXCL catches the rest.
    let mut seed = Vec::new();
    for _ in 0..2 {
        seed.extend_from_slice(
            &RandomState::new()
                .hash_one(std::process::id())
                .to_le_bytes(),
        );
    }
    seed.extend_from_slice(&now_unix_ms().to_le_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&Id::of(&seed).as_bytes()[..16]);
    id
}

/// The wall clock, for people and for the order of history; nothing is decided by it alone.
pub(crate) fn now_unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
