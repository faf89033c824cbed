//! Writes down what a scan saw.

use std::path::Path;

use super::cache::{Builder, HalfId, Row, RowKind, Stamp, StatCache};
use super::dirs::encode_attributes;
use super::types::{ScanCounts, Scanned, ScannedKind};
use super::walk::{Found, FoundRow};
use crate::Result;

/// The longest name a cache can hold; a directory with a longer one is listed each time.
const LONGEST_NAME: usize = u8::MAX as usize;

/// Says whether what had to be looked at anew is worth a new cache.
///
/// Writing one costs about 150 ns for each row; reading a file or listing a directory again about
/// 20 µs, and 1 µs for each KiB. So a small edit in a huge project is read again by a few scans
/// rather than that each of them writes everything down.
pub(super) fn is_worth_it(counts: &ScanCounts, changed_rows: usize, rows: usize) -> bool {
    let again_ns = (counts.hashed + counts.listed + changed_rows as u64) * 20_000 + counts.bytes;
    again_ns * 4 > rows as u64 * 150
}

/// Writes the cache of a finished walk; answers its stamp.
pub(super) fn save(
    path: &Path,
    epoch: u64,
    fingerprint: &[u8; 32],
    old: Option<&StatCache>,
    dirs: &[Found],
) -> Result<Stamp> {
    let mut builder = Builder::default();
    for dir in dirs {
        let incomplete = add_rows(&mut builder, dir, old, dirs);
        builder.dir(dir.key, incomplete || dir.failed || dir.racy);
    }
    builder.save(path, epoch, fingerprint)
}

/// Adds the rows of a directory; answers whether it has to be listed again.
fn add_rows(builder: &mut Builder, dir: &Found, old: Option<&StatCache>, dirs: &[Found]) -> bool {
    let cached = old.and_then(|old| Some(old.rows(&old.dir(dir.cached?)?)));
    let mut cached = cached.into_iter().flatten().enumerate();
    let mut children = dir.children.iter();
    let mut incomplete = false;
    let mut add = |mut row: Row<'_>| {
        let mut extra = None;
        if row.kind == RowKind::Dir {
            let child = children.next().and_then(|child| dirs.get(*child as usize));
            let Some(child) = child.filter(|child| !child.failed) else {
                // A directory that was not read is looked for again.
                incomplete = true;
                return;
            };
            row.child = child.id;
            let itself = child.scanned.as_ref();
            extra = itself.map(|itself| encode_attributes(&itself.xattrs));
        }
        incomplete |= row.name.len() > LONGEST_NAME;
        if row.name.len() <= LONGEST_NAME {
            builder.row(&Row {
                extra: extra.as_deref().unwrap_or(row.extra),
                ..row
            });
        }
    };
    let mut unread = false;
    match &dir.rows {
        None => cached.for_each(|(_, row)| add(row)),
        Some(rows) => {
            for row in rows {
                match row.as_cached {
                    Some(number) => {
                        let row = cached.find(|(at, _)| *at == number as usize);
                        row.into_iter().for_each(|(_, row)| add(row));
                    }
                    None => unread |= !add_new(dir, row, &mut add),
                }
            }
        }
    }
    incomplete || unread
}

/// Adds a row that is not as in an older cache; answers false for one that could not be read.
fn add_new(dir: &Found, row: &FoundRow, add: &mut dyn FnMut(Row<'_>)) -> bool {
    let (mut blob, mut extra) = (HalfId::default(), Vec::new());
    match (row.kind, row.scanned.as_ref().map(|scanned| &scanned.kind)) {
        (RowKind::Regular, Some(ScannedKind::Regular { blob: id, .. })) => {
            blob.copy_from_slice(&id.as_bytes()[..16]);
            let xattrs = row.scanned.as_ref().map(|scanned| &scanned.xattrs);
            extra = xattrs.map(encode_attributes).unwrap_or_default();
        }
        (RowKind::Symlink, Some(ScannedKind::Symlink { target })) => extra.clone_from(target),
        (RowKind::Regular | RowKind::Symlink, _) => return false,
        _ => {}
    }
    add(Row {
        name: row_name(dir, row),
        kind: row.kind,
        is_dir: row.is_dir,
        racy: row.racy,
        key: row.key,
        blob,
        extra: &extra,
        child: 0,
    });
    true
}

fn row_name<'r>(dir: &Found, row: &'r FoundRow) -> &'r [u8] {
    let Some(Scanned { path, .. }) = &row.scanned else {
        return &row.name;
    };
    let skip = if dir.path.is_empty() {
        0
    } else {
        dir.path.len() + 1
    };
    path.get(skip..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_renewed_when_that_is_cheaper_than_looking_again() {
        let read = |hashed, bytes| ScanCounts {
            hashed,
            bytes,
            ..ScanCounts::default()
        };
        assert!(is_worth_it(&read(1, 100), 1, 100), "a small project");
        assert!(!is_worth_it(&read(1, 4096), 1, 100_000), "a small edit");
        assert!(is_worth_it(&read(500, 4096), 500, 100_000), "a checkout");
        assert!(is_worth_it(&read(1, 1 << 30), 1, 100_000), "a large file");
        assert!(!is_worth_it(&read(0, 0), 0, 5), "nothing");
    }
}
