//! Kept directories between runs: what steps left in them.
//!
//! A step finds a directory of `[build] cache` as its own last run left it, unless a step below has
//! meanwhile put something else there: then what that one says wins, because the kept state was
//! made from another one. A named cache (`[build.caches]`) is found as its last user left it.

use std::collections::BTreeMap;

use hd_dag::{
    Rooted, StoreLinks, TreeError, TreePath, Trees, diff, empty_tree, raise_times, times_since,
};
use hd_store::{Id, Link, NodeKind};
use serde::{Deserialize, Serialize};

use crate::events::Event;
use crate::messages::BatchError;
use crate::model::instance::InstancePaths;
use crate::shared::Shared;

/// State of one kept directory after a run of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptState {
    /// What the chain had there before the run.
    pub upstream: Option<Id>,
    /// What it holds.
    pub content: Rooted,
    /// The view its writer saw, with the times it was shown: what differs from it must look newer than
    /// what is kept, all else as it looked then.
    pub seen: Rooted,
}

/// Stands where a step does in the names of named caches.
const NAMED: &str = "cache";

/// Which kept directory is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeptName(String);

impl KeptName {
    /// A directory of `[build] cache` in one step.
    pub fn of_dir(step: &str, dir: &TreePath) -> Self {
        Self(format!("{step}:{dir}"))
    }

    /// A named cache.
    pub fn of_cache(name: &str) -> Self {
        // No step is called so: their names are numbers.
        Self(format!("{NAMED}:{name}"))
    }

    /// Gives the name of the cache, or the directory.
    pub fn called(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(_, name)| name)
    }

    /// Gives the one step that a directory of `[build] cache` is of.
    pub fn step(&self) -> Option<&str> {
        let (step, _) = self.0.split_once(':')?;
        (step != NAMED).then_some(step)
    }
}

/// All kept states of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptStates {
    states: BTreeMap<KeptName, KeptState>,
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

    /// Reads the states whose contents are still there, and names the others: a limit of the store gives
    /// away the roots that were not used for long, and these with them.
    pub(crate) fn whole(shared: &Shared) -> Result<(Self, Vec<KeptName>), BatchError> {
        let mut found = Self::load(&shared.settings.paths);
        let mut lost = Vec::new();
        for (name, state) in &found.states {
            let roots = hd_dag::links_of(&state.content);
            let whole = shared.store.is_whole(&StoreLinks, &roots);
            if !whole.map_err(|e| BatchError::new("store", e))? {
                lost.push(name.clone());
            }
        }
        for name in &lost {
            found.forget(name);
        }
        Ok((found, lost))
    }

    /// Reads the states whose contents are still there; the others are forgotten, and told.
    pub(super) fn begin(shared: &Shared) -> Result<Self, BatchError> {
        let (found, lost) = Self::whole(shared)?;
        if !lost.is_empty() {
            found.save(&shared.settings.paths)?;
        }
        for name in lost {
            let note = format!(
                "what was kept in {} was not used for long and gave its room in the store away: it begins empty",
                name.called()
            );
            shared.events.tell(Event::Note(note));
        }
        Ok(found)
    }

    /// Writes the states.
    pub fn save(&self, paths: &InstancePaths) -> Result<(), BatchError> {
        let place = paths.kept();
        if self.states.is_empty() && !place.exists() {
            return Ok(());
        }
        let bytes = serde_json::to_vec(self).map_err(|e| BatchError::new("io", e))?;
        crate::model::files::replace(&place, &bytes)
            .map_err(|e| BatchError::new("io", e).at(place.display().to_string()))
    }

    /// Gives what is found in a directory, if its last state still stands on the same.
    pub fn content(&self, name: &KeptName, upstream: Option<Id>) -> Option<Rooted> {
        let state = self.states.get(name)?;
        (state.upstream == upstream).then_some(state.content)
    }

    /// Gives the names of all.
    pub fn names(&self) -> impl Iterator<Item = &KeptName> {
        self.states.keys()
    }

    /// Forgets a directory's state; answers whether there was one.
    pub fn forget(&mut self, name: &KeptName) -> bool {
        self.states.remove(name).is_some()
    }

    /// Gives the view with the times that the tools of kept directories may trust: a changed source is newer
    /// than what they kept, and one that is as their last writer saw it shows the time it showed then.
    pub fn show(
        &self,
        trees: &dyn Trees,
        names: &[KeptName],
        view: Rooted,
        now_unix_ms: u64,
    ) -> Result<Rooted, BatchError> {
        let failed = |e: TreeError| BatchError::new("store", e);
        let now_ns = i64::try_from(now_unix_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000);
        let mut shown = view;
        let states = names.iter().filter_map(|name| self.states.get(name));
        for (number, seen) in states.map(|state| state.seen).enumerate() {
            let changes = diff(trees, &seen.tree, &view.tree);
            shown = match changes {
                Ok(changes) if number == 0 => {
                    times_since(trees, &seen, &view, &changes, now_ns)
                        // Times that were collected meanwhile say nothing.
                        .or_else(|_| raise_times(trees, &view, &changes, now_ns))
                }
                Ok(changes) => raise_times(trees, &shown, &changes, now_ns),
                // A tree that was collected meanwhile says nothing; then all must look new.
                Err(_) => diff(trees, &empty_tree(), &view.tree)
                    .and_then(|all| raise_times(trees, &shown, &all, now_ns)),
            }
            .map_err(failed)?;
        }
        Ok(shown)
    }

    /// Remembers what a step left.
    pub fn set(&mut self, name: KeptName, state: KeptState) {
        self.states.insert(name, state);
    }

    /// Gives all contents with their names, `cache:NAME` for a named cache.
    pub fn named(&self) -> impl Iterator<Item = (&str, Rooted)> {
        let states = self.states.iter();
        states.map(|(name, state)| (name.0.as_str(), state.content))
    }

    /// Gives what must not be collected: all contents, and of what their writers saw enough to compare it.
    pub fn links(&self) -> impl Iterator<Item = Link> {
        self.states.values().flat_map(|state| {
            let seen = hd_dag::links_of(&state.seen);
            let compared = seen.into_iter().map(|link| match link {
                Link::Node(NodeKind::Tree, id) => Link::Skeleton(NodeKind::Tree, id),
                link => link,
            });
            hd_dag::links_of(&state.content).into_iter().chain(compared)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_state_stands_only_on_what_it_was_made_from() {
        let dir = TreePath::new(b"dist").unwrap();
        let (a, b) = (Id::of(b"a"), Id::of(b"b"));
        let content = Rooted { tree: a, times: b };
        let state = KeptState {
            upstream: Some(a),
            content,
            seen: Rooted::empty(),
        };
        let name = |step| KeptName::of_dir(step, &dir);
        let mut kept = KeptStates::default();
        kept.set(name("step-2"), state);
        assert_eq!(kept.content(&name("step-2"), Some(a)), Some(content));
        assert_eq!(kept.content(&name("step-2"), Some(b)), None);
        assert_eq!(kept.content(&name("step-1"), Some(a)), None);
        assert!(kept.forget(&name("step-2")) && !kept.forget(&name("step-2")));
    }

    #[test]
    fn states_are_written_under_the_names_they_always_had() {
        let dir = TreePath::new(b"dist").unwrap();
        let names = [
            KeptName::of_dir("step-2", &dir),
            KeptName::of_cache("cargo"),
        ];
        let text = serde_json::to_string(&names).unwrap();
        assert_eq!(text, r#"["step-2:dist","cache:cargo"]"#);
    }
}
