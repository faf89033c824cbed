//! Decides what a tree does when a child ends. Pure: time enters as a parameter.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::exit::Exit;

/// Which children are rebuilt when one of them ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Only the child that ended: the children do not build on each other.
    OneForOne,
    /// The child that ended and all started after it: each builds on those before it.
    RestForOne,
}

/// When a child that ended is rebuilt at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Always, even after an ordinary end.
    Permanent,
    /// Only after an abnormal end.
    Transient,
    /// Never; its end is only reported.
    Never,
}

/// How many restarts a tree allows itself before it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts allowed within `window`; the next one escalates.
    pub max: usize,
    /// The length of the true sliding window.
    pub window: Duration,
}

impl Default for Intensity {
    /// Three restarts in five seconds.
    fn default() -> Self {
        Self {
            max: 3,
            window: Duration::from_secs(5),
        }
    }
}

/// The pause before a restart, growing with each restart inside the window, so that a crash loop yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The pause before the first restart.
    pub first: Duration,
    /// What each further pause is multiplied by.
    pub factor: u32,
    /// No pause is longer.
    pub max: Duration,
}

impl Default for Backoff {
    /// 10 ms, 40 ms, 160 ms, … up to one second.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(10),
            factor: 4,
            max: Duration::from_secs(1),
        }
    }
}

impl Backoff {
    /// Returns the pause before the restart that is number `nth` (from 1) in the window.
    #[must_use]
    pub fn pause(&self, nth: usize) -> Duration {
        let exponent = u32::try_from(nth.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = self.factor.saturating_pow(exponent);
        self.first.saturating_mul(factor).min(self.max)
    }
}

/// Where the child that ended stands among its siblings.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its index in start order.
    pub index: usize,
    /// How many children the tree has.
    pub of: usize,
    /// When it wants to be rebuilt.
    pub restart: Restart,
}

/// What the tree has to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Nothing; the child stays down.
    Ignore,
    /// Stop what still runs of `children` in reverse order, pause, start them in order.
    Restart {
        /// The children to rebuild, as indices in start order.
        children: Range<usize>,
        /// How long to wait before the first of them starts.
        after: Duration,
    },
    /// Stop all children and end as [`Exit::Escalated`].
    Escalate,
}

/// The restart policy of one tree, with its memory of recent restarts.
#[derive(Clone, Debug)]
pub struct Policy {
    strategy: Strategy,
    intensity: Intensity,
    backoff: Backoff,
    recent: VecDeque<Instant>,
}

impl Policy {
    /// Creates a policy that has not seen a restart yet.
    #[must_use]
    pub fn new(strategy: Strategy, intensity: Intensity, backoff: Backoff) -> Self {
        Self {
            strategy,
            intensity,
            backoff,
            recent: VecDeque::new(),
        }
    }

    /// Decides about the end of `child`, and remembers the restart it orders.
    pub fn on_exit(&mut self, child: Place, exit: &Exit, now: Instant) -> Decision {
        let wanted = match child.restart {
            Restart::Permanent => true,
            Restart::Transient => !exit.is_normal(),
            Restart::Never => false,
        };
        if !wanted {
            return Decision::Ignore;
        }
        let window = self.intensity.window;
        self.recent
            .retain(|&then| now.saturating_duration_since(then) < window);
        if self.recent.len() >= self.intensity.max {
            return Decision::Escalate;
        }
        self.recent.push_back(now);
        let end = match self.strategy {
            Strategy::OneForOne => child.index + 1,
            Strategy::RestForOne => child.of,
        };
        Decision::Restart {
            children: child.index..end,
            after: self.backoff.pause(self.recent.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    fn policy(strategy: Strategy) -> Policy {
        Policy::new(strategy, Intensity::default(), Backoff::default())
    }

    fn place(index: usize, restart: Restart) -> Place {
        Place {
            index,
            of: 4,
            restart,
        }
    }

    #[test]
    fn kind_and_exit_decide_whether_a_child_is_rebuilt() {
        let panicked = Exit::Panicked("boom".into());
        let escalated = Exit::Escalated("a: vanished".into());
        let table = [
            (Restart::Permanent, &Exit::Normal, true),
            (Restart::Permanent, &panicked, true),
            (Restart::Transient, &Exit::Normal, false),
            (Restart::Transient, &panicked, true),
            (Restart::Transient, &Exit::Vanished, true),
            (Restart::Transient, &escalated, true),
            (Restart::Never, &Exit::Normal, false),
            (Restart::Never, &panicked, false),
        ];
        for (restart, exit, rebuilt) in table {
            let decision =
                policy(Strategy::OneForOne).on_exit(place(1, restart), exit, Instant::now());
            assert_eq!(decision != Decision::Ignore, rebuilt, "{restart:?} {exit}");
        }
    }

    #[test]
    fn strategy_decides_who_is_rebuilt() {
        for (strategy, expected) in [(Strategy::OneForOne, 1..2), (Strategy::RestForOne, 1..4)] {
            let decision = policy(strategy).on_exit(
                place(1, Restart::Permanent),
                &Exit::Vanished,
                Instant::now(),
            );
            let Decision::Restart { children, .. } = decision else {
                panic!("{strategy:?} answered {decision:?}");
            };
            assert_eq!(children, expected, "{strategy:?}");
        }
    }

    #[test]
    fn fourth_restart_within_five_seconds_escalates() {
        let mut policy = policy(Strategy::OneForOne);
        let start = Instant::now();
        let mut decide = |ms| {
            let now = start + Duration::from_millis(ms);
            policy.on_exit(place(0, Restart::Permanent), &Exit::Vanished, now)
        };
        for ms in [0, 1_000, 4_998] {
            assert_ne!(decide(ms), Decision::Escalate, "at {ms} ms");
        }
        assert_eq!(decide(4_999), Decision::Escalate);
    }

    #[test]
    fn window_slides_and_does_not_reset() {
        let mut policy = policy(Strategy::OneForOne);
        let start = Instant::now();
        let mut decide = |ms| {
            let now = start + Duration::from_millis(ms);
            policy.on_exit(place(0, Restart::Permanent), &Exit::Vanished, now)
        };
        for ms in [0, 3_000, 4_000, 5_000] {
            assert_ne!(decide(ms), Decision::Escalate, "at {ms} ms");
        }
        // 3000, 4000 and 5000 are still inside the window: only the first has left it.
        assert_eq!(decide(5_001), Decision::Escalate);
    }

    #[test]
    fn pause_grows_up_to_its_cap() {
        let pauses: Vec<_> = (1..=6)
            .map(|nth| Backoff::default().pause(nth).as_millis())
            .collect();
        assert_eq!(pauses, [10, 40, 160, 640, 1_000, 1_000]);
        assert_eq!(Backoff::default().pause(usize::MAX), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_restarts_than_allowed(
            gaps in proptest::collection::vec(0u64..4_000, 1..60),
            max in 0usize..5,
        ) {
            let intensity = Intensity { max, ..Intensity::default() };
            let mut policy = Policy::new(Strategy::RestForOne, intensity, Backoff::default());
            let mut now = Instant::now();
            let mut granted: Vec<Instant> = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                let inside = granted.iter().filter(|then| now - **then < intensity.window).count();
                let decision = policy.on_exit(place(2, Restart::Permanent), &Exit::Vanished, now);
                prop_assert_eq!(decision == Decision::Escalate, inside >= max);
                if decision != Decision::Escalate {
                    granted.push(now);
                }
            }
        }
    }
}
