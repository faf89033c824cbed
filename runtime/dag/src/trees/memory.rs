//! Nodes kept in memory: for tests and for trees that are thrown away.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use hd_store::{Id, NodeKind};

use super::{TreeError, Trees};

/// Keeps nodes in memory, without bound.
#[derive(Debug, Default)]
pub struct MemoryTrees {
    nodes: RwLock<HashMap<Id, Vec<u8>>>,
}

impl MemoryTrees {
    /// Returns an empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts the nodes.
    pub fn len(&self) -> usize {
        self.nodes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Says whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Trees for MemoryTrees {
    fn load(&self, kind: NodeKind, id: &Id) -> Result<Vec<u8>, TreeError> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let bytes = nodes.get(id).cloned();
        bytes.ok_or(TreeError::Missing { kind, id: *id })
    }

    fn save(&self, kind: NodeKind, bytes: &[u8]) -> Result<Id, TreeError> {
        let id = kind.id_of(bytes);
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes.entry(id).or_insert_with(|| bytes.to_vec());
        Ok(id)
    }
}
