//! Times that may not show a later change, as git knows them for its index (racy-git.adoc).

use crate::stat::FileStat;

/// An object whose ctime is this close to the scan may have changed again within the same tick.
const RACY_NS: i64 = 20_000_000;
/// The same where the file system keeps no part of a second; vfat keeps every other one.
const COARSE_NS: i64 = 3 * SECOND_NS;
const SECOND_NS: i64 = 1_000_000_000;

/// Says whether an object may have changed after a scan saw it without its times showing it.
pub(super) fn is_racy(stat: &FileStat, scan_start_ns: i64) -> bool {
    // A fine clock stands at a whole second once in a thousand million times.
    let is_coarse = stat.ctime_ns % SECOND_NS == 0;
    let window = if is_coarse { COARSE_NS } else { RACY_NS };
    stat.ctime_ns >= scan_start_ns.saturating_sub(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_within_a_tick_of_its_clock_is_racy() {
        let scan = 50 * SECOND_NS;
        let racy = |ctime_ns| {
            let stat = FileStat {
                ctime_ns,
                ..FileStat::default()
            };
            is_racy(&stat, scan)
        };
        for (before_ns, expected) in [
            // A clock that was set back.
            (-SECOND_NS - 1, true),
            (0, true),
            (1, true),
            (RACY_NS, true),
            (RACY_NS + 1, false),
            (SECOND_NS, true),
            (SECOND_NS + 1, false),
            (COARSE_NS, true),
            (4 * SECOND_NS, false),
        ] {
            assert_eq!(racy(scan - before_ns), expected, "{before_ns}");
        }
    }
}
