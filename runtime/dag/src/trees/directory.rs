//! A whole directory at hand, however it is split.

use std::sync::Arc;

use hd_store::Id;

use super::{TreeError, Trees};
use crate::cbor::DecodeError;
use crate::entry::Entry;
use crate::map::{Node, TreeNode, Value, find};
use crate::name::Name;

/// The sorted entries of a directory; leaves are shared with whatever else holds them.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// The leaves that have entries.
    leaves: Vec<Arc<TreeNode>>,
    /// Per leaf, how many entries end with it.
    ends: Vec<usize>,
}

impl Directory {
    /// Loads all nodes of a directory.
    pub fn load(trees: &dyn Trees, tree: &Id) -> Result<Self, TreeError> {
        let mut directory = Self::default();
        let mut rest = vec![(*tree, None)];
        while let Some((id, level)) = rest.pop() {
            let node = Entry::load(trees, &id)?;
            if level.is_some_and(|level| level != node.level()) {
                let reason = "index node over a node of a wrong level";
                let source = DecodeError::Malformed { reason, offset: 0 };
                let what = "tree node";
                return Err(TreeError::Malformed { what, id, source });
            }
            match node.as_ref() {
                Node::Leaf(items) if items.is_empty() => {}
                Node::Leaf(items) => {
                    directory.ends.push(directory.len() + items.len());
                    directory.leaves.push(node);
                }
                Node::Index { level, children } => {
                    let below = children.iter().rev();
                    rest.extend(below.map(|child| (child.id, Some(level - 1))));
                }
            }
        }
        Ok(directory)
    }

    /// Counts the entries.
    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Says whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Looks a name up in O(log n).
    pub fn get(&self, name: &[u8]) -> Option<&Entry> {
        let ends_before = |leaf: &Arc<TreeNode>| {
            let last = items(leaf).last();
            last.is_none_or(|(last, _)| last.as_bytes() < name)
        };
        let index = self.leaves.partition_point(ends_before);
        find(items(self.leaves.get(index)?), name)
    }

    /// Returns the entry at a position in the order of names.
    pub fn at(&self, position: usize) -> Option<(&Name, &Entry)> {
        self.iter_from(position).next()
    }

    /// Iterates over the entries in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Entry)> {
        self.iter_from(0)
    }

    /// Iterates from a position on, which costs O(log n) to find: for `readdir` with an offset.
    pub fn iter_from(&self, position: usize) -> impl Iterator<Item = (&Name, &Entry)> {
        let first = self.ends.partition_point(|end| *end <= position);
        let begin = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        let leaves = self.leaves.get(first..).unwrap_or_default();
        leaves
            .iter()
            .flat_map(items)
            .skip(position - begin)
            .map(|(name, entry)| (name, entry))
    }
}

fn items(leaf: &Arc<TreeNode>) -> &[(Name, Entry)] {
    match leaf.as_ref() {
        Node::Leaf(items) => items,
        Node::Index { .. } => &[],
    }
}
