//! How soon to begin anew after the kernel's event queue has overflowed: pure.
//!
//! Setting watches and scanning open every directory, which are events themselves. Where that alone
//! overflows the queue, beginning anew at once would never end. During the pause everything is looked at every
//! now and then instead: an edit that was lost, or in a directory that came unseen, is found by that.

use std::time::{Duration, Instant};

/// Pause before the second of several in a row; doubled each time up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_secs(2);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// An overflow this long after the last one is a new matter.
const CALM: Duration = Duration::from_secs(120);

/// Remembers the last overflow.
#[derive(Debug, Default)]
pub(super) struct Overflows {
    last: Option<Instant>,
    pause: Duration,
}

impl Overflows {
    /// Enters an overflow at `now`; gives the pause before beginning anew, zero for at once.
    pub(super) fn enter(&mut self, now: Instant) -> Duration {
        let is_again = self
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < CALM);
        self.pause = match is_again {
            true => (self.pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX),
            false => Duration::ZERO,
        };
        self.last = Some(now);
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_one_is_answered_at_once_and_a_series_ever_later() {
        let (mut overflows, mut now) = (Overflows::default(), Instant::now());
        let mut enter = |after: u64| {
            now += Duration::from_secs(after);
            overflows.enter(now).as_secs()
        };
        assert_eq!(
            [enter(0), enter(1), enter(2), enter(4), enter(8)],
            [0, 2, 4, 8, 16]
        );
        assert_eq!(
            [enter(16), enter(32), enter(60), enter(119)],
            [32, 60, 60, 60]
        );
        assert_eq!([enter(120), enter(1)], [0, 2]);
    }
}
