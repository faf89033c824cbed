//! Nodes of the last moments, so that one operation loads and decodes a node once.

use std::sync::Arc;

use hd_store::{Id, NodeKind};

use super::lru::Lru;
use super::{TreeError, Trees};
use crate::map::{TimesNode, TreeNode};

/// How many nodes of each kind are kept.
const KEPT: usize = 256;

/// Keeps the nodes an operation loaded last.
pub(crate) struct Recent<'t> {
    trees: &'t dyn Trees,
    tree_nodes: Lru<TreeNode>,
    times_nodes: Lru<TimesNode>,
}

impl<'t> Recent<'t> {
    pub(crate) fn new(trees: &'t dyn Trees) -> Self {
        let (tree_nodes, times_nodes) = (Lru::new(KEPT), Lru::new(KEPT));
        Self {
            trees,
            tree_nodes,
            times_nodes,
        }
    }
}

impl Trees for Recent<'_> {
    fn load(&self, kind: NodeKind, id: &Id) -> Result<Vec<u8>, TreeError> {
        self.trees.load(kind, id)
    }

    fn save(&self, kind: NodeKind, bytes: &[u8]) -> Result<Id, TreeError> {
        self.trees.save(kind, bytes)
    }

    fn tree_node(&self, id: &Id) -> Result<Arc<TreeNode>, TreeError> {
        if let Some(node) = self.tree_nodes.get(id) {
            return Ok(node);
        }
        let node = self.trees.tree_node(id)?;
        self.tree_nodes.insert(*id, Arc::clone(&node), 1);
        Ok(node)
    }

    fn times_node(&self, id: &Id) -> Result<Arc<TimesNode>, TreeError> {
        if let Some(node) = self.times_nodes.get(id) {
            return Ok(node);
        }
        let node = self.trees.times_node(id)?;
        self.times_nodes.insert(*id, Arc::clone(&node), 1);
        Ok(node)
    }

    fn save_tree_node(&self, node: TreeNode) -> Result<Id, TreeError> {
        self.trees.save_tree_node(node)
    }

    fn save_times_node(&self, node: TimesNode) -> Result<Id, TreeError> {
        self.trees.save_times_node(node)
    }
}
