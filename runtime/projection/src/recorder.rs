//! Keeps what was observed of a lower: the trace of a view.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use hd_dag::TreePath;
use hd_dag::trace::{Observation, Observed, Seen, Trace};
use hd_store::Id;

const SHARDS: usize = 16;

/// Collects observations from many FUSE threads at once.
#[derive(Debug)]
pub struct Recorder {
    shards: Vec<Mutex<HashMap<TreePath, Observed>>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
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
