//! Kept directories between runs: what steps left in them.
//!
//! A step finds a directory of `[build] cache` as its own last run left it, unless a step below has
//! meanwhile put something else there: then what that one says wins, because the kept state was
//! made from another one. A named cache (`[build.caches]`) is found as its last user left it.

use std::collections::{BTreeMap, BTreeSet};

use hd_dag::{
    Entry, Layer, Rooted, StoreLinks, TreeError, TreePath, Trees, diff, empty_tree, get,
    merge_layers, raise_times, times_since,
};
use hd_store::{Id, Link, NodeKind};
use serde::{Deserialize, Serialize};

use super::kept_name::KeptName;
use crate::events::Event;
use crate::messages::BatchError;
use crate::model::instance::InstancePaths;
use crate::shared::Shared;

/// So many times that steps went, what they kept stays.
const PARTINGS: usize = 4;

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
    /// When the step it is of was found to be gone; nothing while there is one.
    #[serde(default)]
    pub parted_unix_ms: Option<u64>,
}

/// A view that kept directories are to be shown beside.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The view.
    pub view: Rooted,
    /// The project's own tree, which is in it.
    pub project: Rooted,
    /// Where that is.
    pub workdir: &'a TreePath,
}

impl Shown<'_> {
    /// Gives the view with the times that may be trusted by who saw another.
    fn since(&self, trees: &dyn Trees, seen: &Rooted, now_ns: i64) -> Result<Rooted, TreeError> {
        // What steps and images made has a time of its own, which other files may know.
        let is_made = |path: &TreePath, entry: &Entry| {
            let Some(below) = path.strip_prefix(self.workdir) else {
                return Ok(true);
            };
            Ok(match get(trees, &self.project.tree, &below)? {
                Some(own) => own.differs_itself(entry),
                None => !below.is_root(),
            })
        };
        let changed = diff(trees, &seen.tree, &self.view.tree);
        let since = changed
            .and_then(|changes| times_since(trees, seen, &self.view, &changes, now_ns, &is_made));
        // A tree that was collected meanwhile says nothing; then all must look new.
        since.or_else(|_| {
            let all = diff(trees, &empty_tree(), &self.view.tree)?;
            raise_times(trees, &self.view, &all, now_ns)
        })
    }
}

fn layer(rooted: Rooted) -> Layer<'static> {
    Layer {
        name: "a view",
        rooted,
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
        let bytes = std::fs::read(paths.kept()).ok();
        let found = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut found: Self = found.unwrap_or_default();
        found.states.retain(|name, _| name.is_of_today());
        found
    }

    /// Reads the states whose contents are still there, and names the others: a limit of the store gives
    /// away the roots that were not used for long, and these with them. What a writer saw may be gone alone.
    pub(crate) fn whole(shared: &Shared) -> Result<(Self, Vec<KeptName>), BatchError> {
        let failed = |e: hd_store::Error| BatchError::new("store", e);
        let mut found = Self::load(&shared.settings.paths);
        let mut lost = Vec::new();
        for (name, state) in &mut found.states {
            let roots = hd_dag::links_of(&state.content);
            if !shared.store.is_whole(&StoreLinks, &roots).map_err(failed)? {
                lost.push(name.clone());
            }
            for link in hd_dag::links_of(&state.seen) {
                if !shared.store.contains(&link.id()).map_err(failed)? {
                    // Then all of the next view looks new.
                    state.seen = Rooted::empty();
                }
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

    /// Tells whether there is a state of a directory.
    pub(super) fn has(&self, name: &KeptName) -> bool {
        self.states.contains_key(name)
    }

    /// Forgets a directory's state; answers whether there was one.
    pub fn forget(&mut self, name: &KeptName) -> bool {
        self.states.remove(name).is_some()
    }

    /// Gives the view with the times that the tools of kept directories may trust: a changed source is newer
    /// than what they kept, and one that is as their last writer saw it shows the time it showed then. Of
    /// several writers the one counts that saw a path last.
    pub fn show(
        &self,
        trees: &dyn Trees,
        names: &[KeptName],
        of: &Shown<'_>,
        now_unix_ms: u64,
    ) -> Result<Rooted, BatchError> {
        let now_ns = i64::try_from(now_unix_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000);
        let states = names.iter().filter_map(|name| self.states.get(name));
        let seen: BTreeSet<(Id, Id)> = states
            .map(|state| (state.seen.tree, state.seen.times))
            .collect();
        let mut shown: Option<Rooted> = None;
        for (tree, times) in seen {
            let since = of.since(trees, &Rooted { tree, times }, now_ns);
            let both = since.and_then(|since| match &shown {
                Some(shown) => merge_layers(trees, &layer(*shown), &layer(since)),
                None => Ok(since),
            });
            shown = Some(both.map_err(|e| BatchError::new("store", e))?);
        }
        Ok(shown.unwrap_or(of.view))
    }

    /// Remembers what a step left.
    pub fn set(&mut self, name: KeptName, state: KeptState) {
        self.states.insert(name, state);
    }

    /// Forgets directories of `[build] cache` of steps that are no more, but for the last that went: one that is
    /// commented out comes back soon. Answers whether anything is another now.
    pub(super) fn part(&mut self, wanted: &BTreeSet<KeptName>, now_unix_ms: u64) -> bool {
        let before = self.clone();
        let of_steps = self.states.iter_mut();
        for (name, state) in of_steps.filter(|(name, _)| name.step().is_some()) {
            state.parted_unix_ms = match wanted.contains(name) {
                true => None,
                false => state.parted_unix_ms.or(Some(now_unix_ms)),
            };
        }
        let parted = self.states.values().filter_map(|one| one.parted_unix_ms);
        let times: BTreeSet<u64> = parted.collect();
        let oldest = times.iter().rev().take(PARTINGS).next_back().copied();
        let stays = |state: &KeptState| state.parted_unix_ms >= oldest;
        self.states
            .retain(|_, state| state.parted_unix_ms.is_none() || stays(state));
        *self != before
    }

    /// Gives all contents with their names, `cache:NAME` for a named cache.
    pub fn named(&self) -> impl Iterator<Item = (&str, Rooted)> {
        let states = self.states.iter();
        states.map(|(name, state)| (name.as_str(), state.content))
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
    use hd_dag::{MemoryTrees, Meta, build, get_stamped};

    use super::*;
    use crate::step_runner::wanted::Wanted;

    /// A tree of files below `w`, each with a text and a time.
    fn view(trees: &MemoryTrees, files: &[(&str, &str, i64)]) -> Rooted {
        let entry = |(name, text, time): &(&str, &str, i64)| {
            let path = TreePath::new(format!("w/{name}").as_bytes()).unwrap();
            let id = Id::of(text.as_bytes());
            let entry = Entry::regular(Meta::owned(0o644, 0, 0), id, text.len() as u64);
            (path, entry, *time)
        };
        let mut entries: Vec<_> = files.iter().map(entry).collect();
        entries.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        build(trees, entries).unwrap()
    }

    #[test]
    fn a_view_shows_the_times_that_every_writer_may_trust() {
        let trees = MemoryTrees::new();
        let workdir = TreePath::new(b"w").unwrap();
        let project = [("same", "1", 70), ("raised", "1", 3), ("changed", "2", 4)];
        let now = view(
            &trees,
            &[&project[..], &[("made", "1", 80), ("old", "1", 5)]].concat(),
        );
        let own = view(&trees, &project);
        let project = hd_dag::subtree(&trees, &own, &workdir).unwrap().unwrap();
        let common = [("changed", "1", 4), ("made", "1", 8), ("old", "1", 50)];
        let first = view(
            &trees,
            &[&common[..], &[("same", "1", 7), ("raised", "1", 3)]].concat(),
        );
        let second = view(
            &trees,
            &[&common[..], &[("same", "1", 6), ("raised", "1", 60)]].concat(),
        );
        let names = ["a", "b", "c"].map(KeptName::of_cache);
        let mut kept = KeptStates::default();
        for (name, seen) in names.iter().zip([first, second, first]) {
            let state = KeptState {
                upstream: None,
                content: Rooted::empty(),
                seen,
                parted_unix_ms: None,
            };
            kept.set(name.clone(), state);
        }
        let of = Shown {
            view: now,
            project,
            workdir: &workdir,
        };
        let shown = kept.show(&trees, &names, &of, 1).unwrap();
        assert_eq!(shown.tree, now.tree);
        // Touched, but as it was; seen later by one; changed; an output made again; one with an old time.
        let expected = [
            ("same", 7),
            ("raised", 60),
            ("changed", 1_000_000),
            ("made", 80),
            ("old", 50),
        ];
        for (name, time) in expected {
            let path = workdir.join_path(&TreePath::new(name.as_bytes()).unwrap());
            let (_, stamp) = get_stamped(&trees, &shown, &path).unwrap().unwrap();
            assert_eq!(stamp.mtime_ns, time, "{name}");
        }
        // Nobody has seen anything, or it is gone: all is as it is, or new.
        assert_eq!(kept.show(&trees, &[], &of, 1).unwrap(), now);
        let gone = KeptState {
            upstream: None,
            content: Rooted::empty(),
            seen: Rooted {
                tree: Id::of(b"gone"),
                times: Id::of(b"gone"),
            },
            parted_unix_ms: None,
        };
        kept.set(names[0].clone(), gone);
        let shown = kept.show(&trees, &names[..1], &of, 1).unwrap();
        let same = workdir.join_path(&TreePath::new(b"same").unwrap());
        let (_, stamp) = get_stamped(&trees, &shown, &same).unwrap().unwrap();
        assert_eq!(stamp.mtime_ns, 1_000_000);
    }

    #[test]
    fn what_steps_kept_that_are_no_more_stays_for_a_while() {
        let state = KeptState {
            upstream: None,
            content: Rooted::empty(),
            seen: Rooted::empty(),
            parted_unix_ms: None,
        };
        let of = |command: &str, dir: &[u8]| {
            let step = Wanted {
                command: command.to_owned(),
                ..Wanted::default()
            };
            KeptName::of_dir(&step, &TreePath::new(dir).unwrap())
        };
        let cache = KeptName::of_cache("cargo");
        let mut kept = KeptStates::default();
        kept.set(cache.clone(), state);
        // Each command takes the place of the one before.
        for number in 0..10 {
            let now = [b"a", b"b"].map(|dir| of(&number.to_string(), dir));
            for name in &now {
                kept.set(name.clone(), state);
            }
            let wanted = BTreeSet::from(now);
            assert_eq!(kept.part(&wanted, number + 1), number > 0);
            assert!(!kept.part(&wanted, number + 2), "nothing new");
        }
        assert_eq!(kept.names().count(), 1 + 2 * (1 + PARTINGS));
        assert!(kept.names().any(|name| *name == cache));
        // One that comes back is like any other, and another is the last that went.
        let back = BTreeSet::from([of("5", b"a")]);
        assert!(kept.part(&back, 20));
        assert!(kept.content(&of("5", b"a"), None).is_some());
        assert!(kept.content(&of("9", b"a"), None).is_some());
        assert!(kept.content(&of("5", b"b"), None).is_none());
        assert!(kept.content(&of("6", b"b"), None).is_some());
    }

    #[test]
    fn a_kept_state_stands_only_on_what_it_was_made_from() {
        let dir = TreePath::new(b"dist").unwrap();
        let (a, b) = (Id::of(b"a"), Id::of(b"b"));
        let content = Rooted { tree: a, times: b };
        let state = KeptState {
            upstream: Some(a),
            content,
            seen: Rooted::empty(),
            parted_unix_ms: None,
        };
        let name = |slug: &str| {
            let step = Wanted {
                slug: slug.to_owned(),
                is_named: true,
                ..Wanted::default()
            };
            KeptName::of_dir(&step, &dir)
        };
        let mut kept = KeptStates::default();
        kept.set(name("web"), state);
        assert_eq!(kept.content(&name("web"), Some(a)), Some(content));
        assert_eq!(kept.content(&name("web"), Some(b)), None);
        assert_eq!(kept.content(&name("api"), Some(a)), None);
        assert!(kept.forget(&name("web")) && !kept.forget(&name("web")));
    }
}
