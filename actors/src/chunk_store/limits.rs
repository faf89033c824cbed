//! Whether the store is over its limits, and what a collection may then leave.

use hd_config::GcLimits;
use hd_store::{Budget, Collected};

/// A collection that could not reach its limits is not tried again within this time, unless the
/// store has grown; in milliseconds.
const AGAIN_MS: u64 = 6 * 3_600_000;

/// What decides whether a collection is due.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Bytes of segment files.
    pub file_bytes: u64,
    /// Bytes that are free on the store's file system.
    pub free_bytes: u64,
    /// What the last collection left.
    pub collected: Option<Collected>,
    /// The time, in milliseconds since the epoch.
    pub now_unix_ms: u64,
}

/// Says what may stay, if the store is over its limits and a collection may help.
pub fn due(limits: &GcLimits, now: &Standing) -> Option<Budget> {
    let lacking = limits.min_free.unwrap_or(0).saturating_sub(now.free_bytes);
    let by_free = (lacking > 0).then(|| now.file_bytes.saturating_sub(lacking));
    let max_bytes = by_free.into_iter().chain(limits.max_size).min()?;
    if now.file_bytes <= max_bytes || is_vain(now) {
        return None;
    }
    Some(Budget {
        max_bytes,
        keep: limits.keep,
    })
}

/// What the last collection left has hardly grown, so the next one would find as little to take.
fn is_vain(now: &Standing) -> bool {
    now.collected.is_some_and(|last| {
        let recent = now.now_unix_ms.saturating_sub(last.at_unix_ms) < AGAIN_MS;
        recent && now.file_bytes <= last.file_bytes + last.file_bytes / 10
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(max_size: Option<u64>, min_free: Option<u64>) -> GcLimits {
        GcLimits {
            max_size,
            min_free,
            keep: Duration::from_secs(1),
        }
    }

    #[test]
    fn the_tighter_limit_counts() {
        let now = Standing {
            file_bytes: 1000,
            free_bytes: 300,
            collected: None,
            now_unix_ms: 0,
        };
        let cases = [
            (None, None, None),
            (Some(1000), None, None),
            (Some(999), None, Some(999)),
            (None, Some(300), None),
            (None, Some(400), Some(900)),
            (Some(800), Some(400), Some(800)),
            (Some(950), Some(400), Some(900)),
            (None, Some(5000), Some(0)),
        ];
        for (max_size, min_free, expected) in cases {
            let budget = due(&limits(max_size, min_free), &now);
            let max_bytes = budget.map(|budget| budget.max_bytes);
            assert_eq!(max_bytes, expected, "{max_size:?} {min_free:?}");
        }
    }

    #[test]
    fn what_did_not_help_is_not_done_again_before_the_store_grew_or_time_passed() {
        let now = |file_bytes, now_unix_ms| Standing {
            file_bytes,
            free_bytes: 0,
            collected: Some(Collected {
                at_unix_ms: 1000,
                file_bytes: 1000,
            }),
            now_unix_ms,
        };
        let is_due = |now| due(&limits(Some(500), None), &now).is_some();
        assert!(!is_due(now(1000, 2000)) && !is_due(now(1100, 2000)));
        assert!(is_due(now(1101, 2000)), "it grew");
        assert!(is_due(now(1000, 1000 + AGAIN_MS)), "time passed");
    }
}
