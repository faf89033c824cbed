//! Writes a stat cache.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    DIR, DIR_RACY, FLAG_EXTRA, FLAG_IS_DIR, FLAG_RACY, MAGIC, ROW, Row, RowKind, Stamp, StatKey,
};
use crate::durable::{Durability, replace};
use crate::scan::walk::now_ns;
use crate::{Error, Id, Result};

/// The fastest that finds repetitions far apart; names are short against what else a scan does.
const NAMES_LEVEL: i32 = 1;

/// Builds a cache file.
#[derive(Debug, Default)]
pub(in crate::scan) struct Builder {
    dirs: Vec<u8>,
    rows: Vec<u8>,
    names: Vec<u8>,
    /// Where the rows and the names of the directory start that is being added.
    open: (usize, usize),
}

impl Builder {
    /// Adds a row of the next directory; [`Builder::dir`] closes it. Rows come sorted by name.
    pub(in crate::scan) fn row(&mut self, row: &Row<'_>) {
        self.rows.extend_from_slice(&row.key.0.to_le_bytes());
        match row.kind {
            RowKind::Dir => {
                self.rows.extend_from_slice(&row.child.to_le_bytes());
                self.rows.extend_from_slice(&[0; 12]);
            }
            _ => self.rows.extend_from_slice(&row.blob),
        }
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(row.racy, FLAG_RACY)
            | flag(row.is_dir, FLAG_IS_DIR)
            | flag(!row.extra.is_empty(), FLAG_EXTRA);
        // No file system of Linux has names of more than 255 bytes.
        self.rows
            .extend_from_slice(&[row.name.len() as u8, row.kind as u8 | flags]);
        self.names.extend_from_slice(row.name);
        if !row.extra.is_empty() {
            self.names
                .extend_from_slice(&(row.extra.len() as u32).to_le_bytes());
            self.names.extend_from_slice(row.extra);
        }
    }

    /// Closes a directory. Directories are numbered in the order of these calls.
    pub(in crate::scan) fn dir(&mut self, key: StatKey, racy: bool) {
        let (first, names) = self.open;
        let row = self.rows.len() / ROW;
        self.dirs.extend_from_slice(&key.0.to_le_bytes());
        let flags = if racy { DIR_RACY } else { 0 };
        for number in [flags, first as u32, (row - first) as u32, names as u32] {
            self.dirs.extend_from_slice(&number.to_le_bytes());
        }
        self.open = (row, self.names.len());
    }

    /// Writes the cache; answers its stamp. Not synced: a torn one does not check and is not used.
    pub(in crate::scan) fn save(
        self,
        path: &Path,
        epoch: u64,
        fingerprint: &[u8; 32],
    ) -> Result<Stamp> {
        let stamp = new_stamp();
        let names = zstd::bulk::compress(&self.names, NAMES_LEVEL)
            .map_err(Error::io("compress names for", path))?;
        let len = self.dirs.len() + self.rows.len() + names.len();
        let mut file = Vec::with_capacity(super::HEADER + len);
        file.extend_from_slice(&MAGIC);
        file.extend_from_slice(&[0; 8]);
        file.extend_from_slice(&epoch.to_le_bytes());
        file.extend_from_slice(&((self.dirs.len() / DIR) as u32).to_le_bytes());
        file.extend_from_slice(&((self.rows.len() / ROW) as u32).to_le_bytes());
        file.extend_from_slice(&stamp);
        file.extend_from_slice(fingerprint);
        file.extend_from_slice(&(self.names.len() as u32).to_le_bytes());
        for part in [self.dirs, self.rows, names] {
            file.extend_from_slice(&part);
        }
        let crc = crc32c::crc32c(&file[16..]);
        file[8..12].copy_from_slice(&crc.to_le_bytes());
        replace(path, &file, Durability::Derived)?;
        Ok(stamp)
    }
}

fn new_stamp() -> Stamp {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut seed = now_ns().to_le_bytes().to_vec();
    seed.extend_from_slice(&std::process::id().to_le_bytes());
    seed.extend_from_slice(&COUNTER.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    let mut stamp = Stamp::default();
    stamp.copy_from_slice(&Id::of(&seed).as_bytes()[..16]);
    stamp
}
