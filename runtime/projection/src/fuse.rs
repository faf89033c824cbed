//! The FUSE adapter: requests of the kernel answered from a [`Lower`].
//!
//! Nothing under a mounted lower ever changes, so names (also absent ones) and attributes live
//! as long as the mount, and OPEN and OPENDIR are answered ENOSYS once, after which the kernel
//! opens files by itself (`FUSE_NO_OPEN_SUPPORT`, Linux 5.1). A handler never panics to the
//! session (a panic ends it) and never waits for anything but the store or a host file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use hd_dag::trace::list_digest;

use hd_dag::Kind;

use crate::attr::Attr;
use crate::error::ProjectionError;
use crate::inodes::{Inode, Inodes, ROOT};
use crate::lower::{Listed, Lower, Node};
use crate::recorder::Recorder;
use crate::world;

/// Lifetime of names and attributes in the kernel: as long as the mount lives.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);
/// Largest read-ahead asked of the kernel, bytes.
const READ_AHEAD: u32 = 1 << 20;

/// A lower behind the FUSE protocol, traced when it has a recorder.
#[derive(Debug)]
pub struct ProjectedFs<L> {
    lower: L,
    recorder: Option<Arc<Recorder>>,
    inodes: Inodes,
}

impl<L: Lower> ProjectedFs<L> {
    /// Prepares a lower for serving.
    pub fn new(lower: L, recorder: Option<Arc<Recorder>>) -> Result<Self, ProjectionError> {
        let inodes = Inodes::new(lower.root()?);
        Ok(Self {
            lower,
            recorder,
            inodes,
        })
    }

    fn inode(&self, number: INodeNo) -> Result<Arc<Inode>, Errno> {
        self.inodes.get(number.0).ok_or(Errno::ESTALE)
    }

    fn find(&self, parent: INodeNo, name: &[u8]) -> Result<Option<FileAttr>, Errno> {
        if let Some((number, inode)) = self.inodes.known(parent.0, name) {
            return Ok(Some(file_attr(number, &inode.node.attr)));
        }
        let dir = self.inode(parent)?;
        let found = self.lower.lookup(&dir.node, name).map_err(to_errno)?;
        self.record_lookup(&dir.node, name, found.as_ref())?;
        Ok(found.map(|node| {
            let (number, inode) = self.inodes.number(parent.0, name, node);
            file_attr(number, &inode.node.attr)
        }))
    }

    fn record_lookup(&self, dir: &Node, name: &[u8], found: Option<&Node>) -> Result<(), Errno> {
        let Some(recorder) = &self.recorder else {
            return Ok(());
        };
        let observed =
            found.map_or_else(|| world::observes_absence(dir, name), |node| node.observed);
        if observed {
            let path = world::child_path(dir, name).map_err(to_errno)?;
            recorder.looked_up(&path, world::seen(dir, found));
        }
        Ok(())
    }

    fn page(&self, number: INodeNo, offset: u64, reply: &mut ReplyDirectory) -> Result<(), Errno> {
        let inode = self.inode(number)?;
        let listing = self.listing(&inode)?;
        for (at, dot) in [".", ".."]
            .iter()
            .enumerate()
            .skip(usize::try_from(offset).unwrap_or(usize::MAX).min(2))
        {
            if reply.add(number, at as u64 + 1, FileType::Directory, dot) {
                return Ok(());
            }
        }
        let start = usize::try_from(offset.saturating_sub(2)).unwrap_or(usize::MAX);
        let rest = listing.get(start..).unwrap_or_default();
        if rest.is_empty() {
            *inode
                .listing
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
            return Ok(());
        }
        // A page holds a few hundred names at most; number no more than it can show.
        let window = &rest[..rest.len().min(2048)];
        for (at, (listed, child)) in window
            .iter()
            .zip(self.inodes.reserve(number.0, window))
            .enumerate()
        {
            let next = (start + at) as u64 + 3;
            if reply.add(
                INodeNo(child),
                next,
                file_type(listed.kind),
                OsStr::from_bytes(&listed.name),
            ) {
                break;
            }
        }
        Ok(())
    }

    fn listing(&self, inode: &Inode) -> Result<Arc<Vec<Listed>>, Errno> {
        let mut slot = inode
            .listing
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(listing) = &*slot {
            return Ok(listing.clone());
        }
        let listing = Arc::new(self.lower.list(&inode.node).map_err(to_errno)?);
        if let (Some(recorder), true) = (&self.recorder, inode.node.observed) {
            recorder.listed(
                &inode.node.path,
                list_digest(world::observed_names(&listing)),
            );
        }
        *slot = Some(listing.clone());
        Ok(listing)
    }
}

impl<L: Lower> Filesystem for ProjectedFs<L> {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        for wanted in [
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_ASYNC_READ,
            InitFlags::FUSE_NO_OPENDIR_SUPPORT,
        ] {
            // A kernel without one of them is slower, not wrong.
            let _ = config.add_capabilities(wanted);
        }
        let _ = config
            .set_max_readahead(READ_AHEAD)
            .or_else(|most| config.set_max_readahead(most));
        let _ = config.set_max_background(64);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match guarded(|| self.find(parent, name.as_bytes())) {
            Ok(Some(attr)) => reply.entry(&FOREVER, &attr, Generation(0)),
            // An entry with inode 0 is an absence that the kernel may remember.
            Ok(None) => reply.entry(&FOREVER, &absent(), Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match guarded(|| self.inode(ino)) {
            Ok(inode) => reply.attr(&FOREVER, &file_attr(ino.0, &inode.node.attr)),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match guarded(|| {
            self.lower
                .read_link(&self.inode(ino)?.node)
                .map_err(to_errno)
        }) {
            Ok(target) => reply.data(&target),
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
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
        match guarded(|| {
            self.lower
                .read(&self.inode(ino)?.node, offset, size as usize)
                .map_err(to_errno)
        }) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        match guarded(|| self.page(ino, offset, &mut reply)) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let value = guarded(|| {
            let inode = self.inode(ino)?;
            self.lower
                .xattr(&inode.node, name.as_bytes())
                .ok_or(Errno::ENODATA)
        });
        reply_xattr(value, size, reply);
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let names = guarded(|| {
            let names = self.lower.xattrs(&self.inode(ino)?.node);
            Ok(names
                .into_iter()
                .flat_map(|name| name.into_iter().chain([0]))
                .collect())
        });
        reply_xattr(names, size, reply);
    }
}

fn reply_xattr(value: Result<Vec<u8>, Errno>, size: u32, reply: ReplyXattr) {
    match value {
        Ok(value) if size == 0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(errno) => reply.error(errno),
    }
}

fn guarded<T>(answer: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
        tracing::error!("a FUSE handler panicked; the request was answered EIO");
        Err(Errno::EIO)
    })
}

fn to_errno(error: ProjectionError) -> Errno {
    tracing::warn!(%error, "a read of a view failed");
    Errno::from_i32(error.errno())
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Regular => FileType::RegularFile,
        Kind::Dir => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::Fifo => FileType::NamedPipe,
        // A composed tree has no whiteouts; overlayfs spells them as character device 0:0.
        Kind::Char | Kind::Whiteout => FileType::CharDevice,
        Kind::Block => FileType::BlockDevice,
        Kind::Socket => FileType::Socket,
    }
}

fn file_attr(number: u64, attr: &Attr) -> FileAttr {
    let time = time(attr.mtime_ns);
    FileAttr {
        ino: INodeNo(number),
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: file_type(attr.kind),
        perm: (attr.mode & 0o7777) as u16,
        // A directory says 1, "number of sub-directories unknown", so that its content does not
        // show in its status; names of one group are at least two.
        nlink: if attr.link_group.is_some() { 2 } else { 1 },
        uid: attr.uid,
        gid: attr.gid,
        rdev: u32::try_from(attr.rdev).unwrap_or(0),
        blksize: 4096,
        flags: 0,
    }
}

fn absent() -> FileAttr {
    let nothing = Attr {
        kind: Kind::Regular,
        mode: 0,
        uid: 0,
        gid: 0,
        size: 0,
        mtime_ns: 0,
        rdev: 0,
        link_group: None,
    };
    file_attr(ROOT - 1, &nothing)
}

fn time(nanoseconds: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
    let time = if nanoseconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    };
    time.unwrap_or(UNIX_EPOCH)
}
