//! Locks between processes: flock only, so that the kernel releases them on `kill -9`.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::durable::{Durability, make_private_dir, open_private, replace};
use crate::{Error, Result};

/// The lock files of a store.
#[derive(Debug)]
pub(crate) struct Locks {
    dir: PathBuf,
}

/// Holds a lock until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _file: File,
}

impl Locks {
    pub(crate) fn open(dir: PathBuf) -> Result<Locks> {
        make_private_dir(&dir)?;
        Ok(Locks { dir })
    }

    /// Keeps collections out for as long as the answer lives; waits for one that runs.
    pub(crate) fn keep_gc_out(&self) -> Result<Held> {
        self.take(FlockOperation::LockShared)
    }

    /// Keeps every writer out; with `wait` false a busy store is an error.
    pub(crate) fn be_alone(&self, wait: bool) -> Result<Held> {
        self.take(match wait {
            true => FlockOperation::LockExclusive,
            false => FlockOperation::NonBlockingLockExclusive,
        })
    }

    fn take(&self, operation: FlockOperation) -> Result<Held> {
        let path = self.dir.join("gc");
        let file = open_private(&path)?;
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Held { _file: file }),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Err(Error::Busy { path }),
                Err(error) => return Err(Error::io("lock", path)(error)),
            }
        }
    }

    /// The number of times that something stored was removed or found damaged. Whoever remembers
    /// that a blob is stored (a stat cache) asks again when this number changes.
    pub(crate) fn epoch(&self) -> Result<u64> {
        let path = self.dir.join("epoch");
        match fs::read_to_string(&path) {
            // Garbage is another number than anyone remembers, which is the safe side.
            Ok(text) => Ok(text.trim().parse().unwrap_or(u64::MAX)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// Advances the epoch durably.
    pub(crate) fn advance_epoch(&self) -> Result<()> {
        let next = self.epoch()?.wrapping_add(1);
        replace(
            &self.dir.join("epoch"),
            format!("{next}\n").as_bytes(),
            Durability::Synced,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_and_collections_exclude_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::open(dir.path().join("lock")).unwrap();
        let (one, two) = (locks.keep_gc_out().unwrap(), locks.keep_gc_out().unwrap());
        assert!(matches!(locks.be_alone(false), Err(Error::Busy { .. })));
        drop((one, two));
        let alone = locks.be_alone(false).unwrap();
        assert!(matches!(locks.be_alone(false), Err(Error::Busy { .. })));
        drop(alone);
        locks.keep_gc_out().unwrap();
    }

    #[test]
    fn the_epoch_moves_on_even_from_garbage() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::open(dir.path().join("lock")).unwrap();
        assert_eq!(locks.epoch().unwrap(), 0);
        locks.advance_epoch().unwrap();
        assert_eq!(locks.epoch().unwrap(), 1);
        fs::write(dir.path().join("lock/epoch"), "??").unwrap();
        let garbage = locks.epoch().unwrap();
        locks.advance_epoch().unwrap();
        assert_ne!(locks.epoch().unwrap(), garbage);
    }
}
