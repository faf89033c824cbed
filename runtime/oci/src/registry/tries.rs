//! Counting what failed for the moment, and waiting before the next try.

use reqwest::Response;
use reqwest::header::RETRY_AFTER;

use super::retry::Retry;

/// Counts the tries of one request.
pub(super) struct Tries<'a> {
    retry: &'a Retry,
    /// Failures that may pass, so far.
    pub(super) failed: u32,
    /// Times that the other side said 429.
    pub(super) limited: u32,
}

impl Tries<'_> {
    pub(super) fn new(retry: &Retry) -> Tries<'_> {
        Tries {
            retry,
            failed: 0,
            limited: 0,
        }
    }

    /// Notes a failure and waits; `false` when there have been enough.
    pub(super) async fn again(&mut self) -> bool {
        self.failed += 1;
        if self.failed >= self.retry.tries {
            return false;
        }
        tokio::time::sleep(self.retry.wait(self.failed)).await;
        true
    }

    /// The same after a 429, which may tell how long to wait.
    pub(super) async fn again_as_told(&mut self, told: Option<&str>) -> bool {
        self.limited += 1;
        if self.limited >= self.retry.rate_limited_tries {
            return false;
        }
        tokio::time::sleep(self.retry.wait_as_told(told, self.limited)).await;
        true
    }
}

/// Returns what `Retry-After` says.
pub(super) fn told(response: &Response) -> Option<&str> {
    let value = response.headers().get(RETRY_AFTER)?;
    value.to_str().ok()
}
