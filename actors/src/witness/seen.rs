//! What was seen of one service: pure, the clock comes in as a parameter.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime};

use hd_dag::TreePath;

/// A write that nobody asked about is forgotten after this time.
const KEPT: Duration = Duration::from_secs(60);
/// A file that changed later than this after a write was seen was changed by somebody else. Until then it may be the
/// times and rights that programs set once a file is written.
const AFTERMATH: Duration = Duration::from_secs(1);
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
    written: HashMap<File, Write>,
    /// Files that were opened.
    pub(super) read: BTreeSet<TreePath>,
}

/// When a write was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    /// By the clock that is never set.
    pub(super) at: Instant,
    /// By the clock that files are dated with.
    pub(super) date: SystemTime,
}

impl Write {
    pub(super) fn now() -> Self {
        Self {
            at: Instant::now(),
            date: SystemTime::now(),
        }
    }
}

impl Seen {
    /// Enters a write.
    pub(super) fn write(&mut self, file: File, write: Write) {
        if self.written.len() >= WRITTEN_MAX && !self.written.contains_key(&file) {
            let mut times: Vec<Instant> = self.written.values().map(|write| write.at).collect();
            times.sort_unstable();
            if let Some(middle) = times.get(times.len() / 2).copied() {
                self.written.retain(|_, write| write.at > middle);
            }
        }
        self.written.insert(file, write);
    }

    /// Tells whether a file that changed last at a date was written not long ago, and by nobody else since; forgets
    /// the write.
    ///
    /// One write is seen more than once (when it is made, when the file is closed), and may have been told already
    /// the first time: what is left of it does not stand for a later change.
    pub(super) fn take_written(&mut self, file: File, changed: SystemTime, now: Instant) -> bool {
        let write = self.written.remove(&file);
        write.is_some_and(|write| {
            now.saturating_duration_since(write.at) < KEPT && changed < write.date + AFTERMATH
        })
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

    fn at(now: Instant) -> Write {
        Write {
            at: now,
            date: SystemTime::UNIX_EPOCH + Duration::from_secs(1000),
        }
    }

    fn changed(after_ms: i64) -> SystemTime {
        let ms = u64::try_from(1_000_000 + after_ms).unwrap();
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    #[test]
    fn a_write_is_told_once_and_not_for_ever() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        seen.write((1, 1), at(now));
        assert!(seen.take_written((1, 1), changed(0), now));
        assert!(!seen.take_written((1, 1), changed(0), now), "told already");
        seen.write((1, 2), at(now));
        assert!(
            !seen.take_written((1, 2), changed(0), now + KEPT),
            "too old"
        );
    }

    #[test]
    fn it_does_not_stand_for_what_somebody_else_wrote_later() {
        let cases = [
            (-5, true),
            (0, true),
            (900, true),
            (1000, false),
            (60_000, false),
        ];
        for (after_ms, expected) in cases {
            let (mut seen, now) = (Seen::default(), Instant::now());
            seen.write((1, 1), at(now));
            let told = seen.take_written((1, 1), changed(after_ms), now);
            assert_eq!(told, expected, "changed {after_ms} ms after");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_stay() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let files = WRITTEN_MAX as u64 + 10;
        for number in 0..files {
            seen.write((1, number), at(now + Duration::from_micros(number)));
        }
        assert!(seen.written.len() <= WRITTEN_MAX);
        assert!(seen.take_written((1, files - 1), changed(0), now));
        assert!(!seen.take_written((1, 0), changed(0), now));
    }
}
