//! What keeps things from being collected while a command works on them.

use crate::locks::Held;
use crate::{Result, Store};

/// Keeps everything that was found stored, or written, since it was taken.
///
/// Take it before looking anything up that is to be relied on, and drop it once a reference or a
/// [`Lease`](crate::Lease) names what must stay. It never waits, and nobody but a collection waits
/// for it: keep it short, or a collection gives up.
#[derive(Debug)]
pub struct Hold {
    _held: Held,
}

impl Store {
    /// Begins to rely on what is stored.
    ///
    /// # Errors
    /// I/O errors.
    pub fn hold(&self) -> Result<Hold> {
        let hold = self.begin()?;
        self.refresh()?;
        Ok(hold)
    }

    /// Begins as [`Store::hold`] does, without looking at the store, for a thread that must not
    /// wait for a disk: [`Store::refresh`] comes before the first reliance. Writers, histories and
    /// everything that opens one do that by themselves.
    ///
    /// # Errors
    /// I/O errors.
    pub fn begin(&self) -> Result<Hold> {
        Ok(Hold {
            _held: self.inner.locks.begin()?,
        })
    }
}
