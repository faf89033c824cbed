//! When a run of file events has come to rest: pure, the clock comes in as a parameter.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hd_dag::TreePath;

use crate::messages::Paths;

/// Silence that ends a small batch: an editor's save is several events within a millisecond.
const QUIET: Duration = Duration::from_millis(3);
/// Silence that ends a storm such as a checkout, at least.
const QUIET_IN_STORM: Duration = Duration::from_millis(40);
/// The same at most.
const QUIET_IN_STORM_MAX: Duration = Duration::from_millis(250);
/// Paths from which on a batch counts as a storm.
const STORM: usize = 32;
/// A batch never waits longer than this for silence.
const LONGEST: Duration = Duration::from_secs(1);
/// A storm never waits longer than this for silence.
const LONGEST_STORM: Duration = Duration::from_secs(10);
/// More paths than this are not worth naming: look at everything.
const NAMED_MAX: usize = 4096;

/// Gathers paths while at most one batch is in flight.
#[derive(Debug, Default)]
pub struct Window {
    gathering: Option<Gathering>,
    in_flight: Option<Paths>,
}

#[derive(Debug)]
struct Gathering {
    paths: Paths,
    first: Instant,
    last: Instant,
}

impl Window {
    /// Adds touched paths, seen at `seen`.
    pub fn touch(&mut self, paths: Paths, seen: Instant) {
        match &mut self.gathering {
            Some(gathering) => {
                merge(&mut gathering.paths, paths);
                gathering.last = gathering.last.max(seen);
            }
            None => {
                self.gathering = Some(Gathering {
                    paths,
                    first: seen,
                    last: seen,
                })
            }
        }
    }

    /// Gives the moment at which the batch is to go out; `None` while nothing is gathered or a
    /// batch is in flight.
    pub fn deadline(&self) -> Option<Instant> {
        let gathering = self
            .gathering
            .as_ref()
            .filter(|_| self.in_flight.is_none())?;
        let age = gathering.last.saturating_duration_since(gathering.first);
        let (quiet, longest) = match &gathering.paths {
            Paths::These(paths) if paths.len() < STORM => (QUIET, LONGEST),
            // The longer a storm lasts, the longer its writer may pause on a slow disk.
            _ => (
                (age / 4).clamp(QUIET_IN_STORM, QUIET_IN_STORM_MAX),
                LONGEST_STORM,
            ),
        };
        Some((gathering.last + quiet).min(gathering.first + longest))
    }

    /// Takes the batch out if its time has come; with it, when its first event was seen.
    pub fn take(&mut self, now: Instant) -> Option<(Paths, Instant)> {
        if self.deadline()? > now {
            return None;
        }
        let gathering = self.gathering.take()?;
        self.in_flight = Some(gathering.paths.clone());
        Some((gathering.paths, gathering.first))
    }

    /// Ends the batch in flight; one that failed is gathered again.
    pub fn settled(&mut self, succeeded: bool, now: Instant) {
        if let Some(paths) = self.in_flight.take()
            && !succeeded
        {
            self.touch(paths, now);
        }
    }

    /// Gives the paths that are gathered.
    pub fn gathered(&self) -> Option<&Paths> {
        self.gathering.as_ref().map(|gathering| &gathering.paths)
    }

    /// Counts the paths that are gathered.
    pub fn len(&self) -> usize {
        match self.gathering.as_ref().map(|gathering| &gathering.paths) {
            Some(Paths::These(paths)) => paths.len(),
            Some(Paths::Rescan) => 1,
            None => 0,
        }
    }

    /// Tells whether nothing is gathered.
    pub fn is_empty(&self) -> bool {
        self.gathering.is_none()
    }
}

fn merge(into: &mut Paths, more: Paths) {
    match (&mut *into, more) {
        (Paths::Rescan, _) => {}
        (_, Paths::Rescan) => *into = Paths::Rescan,
        (Paths::These(paths), Paths::These(more)) => {
            paths.extend(more);
            if paths.len() > NAMED_MAX {
                *into = Paths::Rescan;
            }
        }
    }
}

/// Makes [`Paths`] of names; for tests and for the watcher.
pub fn these(paths: impl IntoIterator<Item = TreePath>) -> Paths {
    Paths::These(paths.into_iter().collect::<BTreeSet<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn one_save_goes_out_within_ten_milliseconds() {
        let start = Instant::now();
        let mut window = Window::default();
        for at in 0..3 {
            window.touch(
                these([path("app.py")]),
                start + Duration::from_micros(at * 300),
            );
        }
        assert_eq!(window.take(start + Duration::from_millis(2)), None);
        let (paths, first) = window.take(start + Duration::from_millis(10)).unwrap();
        assert_eq!((paths, first), (these([path("app.py")]), start));
        assert!(window.is_empty());
    }

    #[test]
    fn a_storm_becomes_one_batch_and_never_waits_for_ever() {
        let start = Instant::now();
        let mut window = Window::default();
        for at in 0..20_000u32 {
            let seen = start + Duration::from_micros(u64::from(at) * 40);
            assert!(
                window.deadline().is_none_or(|deadline| deadline > seen),
                "cut at {at}"
            );
            window.touch(these([path(&format!("f{at}"))]), seen);
        }
        let (paths, _) = window.take(start + Duration::from_millis(1_100)).unwrap();
        assert_eq!(paths, Paths::Rescan);
        let mut endless = Window::default();
        for at in 0..2_000u64 {
            endless.touch(these([path("log")]), start + Duration::from_millis(at));
        }
        assert!(endless.deadline().unwrap() <= start + LONGEST);
    }

    #[test]
    fn while_a_batch_is_in_flight_the_next_one_gathers_and_a_failed_one_returns() {
        let start = Instant::now();
        let later = start + Duration::from_secs(2);
        let mut window = Window::default();
        window.touch(these([path("a")]), start);
        window.take(later).unwrap();
        window.touch(these([path("b")]), start);
        assert_eq!((window.deadline(), window.take(later)), (None, None));
        window.settled(false, start);
        let (paths, _) = window.take(later).unwrap();
        assert_eq!(paths, these([path("a"), path("b")]));
        window.settled(true, start);
        assert_eq!(window.deadline(), None);
    }
}
