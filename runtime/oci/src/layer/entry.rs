//! One entry of a layer, as its archive describes it.

use std::collections::BTreeMap;

use hd_dag::TreePath;

/// Is one entry of a layer before any link or whiteout is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarEntry {
    /// Normalised path.
    pub path: TreePath,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of modification in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What it is.
    pub kind: TarKind,
}

/// Tells what an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TarKind {
    /// A file whose content follows.
    Regular {
        /// Length in bytes.
        size: u64,
    },
    /// A directory.
    Dir,
    /// A symbolic link; its target is never resolved here.
    Symlink {
        /// Raw target.
        target: Vec<u8>,
    },
    /// Another name of a file.
    HardLink {
        /// Normalised path of the file.
        target: TreePath,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    Char {
        /// Device number as Linux packs it.
        rdev: u64,
    },
    /// A block device.
    Block {
        /// Device number as Linux packs it.
        rdev: u64,
    },
}

/// Packs a device number as Linux does (`makedev(3)`).
pub(super) fn device(major: u32, minor: u32) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    (major & 0xffff_f000) << 32
        | (major & 0xfff) << 8
        | (minor & 0xffff_ff00) << 12
        | (minor & 0xff)
}
