//! Nodes of trees that are being worked on: read from the store, new ones kept at hand until
//! they are flushed into it.
//!
//! A store writer holds off garbage collection, so nobody keeps one open; composing a view, on
//! the other hand, must not wait for a disk. New nodes therefore stay in memory until a flush
//! makes them durable in one commit.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use hd_dag::{StoreTrees, TreeError, Trees};
use hd_store::{Id, NodeKind, Store, Writer};

/// Bytes of decoded nodes kept for reading.
const DECODED_BYTES: usize = 64 << 20;

/// Kind (by number) and id of a node.
pub type NodeKey = (u8, Id);

/// Trees over a store, with new nodes in memory.
#[derive(Debug)]
pub struct WorkTrees {
    stored: StoreTrees,
    fresh: RwLock<HashMap<NodeKey, Arc<Vec<u8>>>>,
}

impl WorkTrees {
    /// Works over a store.
    pub fn new(store: Store) -> Self {
        Self {
            stored: StoreTrees::read_only(store, DECODED_BYTES),
            fresh: RwLock::default(),
        }
    }

    /// Tells whether there are nodes that no commit has made durable.
    pub fn has_new(&self) -> bool {
        let fresh = self.fresh.read().unwrap_or_else(PoisonError::into_inner);
        !fresh.is_empty()
    }

    /// Writes all new nodes through a writer; the caller commits, then calls [`Self::flushed`].
    pub fn flush(&self, writer: &mut Writer) -> Result<Vec<NodeKey>, hd_store::Error> {
        let fresh: Vec<_> = {
            let fresh = self.fresh.read().unwrap_or_else(PoisonError::into_inner);
            fresh
                .iter()
                .map(|(key, bytes)| (*key, bytes.clone()))
                .collect()
        };
        for ((kind, _), bytes) in &fresh {
            if let Some(kind) = kind_of(*kind) {
                writer.put_node(kind, bytes)?;
            }
        }
        Ok(fresh.into_iter().map(|(key, _)| key).collect())
    }

    /// Forgets nodes that a commit has made durable.
    pub fn flushed(&self, keys: &[NodeKey]) {
        let mut fresh = self.fresh.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            fresh.remove(key);
        }
    }

    fn fresh(&self, kind: NodeKind, id: &Id) -> Option<Arc<Vec<u8>>> {
        let fresh = self.fresh.read().unwrap_or_else(PoisonError::into_inner);
        fresh.get(&(kind as u8, *id)).cloned()
    }
}

fn kind_of(number: u8) -> Option<NodeKind> {
    [
        NodeKind::Tree,
        NodeKind::Times,
        NodeKind::Trace,
        NodeKind::Result,
        NodeKind::Node,
    ]
    .into_iter()
    .find(|kind| *kind as u8 == number)
}

impl Trees for WorkTrees {
    fn load(&self, kind: NodeKind, id: &Id) -> Result<Vec<u8>, TreeError> {
        match self.fresh(kind, id) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => self.stored.load(kind, id),
        }
    }

    fn save(&self, kind: NodeKind, bytes: &[u8]) -> Result<Id, TreeError> {
        let id = kind.id_of(bytes);
        let mut fresh = self.fresh.write().unwrap_or_else(PoisonError::into_inner);
        fresh
            .entry((kind as u8, id))
            .or_insert_with(|| Arc::new(bytes.to_vec()));
        Ok(id)
    }

    fn tree_node(&self, id: &Id) -> Result<Arc<hd_dag::TreeNode>, TreeError> {
        match self.fresh(NodeKind::Tree, id) {
            Some(bytes) => hd_dag::TreeNode::decode(&bytes)
                .map(Arc::new)
                .map_err(|source| TreeError::Malformed {
                    what: "tree node",
                    id: *id,
                    source,
                }),
            None => self.stored.tree_node(id),
        }
    }

    fn times_node(&self, id: &Id) -> Result<Arc<hd_dag::TimesNode>, TreeError> {
        match self.fresh(NodeKind::Times, id) {
            Some(bytes) => hd_dag::TimesNode::decode(&bytes)
                .map(Arc::new)
                .map_err(|source| TreeError::Malformed {
                    what: "times node",
                    id: *id,
                    source,
                }),
            None => self.stored.times_node(id),
        }
    }
}
