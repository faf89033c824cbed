//! What the owner of a stat cache remembers about the state it describes.
//!
//! ```text
//!  0 "hdnote01"   8 CRC32C of everything from 16 on (u32)   12 zero (4)   16 stamp (16)   32 bytes
//! ```

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::cache::Stamp;
use crate::Result;
use crate::durable::{Durability, replace};
use crate::record::u32_at;

const MAGIC: [u8; 8] = *b"hdnote01";
const HEADER: usize = 32;

/// Remembers something about the state that a saved stat cache describes; the next
/// [`rescan`](super::rescan) gives it back together with what changed since.
///
/// Disposable like the cache itself: nothing is synced, and a note on another cache is no note.
///
/// # Errors
/// I/O errors.
pub fn note(cache: &Path, stamp: &Stamp, bytes: &[u8]) -> Result<()> {
    let mut file = Vec::with_capacity(HEADER + bytes.len());
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&[0; 8]);
    file.extend_from_slice(stamp);
    file.extend_from_slice(bytes);
    let crc = crc32c::crc32c(&file[16..]);
    file[8..12].copy_from_slice(&crc.to_le_bytes());
    replace(&path_of(cache), &file, Durability::Derived)
}

/// Reads the note on a cache; `None` when there is none on this one.
pub(super) fn read(cache: &Path, stamp: &Stamp) -> Option<Vec<u8>> {
    let file = fs::read(path_of(cache)).ok()?;
    let header = file.get(..HEADER)?;
    let sound = header[..8] == MAGIC
        && u32_at(header, 8) == crc32c::crc32c(&file[16..])
        && header[16..] == *stamp;
    sound.then(|| file[HEADER..].to_vec())
}

fn path_of(cache: &Path) -> PathBuf {
    let mut path = OsString::from(cache);
    path.push(".note");
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_belongs_to_one_cache_and_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        assert_eq!(read(&cache, &[1; 16]), None);
        note(&cache, &[1; 16], b"the tree").unwrap();
        assert_eq!(read(&cache, &[1; 16]), Some(b"the tree".to_vec()));
        assert_eq!(read(&cache, &[2; 16]), None, "of another cache");
        let good = fs::read(path_of(&cache)).unwrap();
        for at in (0..good.len()).filter(|at| !(12..16).contains(at)) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(path_of(&cache), &bad).unwrap();
            assert_eq!(read(&cache, &[1; 16]), None, "byte {at}");
        }
    }
}
