//! What the kernel says about a file, as far as the store cares.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Statx, StatxFlags, StatxTimestamp, statx};

/// The facts that decide whether a file may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileStat {
    /// Device number of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// File type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Length in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Status change time in nanoseconds since the epoch.
    pub ctime_ns: i64,
    /// Hard links.
    pub nlink: u32,
    /// Device number, for device nodes.
    pub rdev: u64,
}

impl FileStat {
    /// Asks about an open file.
    pub(crate) fn of(file: impl AsFd) -> rustix::io::Result<FileStat> {
        FileStat::at(file, c"", AtFlags::EMPTY_PATH)
    }

    /// Asks about a name in a directory, not following links.
    pub(crate) fn at(
        dir: impl AsFd,
        name: impl rustix::path::Arg,
        flags: AtFlags,
    ) -> rustix::io::Result<FileStat> {
        let flags = flags | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        statx(dir, name, flags, StatxFlags::BASIC_STATS).map(|stat| FileStat::from(&stat))
    }

    /// The type bits of the mode.
    pub(crate) fn file_type(&self) -> u32 {
        self.mode & 0o170_000
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.file_type() == 0o040_000
    }

    pub(crate) fn is_regular(&self) -> bool {
        self.file_type() == 0o100_000
    }

    /// Says whether nothing that could mean other content differs.
    pub fn is_same(&self, other: &FileStat) -> bool {
        let key = |stat: &FileStat| {
            (
                stat.size,
                stat.mtime_ns,
                stat.ctime_ns,
                stat.ino,
                stat.dev,
                stat.mode,
            )
        };
        key(self) == key(other)
    }
}

impl From<&Statx> for FileStat {
    fn from(stat: &Statx) -> FileStat {
        FileStat {
            dev: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            ino: stat.stx_ino,
            mode: u32::from(stat.stx_mode),
            size: stat.stx_size,
            mtime_ns: nanoseconds(&stat.stx_mtime),
            ctime_ns: nanoseconds(&stat.stx_ctime),
            nlink: stat.stx_nlink,
            rdev: rustix::fs::makedev(stat.stx_rdev_major, stat.stx_rdev_minor),
        }
    }
}

fn nanoseconds(time: &StatxTimestamp) -> i64 {
    time.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::from(time.tv_nsec))
}
