//! Decoded directories for the threads that serve a mounted tree.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use hd_store::Id;

use super::lru::Lru;
use super::{Directory, TreeError, Trees};
use crate::entry::Entry;
use crate::map::{Seeker, TimesNode, Value};
use crate::times::Stamp;

/// Assumed weight of one decoded entry, in bytes.
const ENTRY_WEIGHT: usize = 160;

/// Most trees remembered to be without extended attributes.
const PLAIN_MAX: usize = 1 << 17;

/// Keeps whole decoded directories, bounded; any number of threads may ask.
pub struct NodeCache {
    trees: Arc<dyn Trees>,
    directories: Lru<Directory>,
    /// Trees in which nothing has an extended attribute.
    plain: Mutex<HashSet<Id>>,
}

impl NodeCache {
    /// Returns a cache over `trees` of at most about `bytes` of decoded directories.
    pub fn new(trees: Arc<dyn Trees>, bytes: usize) -> Self {
        let directories = Lru::new(bytes);
        Self {
            trees,
            directories,
            plain: Mutex::default(),
        }
    }

    /// Returns what nodes come from.
    pub fn trees(&self) -> &dyn Trees {
        self.trees.as_ref()
    }

    /// Returns a whole directory, decoded once while it stays in the cache.
    pub fn directory(&self, tree: &Id) -> Result<Arc<Directory>, TreeError> {
        if let Some(directory) = self.directories.get(tree) {
            return Ok(directory);
        }
        let directory = Arc::new(Directory::load(self.trees(), tree)?);
        let weight = directory.len() * ENTRY_WEIGHT + ENTRY_WEIGHT;
        self.directories
            .insert(*tree, Arc::clone(&directory), weight);
        Ok(directory)
    }

    /// Looks one name up, reading only one node per level of a split directory.
    pub fn lookup(&self, tree: &Id, name: &[u8]) -> Result<Option<Entry>, TreeError> {
        if let Some(directory) = self.directories.get(tree) {
            return Ok(directory.get(name).cloned());
        }
        Seeker::new(self.trees(), tree)?.get(name)
    }

    /// Returns the times of one name; the epoch when the sidecar does not know it.
    pub fn stamp(&self, times: &Id, name: &[u8]) -> Result<Stamp, TreeError> {
        let stamp = Seeker::new(self.trees(), times)?.get(name)?;
        Ok(stamp.unwrap_or_default())
    }

    /// Searches a tree for anything with an extended attribute; `None` when `stop` said so.
    ///
    /// Trees without any are remembered, so that searching a changed tree costs what changed.
    pub fn has_xattrs(
        &self,
        tree: &Id,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<bool>, TreeError> {
        let mut visited = HashSet::new();
        let mut pending = vec![*tree];
        while let Some(tree) = pending.pop() {
            if stop() {
                return Ok(None);
            }
            if self.is_plain(&tree) || !visited.insert(tree) {
                continue;
            }
            for (_, entry) in Directory::load(self.trees(), &tree)?.iter() {
                if !entry.meta.xattrs.is_empty() {
                    return Ok(Some(true));
                }
                pending.extend(entry.tree());
            }
        }
        let mut plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        if plain.len() + visited.len() > PLAIN_MAX {
            plain.clear();
        }
        plain.extend(visited);
        Ok(Some(false))
    }

    fn is_plain(&self, tree: &Id) -> bool {
        let plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        plain.contains(tree)
    }

    /// Returns a node of the times sidecar.
    pub fn times(&self, times: &Id) -> Result<Arc<TimesNode>, TreeError> {
        Stamp::load(self.trees(), times)
    }
}

impl std::fmt::Debug for NodeCache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("NodeCache").finish_non_exhaustive()
    }
}
