//! Objects of the store as files named by their ids: the data-only layer below an image
//! ([`crate::erofs`]), for content of which the pool has no raw copy yet.
//!
//! Overlayfs looks a file's content up when it is opened, first in the pool, then here. What is read
//! here is copied into the pool by a thread of its own, so that it is asked for once.

mod filler;
mod table;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fuser::{
    Errno, FileAttr, FileHandle, Filesystem, Generation, INodeNo, KernelConfig, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr,
    Request,
};
use hd_dag::Kind;
use hd_store::{Pool, Store};

use crate::attr::Attr;
use crate::error::ProjectionError;
use crate::fuse::{FOREVER, file_attr, guarded, kernel, reply_lseek, with_data};
use crate::holes;
pub(crate) use filler::{FillThread, Filler, pair};
use table::{Object, Table};

/// How much was asked of the objects of a view.
#[derive(Debug, Default)]
pub struct Counts {
    lookups: AtomicU64,
    reads: AtomicU64,
    filled: AtomicU64,
}

impl Counts {
    /// Gives the requests of the kernel: names looked up and reads.
    pub fn requests(&self) -> u64 {
        self.lookups.load(Ordering::Relaxed) + self.reads.load(Ordering::Relaxed)
    }

    /// Gives how many raw copies were made.
    pub fn filled(&self) -> u64 {
        self.filled.load(Ordering::Relaxed)
    }
}

/// The objects of a store behind the FUSE protocol.
#[derive(Debug)]
pub(crate) struct Objects {
    store: Store,
    table: Table,
    filler: Filler,
    counts: Arc<Counts>,
}

impl Objects {
    /// Prepares objects for serving; the second part fills the pool.
    pub(crate) fn new(store: Store, pool: Arc<Pool>, counts: Arc<Counts>) -> (Self, FillThread) {
        let (filler, thread) = filler::pair(pool, counts.clone(), None);
        let objects = Self {
            store,
            table: Table::default(),
            filler,
            counts,
        };
        (objects, thread)
    }

    fn look_up(&self, parent: INodeNo, name: &[u8]) -> Result<FileAttr, Errno> {
        self.counts.lookups.fetch_add(1, Ordering::Relaxed);
        let id = table::named(parent.0, name).ok_or(Errno::ENOENT)?;
        let size = self.store.blob_len(&id).map_err(|e| failed(&e))?;
        let (number, object) = self.table.number(id, size.ok_or(Errno::ENOENT)?);
        Ok(self.shown(number, &object))
    }

    fn attr(&self, number: u64) -> Result<FileAttr, Errno> {
        if number == table::ROOT {
            return Ok(file_attr(number, &dir_attr()));
        }
        let object = self.object(number)?;
        Ok(self.shown(number, &object))
    }

    fn object(&self, number: u64) -> Result<Arc<Object>, Errno> {
        self.table.object(number).ok_or(Errno::ESTALE)
    }

    fn shown(&self, number: u64, object: &Object) -> FileAttr {
        let count = || holes::data_bytes(Some((&self.store, &object.id)), object.size);
        let data = *object.data.get_or_init(count);
        with_data(file_attr(number, &file_of(object.size)), data)
    }

    fn read_object(&self, number: u64, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        let object = self.object(number)?;
        let read = self.store.read_blob_at(&object.id, offset, size as usize);
        let bytes = read.map_err(|e| failed(&e))?;
        if object.is_wanted_whole(bytes.len() as u64) {
            self.filler.fill(object.id);
        }
        Ok(bytes)
    }
}

fn failed(error: &hd_store::Error) -> Errno {
    tracing::warn!(%error, "a read of a view failed");
    Errno::EIO
}

fn dir_attr() -> Attr {
    Attr {
        mode: 0o555,
        ..crate::fuse::nothing(Kind::Dir)
    }
}

fn file_of(size: u64) -> Attr {
    Attr {
        mode: 0o444,
        size,
        ..crate::fuse::nothing(Kind::Regular)
    }
}

impl Filesystem for Objects {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        kernel::configure(config, &[]);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match guarded(|| self.look_up(parent, name.as_bytes())) {
            Ok(attr) => reply.entry(&FOREVER, &attr, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match guarded(|| self.attr(ino.0)) {
            Ok(attr) => reply.attr(&FOREVER, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match guarded(|| self.read_object(ino.0, offset, size)) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn lseek(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let found = guarded(|| {
            let object = self.object(ino.0)?;
            let stored = Some((&self.store, &object.id));
            holes::seek(stored, object.size, offset, whence)
        });
        reply_lseek(found, reply);
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    fn getxattr(&self, _req: &Request, _ino: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }
}

impl FillThread {
    /// Starts to fill the pool; it ends with the file system that gives it work.
    pub(crate) fn start(self, name: &str) -> Result<(), ProjectionError> {
        std::thread::Builder::new()
            .name(format!("fill {name}"))
            .spawn(move || self.run())
            .map(drop)
            .map_err(|source| ProjectionError::Session {
                name: name.to_owned(),
                source,
            })
    }
}
