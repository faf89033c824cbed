//! The stat cache: what a scan saw, so that the next one need not read it again. Disposable.
//!
//! ```text
//!  0  "hdscan03"       8  CRC32C of everything from 16 on (u32)   12  zero (4)
//! 16  store epoch (u64)   24  directories (u32)   28  rows (u32)
//! 32  stamp: unlike that of any other cache (16)  48  fingerprint of the filter, or zeros (32)
//! 80  bytes of names, decoded (u32)
//! 84  directories of 24 bytes: stat key (u64), flags (u32), first row (u32), rows (u32),
//!     names at (u32)
//!  …  rows of 26 bytes: stat key (u64), blob (first 16 bytes of its id; of a directory its number,
//!     u32), name length (u8), kind in the low half and flags in the high half (u8)
//!  …  one zstd frame: names, row by row; behind a name whose row says so its extra: length (u32) and
//!     bytes (a link target, encoded attributes); "at" counts from its beginning
//! ```
//! A stat key is 64 bits over size, mtime, ctime, inode, device and mode. A cache of another version is
//! none: everything is read again.
//!
//! Keys and blobs are hashes, which never shrink; names do, to a fifth, and to far less where they are numbered.

mod build;

use std::fs;
use std::path::Path;

pub(super) use build::Builder;

use crate::codec::{Codec, decompress};
use crate::record::{u32_at, u64_at};
use crate::stat::FileStat;

const MAGIC: [u8; 8] = *b"hdscan03";
const HEADER: usize = 84;
const DIR: usize = 24;
const ROW: usize = 26;

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

    /// Says whether a scan answers with such an object.
    pub(super) fn is_answered(self) -> bool {
        !matches!(self, RowKind::Excluded | RowKind::Socket)
    }
}

const FLAG_RACY: u8 = 0x10;
const FLAG_IS_DIR: u8 = 0x20;
const FLAG_EXTRA: u8 = 0x40;
const DIR_RACY: u32 = 1;

/// Sixty-four bits that differ when anything differs that could mean other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct StatKey(u64);

impl StatKey {
    pub(super) fn of(stat: &FileStat) -> StatKey {
        let FileStat {
            dev,
            ino,
            mode,
            size,
            mtime_ns,
            ctime_ns,
            ..
        } = stat;
        let words = [
            *dev,
            *ino,
            u64::from(*mode),
            *size,
            mtime_ns.cast_unsigned(),
            ctime_ns.cast_unsigned(),
        ];
        StatKey(words.into_iter().fold(SEED, mixed))
    }
}

/// Fractional digits of pi, as good as any: what is mixed with them shows no pattern of its own.
const SEED: u64 = 0x243f_6a88_85a3_08d3;
const SPREAD: u64 = 0x1319_8a2e_0370_7345;

/// Takes one more word into a hash. The standard library's, made to withstand chosen keys, takes 5 ms of
/// a scan of 100,000 names.
fn mixed(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(SPREAD);
    // A product of zero alone would forget all words before this one.
    (product as u64 ^ (product >> 64) as u64).wrapping_add(hash.rotate_left(23))
}

/// The first half of a blob's id: enough to find it, and to tell it from all others.
pub(super) type HalfId = [u8; 16];

/// Tells one saved cache from every other.
pub type Stamp = [u8; 16];

/// A name in a directory and what was known about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: RowKind,
    /// For an excluded name: whether it is a directory.
    pub(super) is_dir: bool,
    pub(super) racy: bool,
    pub(super) key: StatKey,
    pub(super) blob: HalfId,
    pub(super) extra: &'a [u8],
    /// The number of a directory.
    pub(super) child: u32,
}

/// A directory and which rows are its names, in byte order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dir {
    pub(super) key: StatKey,
    pub(super) racy: bool,
    pub(super) rows: usize,
    first: usize,
    names_at: usize,
}

/// A loaded cache. Every access checks its bounds: whatever does not fit is simply not cached.
#[derive(Debug)]
pub(super) struct StatCache {
    /// Header, directories and rows.
    fixed: Vec<u8>,
    names: Vec<u8>,
    dirs: usize,
    pub(super) rows: usize,
    pub(super) epoch: u64,
    pub(super) stamp: Stamp,
    pub(super) fingerprint: [u8; 32],
}

impl StatCache {
    /// Loads a cache; `None` when it is missing, unreadable or damaged.
    pub(super) fn load(path: &Path) -> Option<StatCache> {
        let mut fixed = fs::read(path).ok()?;
        let header = fixed.get(..HEADER)?;
        if header[..8] != MAGIC || u32_at(header, 8) != crc32c::crc32c(&fixed[16..]) {
            return None;
        }
        let (dirs, rows) = (u32_at(header, 24) as usize, u32_at(header, 28) as usize);
        let (epoch, stamp) = (u64_at(header, 16), header[32..48].try_into().ok()?);
        let fingerprint = header[48..80].try_into().ok()?;
        let names_len = u32_at(header, 80) as usize;
        let names_at = HEADER + dirs * DIR + rows * ROW;
        let names = decompress(Codec::Zstd, fixed.get(names_at..)?, names_len)?;
        fixed.truncate(names_at);
        Some(StatCache {
            fixed,
            names,
            dirs,
            rows,
            epoch,
            stamp,
            fingerprint,
        })
    }

    pub(super) fn dir(&self, number: u32) -> Option<Dir> {
        let number = number as usize;
        let start = (number < self.dirs).then_some(HEADER + number * DIR)?;
        let bytes = self.fixed.get(start..start + DIR)?;
        let (first, rows) = (u32_at(bytes, 12) as usize, u32_at(bytes, 16) as usize);
        (first + rows <= self.rows).then_some(Dir {
            key: StatKey(u64_at(bytes, 0)),
            racy: u32_at(bytes, 8) & DIR_RACY != 0,
            rows,
            first,
            names_at: u32_at(bytes, 20) as usize,
        })
    }

    /// The rows of a directory, sorted by name; fewer than it has when the cache is no sound one.
    pub(super) fn rows(&self, dir: &Dir) -> Rows<'_> {
        let start = HEADER + self.dirs * DIR + dir.first * ROW;
        Rows {
            fixed: self
                .fixed
                .get(start..start + dir.rows * ROW)
                .unwrap_or_default(),
            names: self.names.get(dir.names_at..).unwrap_or_default(),
        }
    }
}

/// Iterates over the rows of a directory.
#[derive(Debug, Clone)]
pub(super) struct Rows<'a> {
    fixed: &'a [u8],
    names: &'a [u8],
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        let (row, fixed) = self.fixed.split_first_chunk::<ROW>()?;
        let (name, mut names) = self.names.split_at_checked(usize::from(row[24]))?;
        let flags = row[25];
        let mut extra = &b""[..];
        if flags & FLAG_EXTRA != 0 {
            let (len, rest) = names.split_first_chunk::<4>()?;
            (extra, names) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        }
        (self.fixed, self.names) = (fixed, names);
        let mut blob = HalfId::default();
        blob.copy_from_slice(&row[8..24]);
        Some(Row {
            name,
            kind: *RowKind::ALL.get(usize::from(flags & 0x0f))?,
            is_dir: flags & FLAG_IS_DIR != 0,
            racy: flags & FLAG_RACY != 0,
            key: StatKey(u64_at(row, 0)),
            blob,
            extra,
            child: u32_at(row, 8),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn sample(path: &Path) -> Stamp {
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
            key: StatKey::of(&stat),
            blob: [7; 16],
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
        builder.dir(StatKey(11), false);
        builder.row(&Row {
            name: b"x",
            kind: RowKind::Excluded,
            extra: b"",
            ..row
        });
        builder.dir(StatKey(12), true);
        builder.save(path, 77, &[3; 32]).unwrap()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let stamp = sample(&path);
        let cache = StatCache::load(&path).unwrap();
        assert_eq!(
            (cache.epoch, cache.stamp, cache.fingerprint),
            (77, stamp, [3; 32])
        );
        assert_ne!(sample(&path), stamp, "each cache has a stamp of its own");
        let root = cache.dir(0).unwrap();
        assert_eq!((root.key, root.racy, root.rows), (StatKey(11), false, 2));
        let rows: Vec<_> = cache.rows(&root).collect();
        assert_eq!(
            (rows[0].name, rows[0].kind, rows[0].extra, rows[0].blob),
            (&b"a\xff"[..], RowKind::Regular, &b"extra"[..], [7; 16])
        );
        assert!(rows[0].racy && rows.len() == 2);
        assert_eq!(
            (rows[1].name, rows[1].kind, rows[1].child, rows[1].is_dir),
            (&b"sub"[..], RowKind::Dir, 1, true)
        );
        let sub = cache.dir(1).unwrap();
        assert!(sub.racy && cache.dir(2).is_none());
        let rows: Vec<_> = cache.rows(&sub).map(|row| (row.name, row.kind)).collect();
        assert_eq!(rows, [(&b"x"[..], RowKind::Excluded)]);
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
    fn each_field_that_matters_changes_the_key() {
        let base = FileStat::default();
        let others = [
            FileStat { dev: 1, ..base },
            FileStat { ino: 1, ..base },
            FileStat { mode: 1, ..base },
            FileStat { size: 1, ..base },
            FileStat {
                mtime_ns: 1,
                ..base
            },
            FileStat {
                ctime_ns: 1,
                ..base
            },
        ];
        for other in &others {
            assert_ne!(StatKey::of(other), StatKey::of(&base));
        }
        let swapped = [(1, 2), (2, 1)].map(|(ino, size)| FileStat { ino, size, ..base });
        assert_ne!(StatKey::of(&swapped[0]), StatKey::of(&swapped[1]));
        let links = FileStat { nlink: 2, ..base };
        assert_eq!(StatKey::of(&links), StatKey::of(&base), "a new hard link");
    }

    #[test]
    fn neighbours_have_keys_that_differ_in_every_half() {
        let stats = (0..100_000).map(|number| FileStat {
            ino: 1000 + number,
            size: number % 4096,
            mtime_ns: 1_795_787_477_000_000_000 + (number as i64 / 7) * 4_000_000,
            ctime_ns: 1_795_787_477_000_000_000 + (number as i64 / 7) * 4_000_000,
            mode: 0o100_644,
            ..FileStat::default()
        });
        let keys: Vec<u64> = stats.map(|stat| StatKey::of(&stat).0).collect();
        // Of 100,000 random numbers of 32 bits about one pair is equal, ten hardly ever.
        for half in [0, 32] {
            let halves: HashSet<u32> = keys.iter().map(|key| (key >> half) as u32).collect();
            assert!(halves.len() > keys.len() - 10, "{half}: {}", halves.len());
        }
    }
}
