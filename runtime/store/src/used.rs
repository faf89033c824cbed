//! When entries of histories were used last, so that a collection takes what is used least.
//!
//! ```text
//! cas/used   per use, 32 bytes: first 8 bytes of the key (u64)   8 time of the entry (u64)
//!            16 time of the use (u64)   24 CRC32C of the bytes before (u32)   28 zero (4)
//! ```
//! Appended without a sync, and not again within an hour: what a power cut takes of it costs the
//! order in which a collection goes, never an object.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::appender::now_unix_ms;
use crate::durable::{Durability, private, replace};
use crate::record::{u32_at, u64_at};
use crate::segment::lock;
use crate::{Error, HistoryEntry, Id, Result, Store};

const LINE: usize = 32;
/// A use is not written down again within this time, in milliseconds.
const SAME_USE_MS: u64 = 3_600_000;
/// A longer file is written anew before it is appended to.
const LONG: usize = 1 << 20;

/// The last use of entries by prefix of the key and time of the entry.
pub(crate) type Uses = HashMap<(u64, u64), u64>;

impl Store {
    /// Notes that an entry of a history was of use just now.
    ///
    /// Costs a write of 32 bytes an hour and entry; a store that cannot be written to forgets it.
    pub fn note_use(&self, key: &Id, entry: &HistoryEntry) {
        let (spot, now) = ((key.prefix(), entry.at_unix_ms), now_unix_ms());
        let mut known = lock(&self.inner.used);
        let uses = known.get_or_insert_with(|| read(&self.used_path()).0);
        let last = uses.get(&spot).copied().unwrap_or(0).max(spot.1);
        if now.saturating_sub(last) < SAME_USE_MS {
            return;
        }
        uses.insert(spot, now);
        if let Err(error) = append(&self.used_path(), spot, now) {
            tracing::debug!(%error, "a use was not noted");
        }
    }

    /// The uses that are written down.
    pub(crate) fn uses(&self) -> Uses {
        read(&self.used_path()).0
    }

    /// Forgets all uses before a time, in milliseconds since the epoch.
    pub(crate) fn forget_uses(&self, before_unix_ms: u64) -> Result<()> {
        let path = self.used_path();
        let (mut uses, bytes) = read(&path);
        uses.retain(|_, at| *at >= before_unix_ms);
        match bytes > uses.len() * LINE {
            true => rewrite(&path, &uses),
            false => Ok(()),
        }
    }

    fn used_path(&self) -> PathBuf {
        self.inner.cas.join("used")
    }
}

fn line(spot: (u64, u64), at: u64) -> [u8; LINE] {
    let mut line = [0; LINE];
    line[..8].copy_from_slice(&spot.0.to_le_bytes());
    line[8..16].copy_from_slice(&spot.1.to_le_bytes());
    line[16..24].copy_from_slice(&at.to_le_bytes());
    let crc = crc32c::crc32c(&line[..24]);
    line[24..28].copy_from_slice(&crc.to_le_bytes());
    line
}

/// Reads what checks of a file; answers its length in bytes too.
fn read(path: &Path) -> (Uses, usize) {
    let bytes = fs::read(path).unwrap_or_default();
    let mut uses = Uses::new();
    for line in bytes.chunks_exact(LINE) {
        if u32_at(line, 24) == crc32c::crc32c(&line[..24]) {
            let at = uses.entry((u64_at(line, 0), u64_at(line, 8))).or_insert(0);
            *at = u64_at(line, 16).max(*at);
        }
    }
    (uses, bytes.len())
}

fn append(path: &Path, spot: (u64, u64), at: u64) -> Result<()> {
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).mode(0o600).open(path);
    let mut file = opened.and_then(private).map_err(Error::io("open", path))?;
    let len = file.metadata().map_err(Error::io("look at", path))?.len() as usize;
    if len > LONG || !len.is_multiple_of(LINE) {
        // Lines behind a torn one would not be found.
        let mut uses = read(path).0;
        uses.insert(spot, at);
        return rewrite(path, &uses);
    }
    file.write_all(&line(spot, at))
        .map_err(Error::io("write", path))
}

fn rewrite(path: &Path, uses: &Uses) -> Result<()> {
    let mut lines: Vec<[u8; LINE]> = uses.iter().map(|(spot, at)| line(*spot, *at)).collect();
    lines.sort_unstable();
    replace(path, &lines.concat(), Durability::Derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_use_counts_and_a_torn_line_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("used");
        assert_eq!(read(&path), (Uses::new(), 0));
        for at in [5, 9, 7] {
            append(&path, (1, 2), at).unwrap();
        }
        append(&path, (1, 3), 4).unwrap();
        let expected = Uses::from([((1, 2), 9), ((1, 3), 4)]);
        assert_eq!(read(&path), (expected.clone(), 4 * LINE));
        let mut torn = fs::read(&path).unwrap();
        torn.truncate(4 * LINE - 1);
        torn[2 * LINE] ^= 1;
        fs::write(&path, &torn).unwrap();
        assert_eq!(read(&path).0, Uses::from([((1, 2), 9)]));
        append(&path, (1, 3), 4).unwrap();
        assert_eq!(read(&path), (expected, 2 * LINE));
    }

    #[test]
    fn a_use_is_written_down_once_an_hour() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let entry = |at_unix_ms| HistoryEntry {
            payload: Vec::new(),
            at_unix_ms,
        };
        let key = Id::of(b"key");
        store.note_use(&key, &entry(now_unix_ms()));
        assert_eq!(store.uses().len(), 0, "it was made a moment ago");
        for _ in 0..2 {
            store.note_use(&key, &entry(1));
            Store::open(dir.path()).unwrap().note_use(&key, &entry(1));
        }
        let len = fs::metadata(dir.path().join("used")).unwrap().len();
        assert_eq!((store.uses().len(), len), (1, LINE as u64));
        store.forget_uses(u64::MAX).unwrap();
        assert_eq!(store.uses().len(), 0);
    }
}
