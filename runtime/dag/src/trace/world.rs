//! What a trace is checked against.

use hd_store::Id;

use super::{Seen, list_digest};
use crate::entry::{Entry, Kind, Meta};
use crate::path::TreePath;
use crate::tree::{get, list};
use crate::trees::{TreeError, Trees};

/// The files a step would find now.
pub trait World {
    /// Looks a path up, following no symbolic link; a missing parent, or one that is no
    /// directory, makes it absent.
    fn lookup(&self, path: &TreePath) -> Result<Seen, TreeError>;

    /// Returns the [`list_digest`] of a directory, none when there is no directory.
    fn list(&self, path: &TreePath) -> Result<Option<Id>, TreeError>;
}

/// A tree as the world.
///
/// Its root is a directory of mode 0755 owned by root, as views show it.
#[derive(Clone, Copy)]
pub struct TreeWorld<'t> {
    trees: &'t dyn Trees,
    tree: Id,
}

impl<'t> TreeWorld<'t> {
    /// Returns a tree as the world.
    pub fn new(trees: &'t dyn Trees, tree: Id) -> Self {
        Self { trees, tree }
    }
}

impl World for TreeWorld<'_> {
    fn lookup(&self, path: &TreePath) -> Result<Seen, TreeError> {
        if path.is_root() {
            return Ok(Seen::of(Some(&Entry::dir(Meta::default_dir()))));
        }
        let entry = get(self.trees, &self.tree, path)?;
        Ok(Seen::of(entry.as_ref()))
    }

    fn list(&self, path: &TreePath) -> Result<Option<Id>, TreeError> {
        let tree = if path.is_root() {
            Some(self.tree)
        } else {
            let entry = get(self.trees, &self.tree, path)?;
            entry.and_then(|entry| entry.tree().copied())
        };
        let Some(tree) = tree else {
            return Ok(None);
        };
        let mut names = Vec::new();
        for item in list(self.trees, &tree)? {
            let (name, entry) = item?;
            if entry.kind() != Kind::Whiteout {
                names.push((name, entry.kind()));
            }
        }
        let names = names.iter().map(|(name, kind)| (name.as_bytes(), *kind));
        Ok(Some(list_digest(names)))
    }
}

impl std::fmt::Debug for TreeWorld<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TreeWorld")
            .field("tree", &self.tree)
            .finish_non_exhaustive()
    }
}
