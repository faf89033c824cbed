//! Which directories are watched: pure.

use std::collections::{BTreeMap, HashSet};

use hd_dag::TreePath;

/// The watched directories with their inode numbers.
#[derive(Debug, Default)]
pub(super) struct Registry(BTreeMap<TreePath, u64>);

impl Registry {
    /// Adds a directory; tells whether it was not there yet.
    pub(super) fn insert(&mut self, path: TreePath, inode: u64) -> bool {
        self.0.insert(path, inode).is_none()
    }

    pub(super) fn remove(&mut self, path: &TreePath) {
        self.0.remove(path);
    }

    pub(super) fn contains(&self, path: &TreePath) -> bool {
        self.0.contains_key(path)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Lists a directory and all below it.
    pub(super) fn subtree(&self, path: &TreePath) -> Vec<(TreePath, u64)> {
        let from = self.0.range(path..);
        let below = from.take_while(|(other, _)| other.starts_with(path));
        below.map(|(path, inode)| (path.clone(), *inode)).collect()
    }

    /// Finds the directories that have one of these inode numbers.
    ///
    /// The kernel has one watch per inode. Where a directory was found under its new name before its
    /// old one was known to be gone, removing the watch of the old name blinds the new one.
    pub(super) fn twins(&self, inodes: &HashSet<u64>) -> Vec<TreePath> {
        if inodes.is_empty() {
            return Vec::new();
        }
        let found = self.0.iter().filter(|(_, inode)| inodes.contains(inode));
        found.map(|(path, _)| path.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn subtrees_and_twins() {
        let mut registry = Registry::default();
        for (number, name) in ["", "a", "a/b", "a/b/c", "a-b", "ab", "b"]
            .into_iter()
            .enumerate()
        {
            assert!(registry.insert(path(name), number as u64 % 5));
        }
        assert!(!registry.insert(path("a"), 1), "it is there");
        let below = |name: &str| -> Vec<String> {
            registry
                .subtree(&path(name))
                .into_iter()
                .map(|(path, _)| path.to_string())
                .collect()
        };
        assert_eq!(below("a"), ["a", "a/b", "a/b/c"]);
        assert_eq!((below("").len(), below("x").len()), (7, 0));
        assert_eq!(registry.twins(&HashSet::from([1])), [path("a"), path("b")]);
        assert_eq!(registry.twins(&HashSet::new()), []);
        registry.remove(&path("a"));
        assert!(!registry.contains(&path("a")) && registry.contains(&path("a/b")));
    }
}
