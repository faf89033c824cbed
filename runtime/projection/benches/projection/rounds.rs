//! The rounds of a measure: so many, or as many as a time allows, and what is said meanwhile.

use std::time::{Duration, Instant};

/// Fewest rounds that say anything; the first of them warms up.
const FEWEST: usize = 4;
/// How often something is said.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Counts rounds from zero until there were enough of them, or the time is over.
#[derive(Debug)]
pub(crate) struct Rounds<'a> {
    measure: &'a str,
    next: usize,
    most: usize,
    time: Duration,
    began: Instant,
    said: Instant,
}

impl<'a> Rounds<'a> {
    /// At most `most` rounds; none begins after `time` but the fewest that say anything.
    pub(crate) fn of(measure: &'a str, most: usize, time: Duration) -> Self {
        let now = Instant::now();
        Self {
            measure,
            next: 0,
            most,
            time,
            began: now,
            said: now,
        }
    }
}

impl Iterator for Rounds<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let spent = self.began.elapsed();
        let is_time_over = self.next >= FEWEST && spent >= self.time;
        if self.next >= self.most || is_time_over {
            return None;
        }
        if self.said.elapsed() >= SAID_EVERY {
            self.said = Instant::now();
            eprintln!(
                "{}: round {} of at most {}, {} s",
                self.measure,
                self.next + 1,
                self.most,
                spent.as_secs()
            );
        }
        self.next += 1;
        Some(self.next - 1)
    }
}
