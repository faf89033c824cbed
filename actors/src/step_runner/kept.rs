//! Kept directories (`[build] cache`) between runs: what each step left in them.
//!
//! A step finds a kept directory as its own last run left it, unless an earlier step of the
//! chain has meanwhile put something else there: then what the chain says wins, because the
//! kept state was made from another one.

use std::collections::BTreeMap;

use hd_dag::{Rooted, TreeError, TreePath, Trees, diff, empty_tree, raise_times};
use hd_store::Id;
use serde::{Deserialize, Serialize};

use crate::messages::BatchError;
use crate::model::instance::InstancePaths;

/// State of one kept directory after a run of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptState {
    /// What the chain had there before the run.
    pub upstream: Option<Id>,
    /// What it holds.
    pub content: Rooted,
    /// The view its writer saw: what differs from it must look newer than what is kept.
    pub seen: Rooted,
}

/// All kept states of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptStates {
    states: BTreeMap<String, KeptState>,
}

impl KeptStates {
    /// Reads the states; none when there are none or the file is damaged: kept directories are
    /// only ever a help.
    pub fn load(paths: &InstancePaths) -> Self {
        std::fs::read(paths.kept())
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Writes the states.
    pub fn save(&self, paths: &InstancePaths) -> Result<(), BatchError> {
        if self.states.is_empty() {
            return Ok(());
        }
        let place = paths.kept();
        let bytes = serde_json::to_vec(self).map_err(|e| BatchError::new("io", e))?;
        crate::model::files::replace(&place, &bytes)
            .map_err(|e| BatchError::new("io", e).at(place.display().to_string()))
    }

    /// Gives what a step finds in a directory, if its own last state still stands on the same.
    pub fn content(&self, step: &str, dir: &TreePath, upstream: Option<Id>) -> Option<Rooted> {
        let state = self.states.get(&name(step, dir))?;
        (state.upstream == upstream).then_some(state.content)
    }

    /// Gives the views that the writers of a step's kept directories saw.
    pub fn seen(&self, step: &str) -> impl Iterator<Item = Rooted> {
        let prefix = format!("{step}:");
        self.states
            .iter()
            .filter(move |(name, _)| name.starts_with(&prefix))
            .map(|(_, state)| state.seen)
    }

    /// Gives the view with later times where it differs from what the last writer of a kept
    /// directory saw: tools that compare times must find a changed source newer than what they
    /// kept.
    pub fn raise(
        &self,
        trees: &dyn Trees,
        step: &str,
        mut view: Rooted,
        now_unix_ms: u64,
    ) -> Result<Rooted, BatchError> {
        let failed = |e: TreeError| BatchError::new("store", e);
        let now_ns = i64::try_from(now_unix_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000);
        for seen in self.seen(step) {
            // A tree that was collected meanwhile says nothing; then all must look new.
            let changes = diff(trees, &seen.tree, &view.tree)
                .or_else(|_| diff(trees, &empty_tree(), &view.tree))
                .map_err(failed)?;
            view = raise_times(trees, &view, &changes, now_ns).map_err(failed)?;
        }
        Ok(view)
    }

    /// Remembers what a step left.
    pub fn set(
        &mut self,
        step: &str,
        dir: &TreePath,
        upstream: Option<Id>,
        content: Rooted,
        seen: Rooted,
    ) {
        self.states.insert(
            name(step, dir),
            KeptState {
                upstream,
                content,
                seen,
            },
        );
    }

    /// Gives all contents, which must not be collected.
    pub fn contents(&self) -> impl Iterator<Item = Rooted> {
        self.states.values().map(|state| state.content)
    }
}

fn name(step: &str, dir: &TreePath) -> String {
    format!("{step}:{dir}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_state_stands_only_on_what_it_was_made_from() {
        let dir = TreePath::new(b"dist").unwrap();
        let (a, b) = (Id::of(b"a"), Id::of(b"b"));
        let content = Rooted { tree: a, times: b };
        let mut kept = KeptStates::default();
        kept.set("step-2", &dir, Some(a), content, Rooted::empty());
        assert_eq!(kept.content("step-2", &dir, Some(a)), Some(content));
        assert_eq!(kept.content("step-2", &dir, Some(b)), None);
        assert_eq!(kept.content("step-1", &dir, Some(a)), None);
        assert_eq!(kept.seen("step-2").collect::<Vec<_>>(), [Rooted::empty()]);
    }
}
