//! References that live as long as the process that holds them.
//!
//! ```text
//! leases/<pid>-<random>-<number>.live   locked by the holder; free means that it is dead
//! leases/<pid>-<random>-<number>.ref    what it needs, in the form of a reference
//! ```
//! Nothing here is synced: after a power cut nobody is left who needs it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::durable::{
    Durability, TEMPORARY_PREFIX, make_private_dir, names_in, open_private, remove_if_there,
    replace, unique_name,
};
use crate::refs;
use crate::{Error, RefRecord, Result, Store};

const LIVE: &str = "live";
const REF: &str = "ref";

/// Names what its process needs; a collection keeps that until the lease is dropped or its
/// process is gone.
#[derive(Debug)]
pub struct Lease {
    name: String,
    content: PathBuf,
    live: PathBuf,
    _lock: File,
}

impl Store {
    /// Takes out a lease that names nothing yet.
    ///
    /// # Errors
    /// I/O errors.
    pub fn lease(&self) -> Result<Lease> {
        let dir = self.leases_dir();
        make_private_dir(&dir)?;
        let name = unique_name();
        let live = dir.join(format!("{name}.{LIVE}"));
        // Locked before it has its name, so that no collection finds it free.
        let unnamed = dir.join(format!("{TEMPORARY_PREFIX}{name}"));
        let lock = open_private(&unnamed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(Error::io("lock", &unnamed))?;
        fs::rename(&unnamed, &live).map_err(Error::io("name", &live))?;
        let content = dir.join(format!("{name}.{REF}"));
        Ok(Lease {
            name,
            content,
            live,
            _lock: lock,
        })
    }

    /// What live processes have leased; the leases of dead ones go.
    pub(crate) fn leases(&self) -> Result<Vec<(String, RefRecord)>> {
        let dir = self.leases_dir();
        let mut found = Vec::new();
        for name in names_in(&dir)? {
            let live = dir.join(&name);
            if live.extension().is_none_or(|extension| extension != LIVE) {
                continue;
            }
            let content = live.with_extension(REF);
            if is_held(&live)? {
                found.extend(refs::read(&content)?);
            } else {
                remove_if_there(&content)?;
                remove_if_there(&live)?;
            }
        }
        Ok(found)
    }

    pub(crate) fn leases_dir(&self) -> PathBuf {
        self.inner.cas.join("leases")
    }
}

fn is_held(live: &Path) -> Result<bool> {
    match File::open(live) {
        Ok(file) => Ok(flock(&file, FlockOperation::NonBlockingLockShared).is_err()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("open", live)(error)),
    }
}

impl Lease {
    /// Says what is needed from now on, in place of what was said before.
    ///
    /// The targets must be committed, and found or written under a [`Hold`](crate::Hold) or
    /// [`Writer`](crate::Writer) that still lives.
    ///
    /// # Errors
    /// I/O errors; what was said before stands then.
    pub fn set(&self, record: &RefRecord) -> Result<()> {
        let name = format!("process {}", self.name);
        let bytes = refs::encode(&name, record, &self.content)?;
        replace(&self.content, &bytes, Durability::Derived)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // In this order: a name without a lock is swept, a lock without a name means nothing.
        for path in [&self.content, &self.live] {
            remove_if_there(path).ok();
        }
    }
}
