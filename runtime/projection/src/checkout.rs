//! Writes a stored tree out as real files: the opposite of [`crate::capture`].
//!
//! Nothing is followed on the way: every name is made below the directory given, which must not hold it
//! yet. A write layer is spelt as overlayfs spells it (kernel documentation, overlayfs.rst), so it has to
//! be finished before the overlay is mounted.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use hd_dag::{Entry, Meta, Rooted, Target, TreePath, Trees, walk};
use hd_store::{Id, Store};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
    chownat, fchmod, fchown, fsetxattr, ftruncate, linkat, mkdirat, mknodat, openat, openat2,
    symlinkat, utimensat,
};

use crate::capture::OPAQUE;
use crate::error::ProjectionError;

/// Read at once from the store, bytes.
const PIECE: usize = 1 << 20;
/// Zeros of at least this length become a hole, bytes.
const HOLE: usize = 64 * 1024;
const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::CLOEXEC);
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// How what only a write layer has is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Not at all: ordinary directories.
    Plain,
    /// As the upper directory of an overlay; `user` is its option `userxattr`.
    Upper {
        /// Marks are attributes of users, not trusted ones.
        user: bool,
    },
}

/// What a tree is written out from, and how.
pub struct Checkout<'a> {
    /// Holds the contents.
    pub store: &'a Store,
    /// Holds the directories.
    pub trees: &'a dyn Trees,
    /// Ordinary or a write layer.
    pub layout: Layout,
}

impl std::fmt::Debug for Checkout<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Checkout")
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

/// Writes all entries of a tree below an open directory; the directory itself stays as it is.
///
/// # Errors
/// [`ProjectionError::Content`] when the store lacks something, [`ProjectionError::Checkout`] when the
/// file system refuses; what was written until then stays.
pub fn checkout(
    from: &Checkout<'_>,
    root: &Rooted,
    to: BorrowedFd<'_>,
) -> Result<(), ProjectionError> {
    let mut task = Task {
        from,
        to,
        links: HashMap::new(),
    };
    let mut directories = Vec::new();
    let content = |path: &TreePath, e: hd_dag::TreeError| ProjectionError::Content {
        path: path.to_string(),
        reason: e.to_string(),
    };
    let top = TreePath::root();
    let mut above = (top.clone(), task.open(&top)?);
    for item in walk(from.trees, root).map_err(|e| content(&top, e))? {
        let item = item.map_err(|e| content(&top, e))?;
        let parent = item.path.parent().unwrap_or_else(TreePath::root);
        if parent != above.0 {
            above = (parent.clone(), task.open(&parent)?);
        }
        task.one(&above.1, &item.path, &item.entry, item.mtime_ns)?;
        if let Target::Dir { .. } = item.entry.target {
            directories.push(item);
        }
    }
    // From within: a directory gets its time after the last name was made in it, and its mode when nobody
    // has to pass it any more.
    directories.into_iter().rev().try_for_each(|item| {
        let dir = task.open(&item.path)?;
        let is_opaque = matches!(item.entry.target, Target::Dir { opaque: true, .. });
        task.mark(&dir, is_opaque)
            .and_then(|()| task.dress(dir.as_fd(), &item.entry.meta, item.mtime_ns))
            .map_err(|e| failed(&item.path, e))
    })
}

struct Task<'a> {
    from: &'a Checkout<'a>,
    to: BorrowedFd<'a>,
    /// The first name of each file with several.
    links: HashMap<u64, TreePath>,
}

impl Task<'_> {
    /// Opens a directory below the target, through no link.
    fn open(&self, path: &TreePath) -> Result<OwnedFd, ProjectionError> {
        let at = match path.as_bytes() {
            b"" => b".",
            bytes => bytes,
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(self.to, at, DIRECTORY, Mode::empty(), resolve).map_err(|e| failed(path, e.into()))
    }

    fn one(
        &mut self,
        dir: &OwnedFd,
        path: &TreePath,
        entry: &Entry,
        mtime_ns: i64,
    ) -> Result<(), ProjectionError> {
        let name = OsStr::from_bytes(path.file_name().unwrap_or_default());
        let io = |e: rustix::io::Errno| failed(path, e.into());
        let (meta, private) = (&entry.meta, Mode::RUSR | Mode::WUSR);
        match &entry.target {
            Target::Dir { .. } => return mkdirat(dir, name, Mode::RWXU).map_err(io),
            Target::Regular {
                blob, link_group, ..
            } => {
                if let Some(first) = link_group.and_then(|group| self.links.get(&group)) {
                    return linkat(self.to, first.as_bytes(), dir, name, AtFlags::empty())
                        .map_err(io);
                }
                let file = openat(dir, name, NEW_FILE, private).map_err(io)?;
                write(self.from.store, blob, &file, path)?;
                self.links
                    .extend(link_group.map(|group| (group, path.clone())));
                return self
                    .dress(file.as_fd(), meta, mtime_ns)
                    .map_err(|e| failed(path, e));
            }
            Target::Symlink { target } => symlinkat(target.as_slice(), dir, name).map_err(io)?,
            Target::Whiteout if self.from.layout == Layout::Plain => return Ok(()),
            Target::Whiteout => {
                return mknodat(dir, name, FileType::CharacterDevice, Mode::empty(), 0).map_err(io);
            }
            Target::Fifo => mknodat(dir, name, FileType::Fifo, private, 0).map_err(io)?,
            Target::Char { rdev } => {
                mknodat(dir, name, FileType::CharacterDevice, private, *rdev).map_err(io)?;
            }
            Target::Block { rdev } => {
                mknodat(dir, name, FileType::BlockDevice, private, *rdev).map_err(io)?;
            }
        }
        self.dress_name(dir, name, entry, mtime_ns).map_err(io)
    }

    /// Marks a directory that hides what lies below it.
    fn mark(&self, dir: &OwnedFd, is_opaque: bool) -> io::Result<()> {
        let name = match self.from.layout {
            Layout::Upper { user } if is_opaque => OPAQUE[usize::from(user)],
            _ => return Ok(()),
        };
        Ok(fsetxattr(dir, name, b"y", XattrFlags::empty())?)
    }

    /// Gives an open file or directory its owner, mode, attributes and time.
    fn dress(&self, file: BorrowedFd<'_>, meta: &Meta, mtime_ns: i64) -> io::Result<()> {
        let (user, group) = owner(meta);
        fchown(file, Some(user), Some(group))?;
        // After the owner, whose change takes setuid bits and capabilities away.
        fchmod(file, Mode::from_raw_mode(meta.mode & 0o7777))?;
        for (name, value) in &meta.xattrs {
            fsetxattr(file, OsStr::from_bytes(name), value, XattrFlags::empty())?;
        }
        Ok(rustix::fs::futimens(file, &times(mtime_ns))?)
    }

    /// The same for what cannot be opened.
    fn dress_name(
        &self,
        dir: &OwnedFd,
        name: &OsStr,
        entry: &Entry,
        mtime_ns: i64,
    ) -> Result<(), rustix::io::Errno> {
        let (user, group) = owner(&entry.meta);
        chownat(
            dir,
            name,
            Some(user),
            Some(group),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        if !matches!(entry.target, Target::Symlink { .. }) {
            let mode = Mode::from_raw_mode(entry.meta.mode & 0o7777);
            rustix::fs::chmodat(dir, name, mode, AtFlags::empty())?;
        }
        utimensat(dir, name, &times(mtime_ns), AtFlags::SYMLINK_NOFOLLOW)
    }
}

fn owner(meta: &Meta) -> (Uid, Gid) {
    (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid))
}

/// Writes a stored content to an empty open file, long runs of zeros as holes; `path` is for errors.
///
/// # Errors
/// [`ProjectionError::Content`] and [`ProjectionError::Checkout`].
pub fn write(
    store: &Store,
    blob: &Id,
    file: &OwnedFd,
    path: &TreePath,
) -> Result<(), ProjectionError> {
    let io = |e: rustix::io::Errno| failed(path, e.into());
    let mut offset = 0u64;
    loop {
        let piece = store.read_blob_at(blob, offset, PIECE);
        let piece = piece.map_err(|e| ProjectionError::Content {
            path: path.to_string(),
            reason: e.to_string(),
        })?;
        for part in piece.chunks(HOLE) {
            let is_hole = part.len() == HOLE && part.iter().all(|byte| *byte == 0);
            if !is_hole {
                write_all(file, part, offset).map_err(io)?;
            }
            offset += part.len() as u64;
        }
        if piece.len() < PIECE {
            return ftruncate(file, offset).map_err(io);
        }
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), rustix::io::Errno> {
    while !bytes.is_empty() {
        let written = match rustix::io::pwrite(file, bytes, offset) {
            Err(rustix::io::Errno::INTR) => continue,
            written => written?,
        };
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

fn times(mtime_ns: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime_ns.div_euclid(1_000_000_000),
        tv_nsec: mtime_ns.rem_euclid(1_000_000_000) as _,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn failed(path: &TreePath, source: io::Error) -> ProjectionError {
    ProjectionError::Checkout {
        path: path.to_string(),
        source,
    }
}
