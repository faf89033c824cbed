//! What the kernel is told of a node.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use hd_dag::Kind;

use super::inodes::ROOT;
use crate::attr::Attr;

/// Gives the type of a directory entry.
pub(super) fn file_type(kind: Kind) -> FileType {
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

/// Gives what `stat` shows of a numbered node.
pub(crate) fn file_attr(number: u64, attr: &Attr) -> FileAttr {
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

/// Gives the same for a file of which only so many bytes are data.
pub(crate) fn with_data(attr: FileAttr, bytes: u64) -> FileAttr {
    let blocks = bytes.div_ceil(512);
    FileAttr { blocks, ..attr }
}

/// Gives what stands for an absent name: an entry with inode 0, which the kernel remembers.
pub(super) fn absent() -> FileAttr {
    file_attr(ROOT - 1, &nothing(Kind::Regular))
}

/// Gives a node of which only the kind is known.
pub(crate) fn nothing(kind: Kind) -> Attr {
    Attr {
        kind,
        mode: 0,
        uid: 0,
        gid: 0,
        size: 0,
        mtime_ns: 0,
        rdev: 0,
        link_group: None,
    }
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
