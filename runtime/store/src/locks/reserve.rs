//! A little space set aside, so that a collection can free the rest of a full disk: it has to
//! write down what it is about to remove before it removes it.

use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

use crate::durable::{open_private, remove_if_there};
use crate::{Error, Result};

const NAME: &str = "reserve";
/// Enough for the list of what goes and for FORGET records; without a new index a segment is read
/// all the same.
const BYTES: u64 = 256 << 10;

/// Gives the space back.
pub(super) fn free(dir: &Path) -> Result<()> {
    remove_if_there(&dir.join(NAME)).map(drop)
}

/// Takes the space unless it is taken. Without room there is no reserve, which is no error: the
/// next collection tries again.
pub(super) fn fill(dir: &Path) {
    let path = dir.join(NAME);
    let taken = |path: &Path| std::fs::metadata(path).is_ok_and(|meta| meta.len() >= BYTES);
    if taken(&path) {
        return;
    }
    let made = open_private(&path).and_then(|file| {
        fallocate(&file, FallocateFlags::empty(), 0, BYTES).map_err(Error::io("reserve", &path))
    });
    if let Err(error) = made {
        tracing::debug!(%error, "no space is kept for a collection on a full disk");
        free(dir).ok();
    }
}
