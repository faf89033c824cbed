//! Keeps what was observed of a lower: the trace of a view, and whether all of it could be answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use hd_dag::TreePath;
use hd_dag::trace::{Observation, Observed, Seen, Trace};
use hd_store::Id;

use crate::error::ProjectionError;

const SHARDS: usize = 16;

/// Collects observations from many FUSE threads at once.
#[derive(Debug)]
pub struct Recorder {
    shards: Vec<Mutex<HashMap<TreePath, Observed>>>,
    failure: OnceLock<String>,
    overtaken: AtomicBool,
}

/// What is noted of the requests for a view.
#[derive(Clone, Debug, Default)]
pub enum Watch {
    /// Nothing.
    #[default]
    Nothing,
    /// Whether one of them failed.
    Failures(Arc<Recorder>),
    /// All that is observed, and whether one of them failed.
    All(Arc<Recorder>),
}

impl Watch {
    /// Gives where failures go.
    pub(crate) fn failures(&self) -> Option<&Arc<Recorder>> {
        match self {
            Self::Nothing => None,
            Self::Failures(recorder) | Self::All(recorder) => Some(recorder),
        }
    }

    /// Gives where observations go.
    pub(crate) fn observations(&self) -> Option<&Arc<Recorder>> {
        match self {
            Self::Nothing | Self::Failures(_) => None,
            Self::All(recorder) => Some(recorder),
        }
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            failure: OnceLock::new(),
            overtaken: AtomicBool::new(false),
        }
    }
}

impl Recorder {
    /// Records that `path` was looked up and what was there; the first answer stands, because a
    /// lower never changes while it is mounted.
    pub fn looked_up(&self, path: &TreePath, seen: Seen) {
        self.with(path, |observed| {
            observed.lookup.get_or_insert(seen);
        });
    }

    /// Records that the directory `path` was listed.
    pub fn listed(&self, path: &TreePath, digest: Id) {
        self.with(path, |observed| {
            observed.list.get_or_insert(digest);
        });
    }

    /// Notes that a request was answered by an error, unless that is as good as an observation.
    ///
    /// Most tools take any error for an absent file, and nothing in the trace says that this one was not.
    pub(crate) fn failed(&self, error: &ProjectionError) {
        if !error.is_observed() {
            self.failure.get_or_init(|| error.to_string());
        }
    }

    /// Says which request was the first that failed, if one did: then what was observed is not all that counted.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Notes that what was read of the host was not what had been looked up. It may be in its place again when the
    /// run ends, with all that the trace says of it: a directory above was renamed, and back.
    pub(crate) fn overtaken(&self) {
        self.overtaken.store(true, Ordering::Relaxed);
    }

    /// Tells whether that happened.
    pub fn is_overtaken(&self) -> bool {
        self.overtaken.load(Ordering::Relaxed)
    }

    /// Gives all that was observed up to now.
    pub fn trace(&self) -> Trace {
        let mut all: BTreeMap<TreePath, Observed> = BTreeMap::new();
        for shard in &self.shards {
            let shard = shard
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            all.extend(
                shard
                    .iter()
                    .map(|(path, observed)| (path.clone(), *observed)),
            );
        }
        let mut trace = Trace::default();
        for (path, observed) in all {
            let lookup = observed.lookup.map(Observation::Lookup);
            for observation in lookup
                .into_iter()
                .chain(observed.list.map(Observation::List))
            {
                trace.record(path.clone(), observation);
            }
        }
        trace
    }

    fn with(&self, path: &TreePath, change: impl FnOnce(&mut Observed)) {
        let shard = path.as_bytes().iter().fold(0usize, |h, b| {
            h.wrapping_mul(31).wrapping_add(usize::from(*b))
        });
        let mut shard = self.shards[shard % SHARDS]
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        match shard.get_mut(path) {
            Some(observed) => change(observed),
            None => change(shard.entry(path.clone()).or_default()),
        }
    }
}
