//! What a layer has to say so that a lower tree becomes an upper one ("layer.md", "Representing Changes").

use hd_dag::{Change, Entry, Name, Rooted, Stamp, TreeError, TreePath, Trees, diff, get_stamped};

/// Is one statement of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) path: TreePath,
    /// What is there now, with its time of modification (ns); `None` removes what is below.
    pub(crate) put: Option<(Entry, i64)>,
}

/// Lists what makes `upper` out of `lower`, in the order of paths, parents first.
///
/// Every directory on the way is said too: an unpacker makes those that are missing as it likes, and a write layer
/// made that way would hide mode and owner of the real ones.
pub(crate) fn changes(
    trees: &dyn Trees,
    lower: &Rooted,
    upper: &Rooted,
) -> Result<Vec<Item>, TreeError> {
    let mut gathered = Gathered {
        trees,
        upper: *upper,
        open: Vec::new(),
        items: Vec::new(),
    };
    for change in diff(trees, &lower.tree, &upper.tree)? {
        gathered.add(change)?;
    }
    Ok(gathered.items)
}

struct Gathered<'t> {
    trees: &'t dyn Trees,
    upper: Rooted,
    /// Directories on the way to the last path that have been said.
    open: Vec<(TreePath, Rooted)>,
    items: Vec<Item>,
}

impl Gathered<'_> {
    fn add(&mut self, Change { path, new, .. }: Change) -> Result<(), TreeError> {
        while self
            .open
            .pop_if(|(above, _)| !path.starts_with(above))
            .is_some()
        {}
        if !self.enter(&path)? {
            // A directory above it is gone or is something else: that says it all.
            return Ok(());
        }
        if new.is_none() {
            self.items.push(Item { path, put: None });
        } else if let Some(found) = self.look(&path)? {
            self.say(path, found);
        }
        Ok(())
    }

    /// Says the directories on the way to a path; `false` when one of them is none.
    fn enter(&mut self, path: &TreePath) -> Result<bool, TreeError> {
        let above = self.open.last().map(|(above, _)| above.clone());
        let mut way = above.unwrap_or_default();
        let names: Vec<Name> = path.names().collect();
        let missing = way.depth()..names.len().saturating_sub(1);
        for name in names.get(missing).unwrap_or_default() {
            way.push(name);
            match self.look(&way)? {
                Some(found) if found.0.tree().is_some() => self.say(way.clone(), found),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Looks a path below the innermost open directory up.
    fn look(&self, path: &TreePath) -> Result<Option<(Entry, Stamp)>, TreeError> {
        let (rest, from) = match self.open.last() {
            Some((above, dir)) => (path.strip_prefix(above).unwrap_or_default(), *dir),
            None => (path.clone(), self.upper),
        };
        get_stamped(self.trees, &from, &rest)
    }

    fn say(&mut self, path: TreePath, (entry, stamp): (Entry, Stamp)) {
        if let Some(tree) = entry.tree().copied() {
            let times = stamp.child_or_empty();
            self.open.push((path.clone(), Rooted { tree, times }));
        }
        let put = Some((entry, stamp.mtime_ns));
        self.items.push(Item { path, put });
    }
}

#[cfg(test)]
mod tests {
    use hd_dag::{MemoryTrees, Meta, build, compose};
    use hd_store::Id;
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).expect("path")
    }

    fn file(text: &str) -> Entry {
        Entry::regular(Meta::new(0o644), Id::of(text.as_bytes()), text.len() as u64)
    }

    fn tree(trees: &MemoryTrees, files: &[(&str, &str)]) -> Rooted {
        let mut sorted: Vec<_> = files
            .iter()
            .map(|(at, text)| (path(at), file(text), 1))
            .collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        build(trees, sorted).expect("tree")
    }

    fn said(trees: &MemoryTrees, lower: &Rooted, upper: &Rooted) -> Vec<String> {
        let items = changes(trees, lower, upper).expect("changes");
        let shown = |item: &Item| {
            let sign = if item.put.is_some() { "+" } else { "-" };
            format!("{sign}{}", item.path)
        };
        items.iter().map(shown).collect()
    }

    #[test]
    fn each_change_comes_with_the_directories_above_it() {
        let trees = MemoryTrees::new();
        let lower = tree(
            &trees,
            &[
                ("a/b/old", "1"),
                ("a/b/same", "2"),
                ("gone/deep/x", "3"),
                ("z", "4"),
            ],
        );
        let upper = tree(
            &trees,
            &[("a/b/new", "1"), ("a/b/same", "2"), ("z/now/dir", "4")],
        );
        let expected = [
            "+a",
            "+a/b",
            "+a/b/new",
            "-a/b/old",
            "-gone",
            "+z",
            "+z/now",
            "+z/now/dir",
        ];
        assert_eq!(said(&trees, &lower, &upper), expected);
        assert_eq!(said(&trees, &upper, &upper), [""; 0]);
        let back = said(&trees, &upper, &lower);
        assert!(back.contains(&"+z".to_owned()) && !back.iter().any(|line| line.contains("z/now")));
    }

    proptest! {
        /// What is said, laid over the lower tree, gives the upper one.
        #[test]
        fn a_layer_makes_the_upper_tree(
            before in prop::collection::btree_map("[ab](/[ab](/[ab])?)?", 0u8..3, 0..8),
            after in prop::collection::btree_map("[ab](/[ab](/[ab])?)?", 0u8..3, 0..8),
        ) {
            let trees = MemoryTrees::new();
            let make = |files: &std::collections::BTreeMap<String, u8>| {
                // A file above others gives way to a directory.
                let is_dir = |at: &String| files.keys().any(|other| other.starts_with(&format!("{at}/")));
                let files: Vec<(String, String)> = files
                    .iter()
                    .filter(|(at, _)| !is_dir(at))
                    .map(|(at, text)| (at.clone(), text.to_string()))
                    .collect();
                let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
                tree(&trees, &files)
            };
            let (lower, upper) = (make(&before), make(&after));
            let items = changes(&trees, &lower, &upper).expect("changes");
            let entries = items.into_iter().map(|item| match item.put {
                Some((entry, time)) => (item.path, entry, time),
                None => (item.path, Entry::whiteout(), 0),
            });
            let layer = build(&trees, entries).expect("sorted, parents first");
            let laid = compose(&trees, &lower, &layer).expect("laid");
            prop_assert_eq!(laid.tree, upper.tree);
        }
    }
}
