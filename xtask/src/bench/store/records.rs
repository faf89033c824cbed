//! What an edit appended to the segments of a store, by kind: the layout of a record is described in
//! `runtime/store/src/record.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::shell::{Doing, Failure};

const SEGMENT_HEADER: usize = 32;
const RECORD_HEADER: usize = 32;
const TABLE_LINE: usize = 36;
const CHUNKS: u8 = 1;
const NODES: u8 = 3;
/// The tag of a directory node.
const TREE: u8 = 1;

/// Where each segment ends.
pub(super) type Ends = BTreeMap<PathBuf, u64>;

/// Bytes of records, headers and tables included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Appended {
    pub(super) all: f64,
    /// Content of files, compressed.
    pub(super) content: f64,
    /// Nodes of directories, compressed: their share of the records they stand in.
    pub(super) directories: f64,
}

/// The segments of a store and their lengths; a stat cache is no growth of the store.
pub(super) fn ends(home: &Path) -> Result<Ends, Failure> {
    let mut ends = Ends::new();
    let mut waiting = vec![home.join("cas/objects")];
    while let Some(dir) = waiting.pop() {
        let doing = || format!("listing {}", dir.display());
        for entry in std::fs::read_dir(&dir).doing(doing)? {
            let entry = entry.doing(doing)?;
            let path = entry.path();
            let meta = entry
                .metadata()
                .doing(|| format!("looking at {}", path.display()))?;
            if meta.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "seg") {
                ends.insert(path, meta.len());
            }
        }
    }
    Ok(ends)
}

/// What was appended between two looks.
pub(super) fn appended(before: &Ends, after: &Ends) -> Result<Appended, Failure> {
    let mut sum = Appended::default();
    for path in after.keys() {
        let bytes = std::fs::read(path).doing(|| format!("reading {}", path.display()))?;
        let known = before.get(path).copied().unwrap_or(SEGMENT_HEADER as u64);
        let new = bytes.get(known as usize..).unwrap_or_default();
        let unknown = || Failure::new(format!("{} holds no record at {known}", path.display()));
        add_records(new, &mut sum).ok_or_else(unknown)?;
    }
    Ok(sum)
}

/// Adds records that lie one after the other; `None` for bytes that are none.
fn add_records(mut bytes: &[u8], sum: &mut Appended) -> Option<()> {
    while !bytes.is_empty() {
        let header = bytes.get(..RECORD_HEADER)?;
        let (kind, count) = (header[4], u16::from_le_bytes([header[6], header[7]]));
        let body_start = RECORD_HEADER + usize::from(count) * TABLE_LINE;
        let len = (body_start + number(header, 8)? as usize).next_multiple_of(8);
        let table = bytes.get(RECORD_HEADER..body_start)?;
        if !header.starts_with(b"hdR1") {
            return None;
        }
        let tagged = |line: &[u8]| number(line, 32).unwrap_or_default();
        let lines: Vec<u32> = table.chunks_exact(TABLE_LINE).map(tagged).collect();
        let raw = |lines: &mut dyn Iterator<Item = &u32>| {
            lines.map(|line| f64::from(line & 0x00ff_ffff)).sum::<f64>()
        };
        sum.all += len as f64;
        match kind {
            CHUNKS => sum.content += len as f64,
            NODES => {
                let trees = raw(&mut lines.iter().filter(|line| (**line >> 24) as u8 == TREE));
                sum.directories += len as f64 * trees / raw(&mut lines.iter()).max(1.0);
            }
            _ => {}
        }
        bytes = bytes.get(len..)?;
    }
    Some(())
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, lines: &[(u8, u32)], stored: u32) -> Vec<u8> {
        let mut bytes = vec![0; RECORD_HEADER];
        bytes[..4].copy_from_slice(b"hdR1");
        bytes[4] = kind;
        bytes[6] = lines.len() as u8;
        bytes[8..12].copy_from_slice(&stored.to_le_bytes());
        for (tag, len) in lines {
            bytes.extend_from_slice(&[0; 32]);
            bytes.extend_from_slice(&(u32::from(*tag) << 24 | len).to_le_bytes());
        }
        bytes.resize((bytes.len() + stored as usize).next_multiple_of(8), 7);
        bytes
    }

    #[test]
    fn records_are_added_up_by_kind() {
        let parts = [
            record(CHUNKS, &[(0, 100)], 60),
            record(NODES, &[(TREE, 300), (2, 100)], 125),
            record(5, &[], 48),
        ];
        let mut sum = Appended::default();
        assert_eq!(add_records(&parts.concat(), &mut sum), Some(()));
        let expected = Appended {
            all: 128.0 + 232.0 + 80.0,
            content: 128.0,
            directories: 174.0,
        };
        assert_eq!(sum, expected);
        assert_eq!(add_records(&[1; 100], &mut sum), None);
        assert_eq!(add_records(&parts[0][..90], &mut sum), None);
    }
}
