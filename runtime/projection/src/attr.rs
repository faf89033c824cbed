//! Attributes a projected node shows to its readers.

use hd_dag::{Entry, Kind, Target};

/// Gives the kind of a host file from its `st_mode`.
pub(crate) fn kind_of_mode(mode: u32) -> Kind {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => Kind::Dir,
        libc::S_IFLNK => Kind::Symlink,
        libc::S_IFIFO => Kind::Fifo,
        libc::S_IFCHR => Kind::Char,
        libc::S_IFBLK => Kind::Block,
        libc::S_IFSOCK => Kind::Socket,
        _ => Kind::Regular,
    }
}

/// What `stat` shows of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Kind of the node.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky (07777).
    pub mode: u32,
    /// Owner shown to the reader.
    pub uid: u32,
    /// Group shown to the reader.
    pub gid: u32,
    /// Size in bytes; 0 for directories, so that their content does not leak into `stat`.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch; ctime and atime show the same.
    pub mtime_ns: i64,
    /// Device number of a character or block device.
    pub rdev: u64,
    /// Group of hard-linked files, which share an inode number.
    pub link_group: Option<u64>,
}

/// Gives the group of hard-linked files that an entry is of: only names of one file are in one, whatever trees
/// that older versions stored say.
pub(crate) fn link_group(entry: &Entry) -> Option<u64> {
    let Target::Regular { link_group, .. } = entry.target else {
        return None;
    };
    let mut half = [0; 8];
    link_group.map(|group| {
        half.copy_from_slice(&entry.id().as_bytes()[..8]);
        group ^ u64::from_le_bytes(half)
    })
}

/// Gives what `stat` shows of an entry of a tree.
pub(crate) fn attr_of(entry: &Entry, mtime_ns: i64) -> Attr {
    let (size, rdev) = match &entry.target {
        Target::Regular { size, .. } => (*size, 0),
        Target::Symlink { target } => (target.len() as u64, 0),
        Target::Char { rdev } | Target::Block { rdev } => (0, *rdev),
        Target::Dir { .. } | Target::Fifo | Target::Whiteout => (0, 0),
    };
    Attr {
        kind: entry.kind(),
        mode: entry.meta.mode & 0o7777,
        uid: entry.meta.uid,
        gid: entry.meta.gid,
        size,
        mtime_ns,
        rdev,
        link_group: link_group(entry),
    }
}
