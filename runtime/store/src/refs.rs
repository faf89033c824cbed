//! Roots: one small file per thing that must stay. No reference counts.
//!
//! ```text
//! refs/<64 hex>   0 "hdref001"   8 CRC32C of what follows (u32)   12 CBOR {name, project, at, links}
//! ```
//! The file is named by a hash of the reference's name, so that any name will do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable::{Durability, TEMPORARY_PREFIX, names_in, remove_if_there, replace, sync_dir};
use crate::record::u32_at;
use crate::{Error, Id, Link, Result, Store};

const MAGIC: [u8; 8] = *b"hdref001";
const HEADER_LEN: usize = 12;
const NAME_CONTEXT: &str = "hd 2026 reference name v1";

/// What a reference keeps alive, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefRecord {
    /// What it points to.
    pub links: Vec<Link>,
    /// The project it was made for; empty for none.
    pub project: String,
    /// When it was made, in milliseconds since the epoch.
    pub at_unix_ms: u64,
}

/// A reference file that cannot be understood. What it kept is not known, so nothing is collected while it is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BadRef {
    /// The file.
    pub path: PathBuf,
    /// What did not match.
    pub reason: String,
}

/// All files of references.
#[derive(Debug, Default)]
pub(crate) struct FoundRefs {
    pub(crate) sound: Vec<(String, RefRecord)>,
    pub(crate) bad: Vec<BadRef>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    name: String,
    project: String,
    at: u64,
    links: Vec<Link>,
}

impl Store {
    /// Puts or replaces a reference; on return it is durable.
    ///
    /// Keep the [`crate::Writer`] that committed the targets, or the [`crate::Hold`] under which
    /// they were found, alive until this returns, else a collection may take them in between.
    ///
    /// # Errors
    /// [`Error::DanglingRef`] when a target is not stored, and I/O errors.
    pub fn put_ref(&self, name: &str, record: &RefRecord) -> Result<()> {
        self.refresh()?;
        for link in &record.links {
            // What is condemned counts: whoever holds it makes the collection keep it.
            if !self.is_stored(&link.id())? {
                return Err(Error::DanglingRef {
                    name: name.to_owned(),
                    id: link.id(),
                });
            }
        }
        // The targets may have been committed by another process a moment ago.
        self.inner.shelf.make_durable()?;
        let path = self.ref_path(name);
        let _not_dropped_now = self.inner.locks.change_refs()?;
        replace(&path, &encode(name, record, &path)?, Durability::Synced)
    }

    /// Drops a reference; one that does not exist is dropped already.
    ///
    /// # Errors
    /// I/O errors.
    pub fn drop_ref(&self, name: &str) -> Result<()> {
        match remove_if_there(&self.ref_path(name))? {
            true => sync_dir(&self.refs_dir()),
            false => Ok(()),
        }
    }

    /// Drops references, unless they were put again since they were read.
    pub(crate) fn drop_unused_refs(&self, refs: &[(String, RefRecord)]) -> Result<()> {
        if refs.is_empty() {
            return Ok(());
        }
        let _nobody_puts = self.inner.locks.drop_refs()?;
        for (name, record) in refs {
            if self.get_ref(name)?.as_ref() == Some(record) {
                remove_if_there(&self.ref_path(name))?;
            }
        }
        sync_dir(&self.refs_dir())
    }

    /// Reads one reference.
    ///
    /// # Errors
    /// [`Error::DamagedRef`] and I/O errors.
    pub fn get_ref(&self, name: &str) -> Result<Option<RefRecord>> {
        Ok(read(&self.ref_path(name))?.map(|(_, record)| record))
    }

    /// Lists all references, sorted by name.
    ///
    /// # Errors
    /// [`Error::DamagedRef`] and I/O errors.
    pub fn refs(&self) -> Result<Vec<(String, RefRecord)>> {
        let found = self.refs_found()?;
        match found.bad.into_iter().next() {
            Some(BadRef { path, reason }) => Err(Error::DamagedRef { path, reason }),
            None => Ok(found.sound),
        }
    }

    /// Lists the references that can be understood, sorted by name: for those who would only tell of the others.
    ///
    /// # Errors
    /// I/O errors.
    pub fn sound_refs(&self) -> Result<Vec<(String, RefRecord)>> {
        Ok(self.refs_found()?.sound)
    }

    pub(crate) fn refs_found(&self) -> Result<FoundRefs> {
        let dir = self.refs_dir();
        let mut found = FoundRefs::default();
        for name in names_in(&dir)? {
            if name.to_string_lossy().starts_with(TEMPORARY_PREFIX) {
                continue;
            }
            match read(&dir.join(name)) {
                Err(Error::DamagedRef { path, reason }) => found.bad.push(BadRef { path, reason }),
                read => found.sound.extend(read?),
            }
        }
        found.sound.sort_by(|a, b| a.0.cmp(&b.0));
        found.bad.sort();
        Ok(found)
    }

    /// Removes the files of damaged references, unless they were put again meanwhile; answers how many.
    pub(crate) fn remove_bad_refs(&self, bad: &[BadRef]) -> Result<u64> {
        if bad.is_empty() {
            return Ok(0);
        }
        let _nobody_puts = self.inner.locks.drop_refs()?;
        let mut removed = 0;
        for BadRef { path, .. } in bad {
            if matches!(read(path), Err(Error::DamagedRef { .. })) {
                removed += u64::from(remove_if_there(path)?);
            }
        }
        sync_dir(&self.refs_dir())?;
        Ok(removed)
    }

    pub(crate) fn refs_dir(&self) -> PathBuf {
        self.inner.cas.join("refs")
    }

    fn ref_path(&self, name: &str) -> PathBuf {
        self.refs_dir()
            .join(Id::derive(NAME_CONTEXT, name.as_bytes()).to_string())
    }
}

pub(crate) fn encode(name: &str, record: &RefRecord, path: &Path) -> Result<Vec<u8>> {
    let RefRecord {
        links,
        project,
        at_unix_ms,
    } = record.clone();
    let stored = Stored {
        name: name.to_owned(),
        project,
        at: at_unix_ms,
        links,
    };
    let mut body = Vec::new();
    ciborium::into_writer(&stored, &mut body)
        .map_err(|error| Error::io("encode", path)(io::Error::other(error.to_string())))?;
    let mut file = MAGIC.to_vec();
    file.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    file.append(&mut body);
    Ok(file)
}

/// Reads a reference file; one that went away meanwhile is no error.
pub(crate) fn read(path: &Path) -> Result<Option<(String, RefRecord)>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let damaged = |reason: &str| Error::DamagedRef {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    if bytes.len() < HEADER_LEN || bytes[..8] != MAGIC {
        return Err(damaged("it does not start as a reference does"));
    }
    let body = &bytes[HEADER_LEN..];
    if crc32c::crc32c(body) != u32_at(&bytes, 8) {
        return Err(damaged("its checksum is wrong"));
    }
    let stored: Stored =
        ciborium::from_reader(body).map_err(|error| damaged(&error.to_string()))?;
    let Stored {
        name,
        project,
        at,
        links,
    } = stored;
    Ok(Some((
        name,
        RefRecord {
            links,
            project,
            at_unix_ms: at,
        },
    )))
}
