//! The FUSE adapter: requests of the kernel answered from a [`Lower`].
//!
//! Nothing under a mounted lower ever changes, so names (also absent ones) and attributes live
//! as long as the mount, and OPEN and OPENDIR are answered ENOSYS once, after which the kernel
//! opens files by itself (`FUSE_NO_OPEN_SUPPORT`, Linux 5.1). A handler never panics to the
//! session (a panic ends it) and never waits for anything but the store or a host file.
//!
//! A listing gives names away with their attributes, so that they need no look-up. In a traced
//! view a name given away counts as observed; only those go that the process will look up by all
//! it has done so far (module `scan`), all others are shown expired, so that their look-up arrives.

mod answer;
mod inodes;
pub(crate) mod kernel;
mod listing;
mod many;
mod noted;
mod progress;
mod push;
mod scan;
mod view;
mod xattrs;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fuser::{
    Errno, FileAttr, FileHandle, Filesystem, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectoryPlus, ReplyEntry, ReplyLseek,
    ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};

use hd_dag::{Kind, Target};

use answer::absent;
pub(crate) use answer::{file_attr, nothing, with_data};
use inodes::{Inode, Inodes, ROOT};
pub use many::Many;
use many::Names;
pub(crate) use push::PushThread;
use push::{Push, Pusher};
use view::View;
use xattrs::Xattrs;

use crate::error::ProjectionError;
use crate::holes::{self, Stored};
use crate::lower::{Lower, Node, Source};
use crate::objects::Filler;
use crate::recorder::Watch;

/// Lifetime of names and attributes in the kernel: as long as the mount lives.
pub(crate) const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);
/// Largest file of which a raw copy is made as soon as anything of it was read, bytes.
const COPY_MAX: u64 = 32 << 20;

/// A lower, or many, behind the FUSE protocol; each is traced when it has a recorder.
#[derive(Debug)]
pub(crate) struct ProjectedFs<L> {
    inodes: Arc<Inodes<L>>,
    /// Names below the root, where there are many views.
    many: Option<Arc<Names<L>>>,
    xattrs: Arc<Xattrs<L>>,
    pusher: Pusher<L>,
    filler: Option<Filler>,
}

impl<L: Lower> ProjectedFs<L> {
    /// Prepares a lower for serving; the second part pushes into the session that serves it.
    pub(crate) fn new(
        lower: L,
        watch: Watch,
        filler: Option<Filler>,
    ) -> Result<(Self, PushThread<L>), ProjectionError> {
        let lower = Arc::new(lower);
        let (pusher, thread) = push::pair();
        let xattrs = Xattrs::new(xattrs::ASKED_OF_ONE);
        xattrs.add(&lower)?;
        let fs = Self {
            inodes: Arc::new(Inodes::of(Arc::new(View::new(lower, watch)))?),
            many: None,
            xattrs: Arc::new(xattrs),
            pusher,
            filler,
        };
        Ok((fs, thread))
    }

    /// Prepares to serve lowers that come and go, each a directory below the root.
    pub(crate) fn of_many() -> (Self, PushThread<L>, Many<L>) {
        let (pusher, thread) = push::pair();
        let (inodes, xattrs) = (
            Arc::new(Inodes::of_many()),
            Arc::new(Xattrs::new(xattrs::ASKED_OF_MANY)),
        );
        let many = Many::new(inodes.clone(), xattrs.clone(), pusher.clone());
        let fs = Self {
            inodes,
            many: Some(many.names()),
            xattrs,
            pusher,
            filler: None,
        };
        (fs, thread, many)
    }

    fn inode(&self, number: INodeNo) -> Result<Arc<Inode<L>>, Errno> {
        self.inodes.get(number.0).ok_or(Errno::ESTALE)
    }

    /// Looks a name up and records it.
    fn find(&self, dir: &Inode<L>, name: &[u8]) -> Result<Option<Arc<Inode<L>>>, Errno> {
        if let Some(known) = self.inodes.known(dir, name) {
            return Ok(Some(known));
        }
        let view = dir.view().ok_or(Errno::ENOTDIR)?;
        let found = view.lower.lookup(&dir.node, name);
        let found = found.map_err(|error| view.failed(&error))?;
        view.record_lookup(&dir.node, name, found.as_ref())?;
        Ok(found.and_then(|node| self.inodes.number(dir, name, node)))
    }

    fn look_up(&self, process: u32, parent: INodeNo, name: &[u8]) -> Result<FileAttr, Errno> {
        if let Some(names) = self.many.as_ref().filter(|_| parent.0 == ROOT) {
            // Not to be remembered as absent: it may come.
            let root = names.get(name).ok_or(Errno::ENOENT)?;
            return Ok(shown(&root));
        }
        let dir = self.inode(parent)?;
        let found = self.find(&dir, name)?;
        self.learn_lookup(process, &dir, name, found.as_deref());
        let Some(inode) = found else {
            return Ok(absent());
        };
        Ok(shown(&inode))
    }

    /// Wishes for a raw copy of a file that is read or will be.
    fn copy(&self, inode: &Inode<L>) {
        if let (Some(filler), Source::Tree { entry, .. }) = (&self.filler, &inode.node.source)
            && let Target::Regular { blob, size, .. } = &entry.target
            && (1..=COPY_MAX).contains(size)
        {
            filler.fill(*blob);
        }
    }

    fn read_file(&self, inode: &Inode<L>, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        if inode.content.asked() {
            self.copy(inode);
        }
        let lower = inode.lower().ok_or(Errno::EISDIR)?;
        let content = lower.read(&inode.node, offset, size as usize);
        let content = content.map_err(|error| self.failed(inode, &error))?;
        Ok(self.bytes(inode, content))
    }
}

impl<L: Lower> Filesystem for ProjectedFs<L> {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        kernel::configure(
            config,
            &[
                InitFlags::FUSE_CACHE_SYMLINKS,
                InitFlags::FUSE_DO_READDIRPLUS,
            ],
        );
        Ok(())
    }

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match guarded(|| self.look_up(req.pid(), parent, name.as_bytes())) {
            Ok(attr) => reply.entry(&FOREVER, &attr, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match guarded(|| self.inode(ino)) {
            Ok(inode) => reply.attr(&FOREVER, &shown(&inode)),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match guarded(|| {
            let inode = self.inode(ino)?;
            let lower = inode.lower().ok_or(Errno::EINVAL)?;
            let target = lower.read_link(&inode.node);
            let target = target.map_err(|error| self.failed(&inode, &error))?;
            Ok(self.bytes(&inode, target))
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
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let process = req.pid();
        let read = guarded(|| {
            let inode = self.inode(ino)?;
            Ok((self.read_file(&inode, offset, size)?, inode))
        });
        match read {
            Ok((bytes, inode)) => {
                reply.data(&bytes);
                if offset == 0 {
                    let _ = guarded(|| {
                        self.push_after(process, &inode);
                        Ok(())
                    });
                }
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn readdirplus(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        match guarded(|| self.page(req.pid(), ino, offset, &mut reply)) {
            Ok(page) if page.files.is_empty() => reply.ok(),
            Ok(page) => {
                let mut then = Some(reply);
                if !page.ended
                    && let Some(reply) = then.take()
                {
                    reply.ok();
                }
                let files = page.files;
                self.pusher.push(Push { files, then });
            }
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
        // Holes are content, which the look-up of the file has recorded.
        let found = guarded(|| {
            let inode = self.inode(ino)?;
            let lower = inode.lower().ok_or(Errno::EISDIR)?;
            let node = &inode.node;
            let found = holes::seek(stored(&*lower, node), node.attr.size, offset, whence);
            found.map_err(|errno| match errno {
                Errno::EIO => self.failed(&inode, &without_its_holes(node)),
                errno => errno,
            })
        });
        reply_lseek(found, reply);
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if self.xattrs.are_absent() {
            return reply.error(Errno::ENOSYS);
        }
        let value = guarded(|| {
            let inode = self.inode(ino)?;
            let value = inode
                .lower()
                .and_then(|lower| lower.xattr(&inode.node, name.as_bytes()));
            value.ok_or(Errno::ENODATA)
        });
        reply_xattr(value, size, reply);
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let names = guarded(|| {
            let inode = self.inode(ino)?;
            let names = inode.lower().map(|lower| lower.xattrs(&inode.node));
            Ok(names
                .unwrap_or_default()
                .into_iter()
                .flat_map(|name| name.into_iter().chain([0]))
                .collect())
        });
        reply_xattr(names, size, reply);
    }
}

/// Gives what `stat` shows of an inode, its holes taken out.
fn shown<L: Lower>(inode: &Inode<L>) -> FileAttr {
    let node = &inode.node;
    let attr = file_attr(inode.number, &node.attr);
    match inode.lower() {
        Some(lower) if node.attr.kind == Kind::Regular => {
            let count = || holes::data_bytes(stored(&*lower, node), node.attr.size);
            with_data(attr, *inode.data.get_or_init(count))
        }
        _ => attr,
    }
}

fn stored<'a, L: Lower>(lower: &'a L, node: &'a Node) -> Stored<'a> {
    match &node.source {
        Source::Tree { entry, .. } => match &entry.target {
            Target::Regular { blob, .. } => Some((lower.store()?, blob)),
            _ => None,
        },
        Source::Host { .. } => None,
    }
}

fn without_its_holes(node: &Node) -> ProjectionError {
    ProjectionError::Content {
        path: node.path.to_string(),
        reason: "where it has holes cannot be found".to_owned(),
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

pub(crate) fn reply_lseek(found: Result<i64, Errno>, reply: ReplyLseek) {
    match found {
        Ok(found) => reply.offset(found),
        Err(errno) => reply.error(errno),
    }
}

/// Answers a request; a panic is an error of that request alone.
pub(crate) fn guarded<T>(answer: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
        tracing::error!("a FUSE handler panicked; the request was answered EIO");
        Err(Errno::EIO)
    })
}

fn to_errno(error: &ProjectionError) -> Errno {
    tracing::warn!(%error, "a read of a view failed");
    Errno::from_i32(error.errno())
}
