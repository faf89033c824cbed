//! The stat cache: what a scan saw, so that the next one need not read it again. Disposable.
//!
//! ```text
//!  0  "hdscan01"       8  CRC32C of everything from 16 on (u32)   12  zero (4)
//! 16  store epoch (u64)   24  directories (u32)   28  rows (u32)
//! 32  directories of 56 bytes: stat (40), flags (u32), first row (u32), rows (u32), zero (4)
//!  …  rows of 104 bytes: stat (40), blob (32), name at (u32), name length (u32), extra at (u32),
//!     extra length (u32), child directory (u32), kind (u8), flags (u8), zero (2), device (8)
//!  …  names and extras (link targets, encoded attributes); "at" counts from here
//! stat      device (u64), inode (u64), size (u64), mtime (i64), ctime (i64); the mode is in flags'
//!           place of a directory and in "child" of anything else
//! ```

use std::fs;
use std::path::Path;

use crate::Id;
use crate::durable::{Durability, replace};
use crate::record::{u32_at, u64_at};
use crate::stat::FileStat;

const MAGIC: [u8; 8] = *b"hdscan01";
const HEADER: usize = 32;
const DIR: usize = 56;
const ROW: usize = 104;
/// An object whose ctime is this close to the scan may have changed again within the same tick.
const RACY_NS: i64 = 20_000_000;

/// What the cache holds of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowKind {
    /// The filter left it out; kept so that a directory need not be listed again.
    Excluded,
    Regular,
    Dir,
    Symlink,
    Fifo,
    Char,
    Block,
    Socket,
}

impl RowKind {
    const ALL: [RowKind; 8] = [
        RowKind::Excluded,
        RowKind::Regular,
        RowKind::Dir,
        RowKind::Symlink,
        RowKind::Fifo,
        RowKind::Char,
        RowKind::Block,
        RowKind::Socket,
    ];

    fn from_code(code: u8) -> Option<RowKind> {
        RowKind::ALL.get(usize::from(code)).copied()
    }
}

const FLAG_RACY: u8 = 1;
const FLAG_IS_DIR: u8 = 2;

/// A name in a directory and what was known about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: RowKind,
    /// For an excluded name: whether it is a directory.
    pub(super) is_dir: bool,
    pub(super) racy: bool,
    pub(super) stat: FileStat,
    pub(super) blob: Id,
    pub(super) extra: &'a [u8],
    pub(super) child: u32,
}

/// A directory and which rows are its names, in byte order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dir {
    pub(super) stat: FileStat,
    pub(super) racy: bool,
    pub(super) first: usize,
    pub(super) rows: usize,
}

/// A loaded cache. Every access checks its bounds: whatever does not fit is simply not cached.
#[derive(Debug)]
pub(super) struct StatCache {
    bytes: Vec<u8>,
    dirs: usize,
    rows: usize,
    pub(super) epoch: u64,
}

impl StatCache {
    /// Loads a cache; `None` when it is missing, unreadable or damaged.
    pub(super) fn load(path: &Path) -> Option<StatCache> {
        let bytes = fs::read(path).ok()?;
        let header = bytes.get(..HEADER)?;
        if header[..8] != MAGIC || u32_at(header, 8) != crc32c::crc32c(&bytes[16..]) {
            return None;
        }
        let (dirs, rows) = (u32_at(header, 24) as usize, u32_at(header, 28) as usize);
        let epoch = u64_at(header, 16);
        (HEADER + dirs * DIR + rows * ROW <= bytes.len()).then_some(StatCache {
            bytes,
            dirs,
            rows,
            epoch,
        })
    }

    pub(super) fn dir(&self, number: u32) -> Option<Dir> {
        let number = number as usize;
        let start = (number < self.dirs).then_some(HEADER + number * DIR)?;
        let bytes = self.bytes.get(start..start + DIR)?;
        let flags = u32_at(bytes, 40);
        let mode = flags & 0xffff;
        let (first, rows) = (u32_at(bytes, 44) as usize, u32_at(bytes, 48) as usize);
        let racy = flags & 0x1_0000 != 0;
        (first + rows <= self.rows).then_some(Dir {
            stat: decode_stat(bytes, mode),
            racy,
            first,
            rows,
        })
    }

    pub(super) fn row(&self, number: usize) -> Option<Row<'_>> {
        let start = HEADER + self.dirs * DIR + number * ROW;
        let bytes = self.bytes.get(start..start + ROW)?;
        let arena = &self.bytes[HEADER + self.dirs * DIR + self.rows * ROW..];
        let slice = |at: usize| {
            let (start, len) = (u32_at(bytes, at) as usize, u32_at(bytes, at + 4) as usize);
            arena.get(start..start + len)
        };
        let kind = RowKind::from_code(bytes[92])?;
        let child = u32_at(bytes, 88);
        let mut stat = decode_stat(bytes, if kind == RowKind::Dir { 0 } else { child });
        stat.rdev = u64_at(bytes, 96);
        let mut blob = [0; 32];
        blob.copy_from_slice(&bytes[40..72]);
        Some(Row {
            name: slice(72)?,
            kind,
            is_dir: bytes[93] & FLAG_IS_DIR != 0,
            racy: bytes[93] & FLAG_RACY != 0,
            stat,
            blob: Id::from_bytes(blob),
            extra: slice(80)?,
            child,
        })
    }

    pub(super) fn rows(&self, dir: &Dir) -> impl Iterator<Item = Row<'_>> {
        (dir.first..dir.first + dir.rows).map_while(|number| self.row(number))
    }
}

fn decode_stat(bytes: &[u8], mode: u32) -> FileStat {
    FileStat {
        dev: u64_at(bytes, 0),
        ino: u64_at(bytes, 8),
        size: u64_at(bytes, 16),
        mtime_ns: u64_at(bytes, 24).cast_signed(),
        ctime_ns: u64_at(bytes, 32).cast_signed(),
        mode,
        nlink: 0,
        rdev: 0,
    }
}

fn encode_stat(stat: &FileStat, out: &mut Vec<u8>) {
    for field in [stat.dev, stat.ino, stat.size] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&stat.mtime_ns.to_le_bytes());
    out.extend_from_slice(&stat.ctime_ns.to_le_bytes());
}

/// Says whether an object may have changed after a scan saw it without its times showing it.
pub(super) fn is_racy(stat: &FileStat, scan_start_ns: i64) -> bool {
    stat.ctime_ns >= scan_start_ns.saturating_sub(RACY_NS)
}

/// Builds a cache file.
#[derive(Debug, Default)]
pub(super) struct Builder {
    dirs: Vec<u8>,
    rows: Vec<u8>,
    arena: Vec<u8>,
    rows_of_dir: (u32, u32),
}

impl Builder {
    /// Adds the rows of the next directory; [`Builder::dir`] closes it.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        encode_stat(&row.stat, &mut self.rows);
        self.rows.extend_from_slice(row.blob.as_bytes());
        for part in [row.name, row.extra] {
            self.rows
                .extend_from_slice(&(self.arena.len() as u32).to_le_bytes());
            self.rows
                .extend_from_slice(&(part.len() as u32).to_le_bytes());
            self.arena.extend_from_slice(part);
        }
        let child = if row.kind == RowKind::Dir {
            row.child
        } else {
            row.stat.mode
        };
        self.rows.extend_from_slice(&child.to_le_bytes());
        let racy = if row.racy { FLAG_RACY } else { 0 };
        let is_dir = if row.is_dir { FLAG_IS_DIR } else { 0 };
        self.rows
            .extend_from_slice(&[row.kind as u8, racy | is_dir, 0, 0]);
        self.rows.extend_from_slice(&row.stat.rdev.to_le_bytes());
        self.rows_of_dir.1 += 1;
    }

    /// Closes a directory. Directories are numbered in the order of these calls.
    pub(super) fn dir(&mut self, stat: &FileStat, racy: bool) {
        let (first, rows) = self.rows_of_dir;
        encode_stat(stat, &mut self.dirs);
        self.dirs
            .extend_from_slice(&((stat.mode & 0xffff) | u32::from(racy) << 16).to_le_bytes());
        self.dirs.extend_from_slice(&first.to_le_bytes());
        self.dirs.extend_from_slice(&rows.to_le_bytes());
        self.dirs.extend_from_slice(&[0; 4]);
        self.rows_of_dir = (first + rows, 0);
    }

    /// Writes the cache. Not synced: a torn one does not check and is not used.
    pub(super) fn save(self, path: &Path, epoch: u64) -> crate::Result<()> {
        let mut body =
            Vec::with_capacity(16 + self.dirs.len() + self.rows.len() + self.arena.len());
        body.extend_from_slice(&epoch.to_le_bytes());
        body.extend_from_slice(&((self.dirs.len() / DIR) as u32).to_le_bytes());
        body.extend_from_slice(&((self.rows.len() / ROW) as u32).to_le_bytes());
        for part in [self.dirs, self.rows, self.arena] {
            body.extend_from_slice(&part);
        }
        let mut file = Vec::with_capacity(16 + body.len());
        file.extend_from_slice(&MAGIC);
        file.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        file.extend_from_slice(&[0; 4]);
        file.append(&mut body);
        replace(path, &file, Durability::Derived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(path: &Path) {
        let stat = FileStat {
            dev: 1,
            ino: 2,
            mode: 0o100_644,
            size: 3,
            mtime_ns: -4,
            ctime_ns: 5,
            nlink: 0,
            rdev: 9,
        };
        let mut builder = Builder::default();
        let row = Row {
            name: b"a\xff",
            kind: RowKind::Regular,
            is_dir: false,
            racy: true,
            stat,
            blob: Id::of(b"x"),
            extra: b"extra",
            child: 0,
        };
        builder.row(&row);
        builder.row(&Row {
            name: b"sub",
            kind: RowKind::Dir,
            child: 1,
            is_dir: true,
            extra: b"",
            ..row
        });
        builder.dir(
            &FileStat {
                mode: 0o040_755,
                ..stat
            },
            false,
        );
        builder.dir(
            &FileStat {
                mode: 0o040_700,
                ..stat
            },
            true,
        );
        builder.save(path, 77).unwrap();
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        sample(&path);
        let cache = StatCache::load(&path).unwrap();
        assert_eq!(cache.epoch, 77);
        let root = cache.dir(0).unwrap();
        assert_eq!(
            (root.stat.mode, root.racy, root.rows),
            (0o040_755, false, 2)
        );
        let rows: Vec<_> = cache.rows(&root).collect();
        assert_eq!(
            (rows[0].name, rows[0].kind, rows[0].extra),
            (&b"a\xff"[..], RowKind::Regular, &b"extra"[..])
        );
        assert_eq!(
            (rows[0].stat.mode, rows[0].stat.mtime_ns, rows[0].stat.rdev),
            (0o100_644, -4, 9)
        );
        assert!(rows[0].racy && rows[0].blob == Id::of(b"x"));
        assert_eq!(
            (rows[1].name, rows[1].kind, rows[1].child, rows[1].is_dir),
            (&b"sub"[..], RowKind::Dir, 1, true)
        );
        let sub = cache.dir(1).unwrap();
        assert!(sub.racy && sub.rows == 0 && cache.dir(2).is_none());
    }

    #[test]
    fn a_damaged_cache_is_no_cache() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        sample(&path);
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).filter(|at| !(12..16).contains(at)) {
            let mut bad = good.clone();
            bad[at] ^= 4;
            fs::write(&path, &bad).unwrap();
            assert!(StatCache::load(&path).is_none(), "byte {at}");
            fs::write(&path, &good[..at]).unwrap();
            assert!(StatCache::load(&path).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn a_change_in_the_tick_of_the_scan_is_racy() {
        let at = |ctime_ns| FileStat {
            ctime_ns,
            ..FileStat::default()
        };
        assert!(is_racy(&at(1_000_000_000), 1_010_000_000));
        assert!(
            is_racy(&at(2_000_000_000), 1_000_000_000),
            "a clock that was set back"
        );
        assert!(!is_racy(&at(1_000_000_000), 1_020_000_001));
    }
}
