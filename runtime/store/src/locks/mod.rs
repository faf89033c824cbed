//! Locks between processes: flock only, so that the kernel releases them on `kill -9`.
//!
//! ```text
//! lock/gc              alone for the one collection that runs
//! lock/txn.0, txn.1    shared by everything that relies on what it found stored
//! lock/refs            shared while a reference is put, alone while unused ones are dropped
//! lock/phase           number of collections that turned the page (u64); its lowest bit names
//!                      the txn lock that newcomers take
//! lock/epoch           number of times that something stored may have gone (u64)
//! lock/condemned       what the running collection is about to remove      (`condemned`);
//!                      nothing while nobody holds lock/gc
//! lock/reserve         space given up for a moment by a collection on a full disk
//! ```
//! Nobody but a collection ever waits: it turns the page and then waits until the transactions of
//! the page before have ended, as RCU does with its grace period.

pub(crate) mod condemned;
mod counter;
mod holders;
mod reserve;

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::durable::{make_private_dir, open_private};
use crate::{Error, Result};
use condemned::Condemned;
use counter::Counter;

/// Between two looks at a lock that another process holds.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// References are put and dropped within milliseconds: who holds their lock for longer was stopped.
const REFS_WAIT: Duration = Duration::from_secs(20);

/// The lock files of a store.
#[derive(Debug)]
pub(crate) struct Locks {
    dir: PathBuf,
    phase: Counter,
    epoch: Counter,
}

/// Holds a lock until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _file: File,
}

impl Locks {
    pub(crate) fn open(dir: PathBuf) -> Result<Locks> {
        make_private_dir(&dir)?;
        Ok(Locks {
            phase: Counter::at(dir.join("phase")),
            epoch: Counter::at(dir.join("epoch")),
            dir,
        })
    }

    /// Begins a transaction: nothing that is not condemned yet is removed while the answer lives.
    pub(crate) fn begin(&self) -> Result<Held> {
        loop {
            let phase = self.phase.read()?;
            let held = self.lock(&page(phase), FlockOperation::LockShared)?;
            // The page may have been turned before the lock was ours.
            if self.phase.read()? == phase {
                return Ok(held);
            }
        }
    }

    /// Keeps other collections out; waits for one that runs, at most until `deadline`.
    pub(crate) fn collect(&self, deadline: Instant) -> Result<Held> {
        self.wait_for("gc", deadline)
    }

    /// Waits until no transaction is left from before the page was turned last. A collection that
    /// gave up may have left some, and turning the page twice would lose sight of them.
    pub(crate) fn wait_for_stragglers(&self, deadline: Instant) -> Result<()> {
        let before = self.phase.read()?.wrapping_sub(1);
        self.wait_for(&page(before), deadline).map(drop)
    }

    /// Turns the page, then waits until every transaction that began before has ended.
    pub(crate) fn turn(&self, deadline: Instant) -> Result<()> {
        let old = self.phase.read()?;
        self.phase.write(old.wrapping_add(1))?;
        self.wait_for(&page(old), deadline).map(drop)
    }

    /// Held for the moment of putting a reference.
    pub(crate) fn change_refs(&self) -> Result<Held> {
        let shared = FlockOperation::NonBlockingLockShared;
        self.wait_until("refs", shared, Instant::now() + REFS_WAIT)
    }

    /// Held for the moment of dropping references that nobody put again.
    pub(crate) fn drop_refs(&self) -> Result<Held> {
        self.wait_for("refs", Instant::now() + REFS_WAIT)
    }

    /// The number of times that something stored may have gone. Whoever remembers that a blob is
    /// stored (a stat cache) asks again when this number changes.
    pub(crate) fn epoch(&self) -> Result<u64> {
        self.epoch.read()
    }

    /// Advances the epoch durably.
    pub(crate) fn advance_epoch(&self) -> Result<()> {
        self.epoch.write(self.epoch.read()?.wrapping_add(1))
    }

    pub(crate) fn condemned_path(&self) -> PathBuf {
        self.dir.join("condemned")
    }

    /// What the running collection is about to remove. One that was killed leaves its list and removes nothing any
    /// more, so what it named may be relied on.
    pub(crate) fn condemned(&self) -> Result<Condemned> {
        let condemned = Condemned::read(&self.condemned_path())?;
        match !condemned.is_empty() && self.is_collecting()? {
            true => Ok(condemned),
            false => Ok(Condemned::default()),
        }
    }

    fn is_collecting(&self) -> Result<bool> {
        let path = self.dir.join("gc");
        let file = open_private(&path)?;
        // Nobody is told who holds it: this is asked often.
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(true),
            Err(error) => Err(Error::io("lock", path)(error)),
        }
    }

    /// Gives the space of the reserve back to the file system.
    pub(crate) fn use_reserve(&self) -> Result<()> {
        reserve::free(&self.dir)
    }

    /// Takes the reserve again, if there is space for it.
    pub(crate) fn fill_reserve(&self) {
        reserve::fill(&self.dir);
    }

    fn lock(&self, name: &str, operation: FlockOperation) -> Result<Held> {
        let path = self.dir.join(name);
        let file = open_private(&path)?;
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Held { _file: file }),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    let holders = holders::of(&file);
                    return Err(Error::Busy { path, holders });
                }
                Err(error) => return Err(Error::io("lock", path)(error)),
            }
        }
    }

    /// Waits until nobody else holds a lock.
    fn wait_for(&self, name: &str, deadline: Instant) -> Result<Held> {
        self.wait_until(name, FlockOperation::NonBlockingLockExclusive, deadline)
    }

    fn wait_until(&self, name: &str, operation: FlockOperation, deadline: Instant) -> Result<Held> {
        loop {
            match self.lock(name, operation) {
                Err(Error::Busy { .. }) if Instant::now() < deadline => {
                    std::thread::park_timeout(LOOK_EVERY);
                }
                done => return done,
            }
        }
    }
}

fn page(phase: u64) -> String {
    format!("txn.{}", phase & 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locks() -> (tempfile::TempDir, Locks) {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::open(dir.path().join("lock")).unwrap();
        (dir, locks)
    }

    #[test]
    fn a_collection_waits_for_older_transactions_only() {
        let (_dir, locks) = locks();
        let now = Instant::now;
        let old = locks.begin().unwrap();
        locks.wait_for_stragglers(now()).unwrap();
        assert!(matches!(locks.turn(now()), Err(Error::Busy { .. })));
        // Whoever begins now is on the new page; the one left over is still seen.
        let new = locks.begin().unwrap();
        assert!(matches!(
            locks.wait_for_stragglers(now()),
            Err(Error::Busy { .. })
        ));
        drop(old);
        locks.wait_for_stragglers(now()).unwrap();
        assert!(matches!(locks.turn(now()), Err(Error::Busy { .. })));
        drop(new);
        locks.wait_for_stragglers(now()).unwrap();
        locks.turn(now()).unwrap();
    }

    #[test]
    fn references_are_put_side_by_side_and_dropped_alone() {
        let (_dir, locks) = locks();
        let puts = [locks.change_refs().unwrap(), locks.change_refs().unwrap()];
        assert!(matches!(
            locks.wait_for("refs", Instant::now()),
            Err(Error::Busy { .. })
        ));
        drop(puts);
        let drops = locks.drop_refs().unwrap();
        let shared = FlockOperation::NonBlockingLockShared;
        let Err(Error::Busy { holders, .. }) = locks.wait_until("refs", shared, Instant::now())
        else {
            panic!("put while others are dropped");
        };
        assert_eq!(holders, [std::process::id()]);
        drop(drops);
        locks.change_refs().unwrap();
    }

    #[test]
    fn there_is_one_collection_at_a_time_and_the_error_names_it() {
        let (_dir, locks) = locks();
        let one = locks.collect(Instant::now()).unwrap();
        let Err(Error::Busy { holders, .. }) = locks.collect(Instant::now()) else {
            panic!("two collections");
        };
        assert_eq!(holders, [std::process::id()]);
        drop(one);
        locks.collect(Instant::now()).unwrap();
    }

    #[test]
    fn the_epoch_moves_on_even_from_garbage() {
        let (dir, locks) = locks();
        assert_eq!(locks.epoch().unwrap(), 0);
        locks.advance_epoch().unwrap();
        assert_eq!(locks.epoch().unwrap(), 1);
        std::fs::write(dir.path().join("lock/epoch"), "??").unwrap();
        let garbage = locks.epoch().unwrap();
        locks.advance_epoch().unwrap();
        assert_ne!(locks.epoch().unwrap(), garbage);
    }
}
