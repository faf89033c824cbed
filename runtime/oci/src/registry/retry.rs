//! When to try again, how long to wait, and when a transfer is too slow. Pure but for the dice.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Slowest upload that is waited for, in bytes a second.
const SLOWEST: u64 = 32 << 10;
/// How many silences a registry may take to put away what was sent to it; some check or copy it first.
const COMMIT: u32 = 20;

/// Bounds what is done about answers and connections that fail for the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Tries altogether after a 5xx answer or a broken connection.
    pub tries: u32,
    /// Wait before the second try; it doubles each time, with jitter.
    pub base: Duration,
    /// Tries altogether when the registry says 429.
    pub rate_limited_tries: u32,
    /// Longest wait a registry may ask for by `Retry-After`.
    pub max_wait: Duration,
    /// Longest silence within a transfer.
    pub silence: Duration,
    /// Bytes that must arrive in each [`Retry::silence`] spent waiting.
    pub floor: u64,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            tries: 3,
            base: Duration::from_millis(250),
            rate_limited_tries: 5,
            max_wait: Duration::from_secs(60),
            silence: Duration::from_secs(30),
            floor: 4096,
        }
    }
}

impl Retry {
    /// Returns the wait after the `failed`-th failure (from 1): `base · 2^(n-1)`, between half of it and all of it.
    pub fn wait(&self, failed: u32) -> Duration {
        self.wait_with(failed, RandomState::new().build_hasher().finish())
    }

    /// Returns the wait for a host that was there before: 4 s and then 8 s where an ordinary one begins with ¼ s.
    pub fn wait_for_return(&self, failed: u32) -> Duration {
        self.wait(failed.saturating_add(4))
    }

    fn wait_with(&self, failed: u32, dice: u64) -> Duration {
        let doubled = self
            .base
            .saturating_mul(1 << failed.saturating_sub(1).min(10));
        let half = doubled.min(self.max_wait) / 2;
        half + half.mul_f64((dice % 1024) as f64 / 1024.0)
    }

    /// Returns how long an answer may take to a request that brings `sent` bytes. The whole sending counts, for nothing
    /// tells how far it is.
    pub fn answer_within(&self, sent: u64) -> Duration {
        match sent {
            0 => self.silence,
            sent => self.silence.saturating_mul(1 + COMMIT) + Duration::from_secs(sent / SLOWEST),
        }
    }

    /// Returns the wait that `Retry-After: seconds` asks for; a date or nothing counts as an ordinary failure.
    pub fn wait_as_told(&self, header: Option<&str>, failed: u32) -> Duration {
        match header.and_then(|text| text.trim().parse::<u64>().ok()) {
            Some(seconds) => Duration::from_secs(seconds).min(self.max_wait),
            None => self.wait(failed + 2),
        }
    }
}

/// Watches a transfer for being kept alive by a trickle.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    waited: Duration,
    got: u64,
}

impl Pace {
    /// Takes note of `got` bytes that were waited for; `false` when they come too slowly.
    pub(crate) fn keeps_up(&mut self, retry: &Retry, waited: Duration, got: u64) -> bool {
        self.waited += waited;
        self.got += got;
        if self.waited < retry.silence {
            return true;
        }
        let enough = self.got >= retry.floor;
        *self = Pace::default();
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_bounds() {
        let retry = Retry::default();
        for (failed, millis) in [(1, 250), (2, 500), (3, 1000), (30, 60_000)] {
            let full = Duration::from_millis(millis);
            assert_eq!(retry.wait_with(failed, 0), full / 2);
            let most = retry.wait_with(failed, 1023);
            assert!(most > full / 2 && most <= full, "{failed}: {most:?}");
        }
    }

    #[test]
    fn a_host_that_was_there_is_given_time() {
        let retry = Retry::default();
        for (failed, seconds) in [(1, 4), (2, 8)] {
            let (full, wait) = (Duration::from_secs(seconds), retry.wait_for_return(failed));
            assert!(wait >= full / 2 && wait <= full, "{failed}: {wait:?}");
        }
    }

    #[test]
    fn retry_after_is_obeyed_up_to_a_cap() {
        let retry = Retry::default();
        assert_eq!(retry.wait_as_told(Some("7"), 1), Duration::from_secs(7));
        assert_eq!(retry.wait_as_told(Some("86400"), 1), retry.max_wait);
        assert!(
            retry.wait_as_told(Some("Wed, 21 Oct 2026 07:28:00 GMT"), 1) <= Duration::from_secs(2)
        );
    }

    #[test]
    fn who_sends_much_may_wait_long() {
        let retry = Retry::default();
        assert_eq!(retry.answer_within(0), retry.silence);
        assert_eq!(retry.answer_within(1), Duration::from_secs(630));
        assert_eq!(
            retry.answer_within(16 << 20),
            Duration::from_secs(630 + 512)
        );
    }

    #[test]
    fn a_trickle_is_noticed_and_a_slow_start_is_not() {
        let (retry, mut pace) = (Retry::default(), Pace::default());
        assert!(pace.keeps_up(&retry, Duration::from_secs(20), 0));
        assert!(pace.keeps_up(&retry, Duration::from_secs(10), 5000));
        assert!(pace.keeps_up(&retry, Duration::from_secs(29), 1));
        assert!(!pace.keeps_up(&retry, Duration::from_secs(1), 1));
    }
}
