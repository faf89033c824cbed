//! What a run has made and the next one does not need: it goes at the end, with all the rest.
//!
//! Deleting is work, and some file systems make whoever creates files next pay for it too: ext4
//! without a journal passes over inodes that were deleted within the last minute, one by one. So
//! nobody deletes between two runs, unless the disk would become full.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes that stay free; with less, what is not needed goes at once.
const ROOM: u64 = 8 << 30;

/// Takes what is not needed any more.
#[derive(Debug, Default)]
pub(super) struct Discard {
    /// Something had to go at once.
    deleted: AtomicBool,
}

impl Discard {
    /// Leaves a directory for the end if there is room.
    pub(super) fn take(&self, directory: &Path) {
        let free = rustix::fs::statvfs(directory)
            .map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        self.take_with(directory, free);
    }

    fn take_with(&self, directory: &Path, free: u64) {
        if free < ROOM {
            self.deleted.store(true, Ordering::Relaxed);
            // What stays goes at the end.
            let _ = std::fs::remove_dir_all(directory);
        }
    }

    /// Says what was done, for the report.
    pub(super) fn note(&self) -> String {
        let told = match self.deleted.load(Ordering::Relaxed) {
            false => "what the runs made was deleted after the last of them, on every side",
            true => "for want of room on the disk what the runs made was deleted between them",
        };
        told.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_discarded_stays_until_room_is_short() {
        let place = tempfile::tempdir().unwrap();
        let (first, second) = (place.path().join("a"), place.path().join("b"));
        for directory in [&first, &second] {
            std::fs::create_dir(directory).unwrap();
            std::fs::write(directory.join("file"), "").unwrap();
        }
        let discard = Discard::default();
        discard.take_with(&first, ROOM);
        assert!(first.join("file").exists() && discard.note().contains("after the last"));
        discard.take_with(&second, ROOM - 1);
        assert!(!second.exists() && discard.note().contains("want of room"));
    }
}
