//! What was seen of one service: pure, the clock comes in as a parameter.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use hd_dag::TreePath;

/// A write that nobody asked about is forgotten after this time.
const KEPT: Duration = Duration::from_secs(60);
/// Files whose writes are remembered at most; beyond, the oldest half goes.
const WRITTEN_MAX: usize = 4096;
/// Files that were opened are remembered up to this number.
const READ_MAX: usize = 1 << 17;

/// A file, whatever it is called: device and inode number.
pub(super) type File = (u64, u64);

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Somebody looks.
    pub(super) is_witnessed: bool,
    /// When the last run began.
    pub(super) started: Option<Instant>,
    written: HashMap<File, Instant>,
    /// Files that were opened.
    pub(super) read: BTreeSet<TreePath>,
}

impl Seen {
    /// Enters a write.
    pub(super) fn write(&mut self, file: File, now: Instant) {
        if self.written.len() >= WRITTEN_MAX && !self.written.contains_key(&file) {
            let mut times: Vec<Instant> = self.written.values().copied().collect();
            times.sort_unstable();
            if let Some(middle) = times.get(times.len() / 2).copied() {
                self.written.retain(|_, at| *at > middle);
            }
        }
        self.written.insert(file, now);
    }

    /// Tells whether a file was written not long ago, and forgets it.
    pub(super) fn take_written(&mut self, file: File, now: Instant) -> bool {
        let at = self.written.remove(&file);
        at.is_some_and(|at| now.saturating_duration_since(at) < KEPT)
    }

    /// Enters that a file was opened.
    pub(super) fn open(&mut self, path: TreePath) {
        if self.read.len() < READ_MAX {
            self.read.insert(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_told_once_and_not_for_ever() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        seen.write((1, 1), now);
        assert!(seen.take_written((1, 1), now));
        assert!(!seen.take_written((1, 1), now), "told already");
        seen.write((1, 2), now);
        assert!(!seen.take_written((1, 2), now + KEPT), "too old");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_stay() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let files = WRITTEN_MAX as u64 + 10;
        for number in 0..files {
            seen.write((1, number), now + Duration::from_micros(number));
        }
        assert!(seen.written.len() <= WRITTEN_MAX);
        assert!(seen.take_written((1, files - 1), now));
        assert!(!seen.take_written((1, 0), now));
    }
}
