//! Runs that came to their end, and whose results nobody must find again.

use std::fmt;

use hd_dag::trace::{Trace, check_host};
use hd_projection::world::CompositeWorld;
use hd_projection::{Composite, HostMemo, Recorder};

use super::run::Kept;

/// Why what a run made holds for now alone.
#[derive(Clone, Debug)]
pub enum Unsure {
    /// What it saw of the host is not so any more.
    HostChanged,
    /// Something could not be read for it, as told: most commands go on as if it were absent.
    Unread(String),
}

impl Unsure {
    /// Looks at a run that has ended, and at the host as it is now.
    pub(super) fn after(recorder: &Recorder, trace: &Trace, view: &Composite) -> Option<Self> {
        if let Some(failure) = recorder.failure() {
            return Some(Self::Unread(failure.to_owned()));
        }
        let now = HostMemo::default();
        let is_stable = !recorder.is_overtaken()
            && check_host(trace, &CompositeWorld::new(view, &now))
                .is_ok_and(|verdict| verdict.is_valid());
        (!is_stable).then_some(Self::HostChanged)
    }

    /// Gives the kept directories that go on to the next run: one that could not read all may have left there what
    /// no later one would make again.
    pub(super) fn kept(unsure: Option<&Self>, kept: Vec<Kept>) -> Vec<Kept> {
        match unsure {
            Some(Self::Unread(_)) => Vec::new(),
            Some(Self::HostChanged) | None => kept,
        }
    }
}

impl fmt::Display for Unsure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostChanged => f.write_str("the host changed while it ran"),
            Self::Unread(failure) => write!(f, "it had an error for an answer: {failure}"),
        }
    }
}
