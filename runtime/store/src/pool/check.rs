//! Hashes the raw copies: the kernel reads them by itself, so nobody else does.

use std::fs::{self, File};
use std::path::Path;
use std::str::FromStr;

use super::Pool;
use super::evict::kept;
use crate::durable::remove_if_there;
use crate::{Error, Id, Result, Store};

/// A raw copy that did not match its name, and was removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BadCopy {
    /// The blob it was to be a copy of.
    pub id: Id,
    /// Whether a copy was made anew from the store. Else one is made when the blob is next read.
    pub made_anew: bool,
}

/// What a check of the raw copies found.
#[derive(Debug, Default)]
pub(crate) struct CheckedCopies {
    pub(crate) copies: u64,
    pub(crate) bytes: u64,
    pub(crate) bad: Vec<BadCopy>,
}

impl Store {
    /// Hashes every raw copy; one that does not match its name is removed and made anew. Images of trees have no
    /// hash, and are not looked at.
    pub(crate) fn check_copies(&self) -> Result<CheckedCopies> {
        let mut checked = CheckedCopies::default();
        if !self.pools_dir().is_dir() {
            return Ok(checked);
        }
        let pool = self.pool()?;
        for file in kept(&pool.dir)? {
            let Ok(id) = Id::from_str(&file.name) else {
                continue;
            };
            let Some((hash, bytes)) = hash_of(&file.path)? else {
                continue;
            };
            checked.copies += 1;
            checked.bytes += bytes;
            if hash.as_bytes() != id.as_bytes() {
                let made_anew = pool.replace(&id, &file.path)?;
                checked.bad.push(BadCopy { id, made_anew });
            }
        }
        checked.bad.sort();
        Ok(checked)
    }
}

impl Pool {
    /// Removes a copy and makes it anew; answers whether there is one then.
    fn replace(&self, id: &Id, path: &Path) -> Result<bool> {
        remove_if_there(path)?;
        match self.fill(id) {
            Ok(made) => Ok(made),
            // The blob is damaged too, and named as such, or is not stored any more.
            Err(Error::NotFound { .. } | Error::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Hashes a file; nothing when another process has removed it. One that cannot be read has the hash of nothing.
fn hash_of(path: &Path) -> Result<Option<(blake3::Hash, u64)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("open", path)(e)),
    };
    let bytes = fs::metadata(path).map_or(0, |meta| meta.len());
    let mut hasher = blake3::Hasher::new();
    match hasher.update_reader(file) {
        Ok(_) => Ok(Some((hasher.finalize(), bytes))),
        // A bad sector: what can be made anew need not be read.
        Err(_) => Ok(Some((blake3::Hash::from_bytes([0; 32]), bytes))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::VerifyOptions;

    #[test]
    fn a_copy_with_a_flipped_bit_is_removed_made_anew_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut writer = store.writer().unwrap();
        let ids = [[1u8; 9000], [2; 9000], [3; 9000]].map(|bytes| writer.put_blob(&bytes).unwrap());
        writer.commit().unwrap();
        let pool = store.pool().unwrap();
        for id in &ids {
            assert!(pool.fill(id).unwrap());
        }
        let verify = |read_data| {
            let options = VerifyOptions {
                read_data,
                links: None,
            };
            store.verify(&options).unwrap()
        };
        let clean = verify(true);
        assert_eq!((clean.copies, clean.bad_copies), (3, vec![]));

        let path = pool.blob_path(&ids[1]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[4000] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let unread = verify(false);
        assert_eq!((unread.copies, unread.bad_copies), (0, vec![]));
        let id = ids[1];
        let report = verify(true);
        let bad = BadCopy {
            id,
            made_anew: true,
        };
        assert_eq!((report.copies, report.bad_copies), (3, vec![bad]));
        assert_eq!(fs::read(&path).unwrap(), [2; 9000]);
        assert_eq!(verify(true).bad_copies, []);
    }
}
