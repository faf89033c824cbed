//! Nodes kept in the store, with decoded ones at hand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hd_store::{Id, NodeKind, Store, Writer};

use super::lru::Lru;
use super::{TreeError, Trees, decoded};
use crate::map::{Node, TimesNode, TreeNode, Value};

/// Decoded nodes take about this many times the bytes of encoded ones.
const DECODED_FACTOR: usize = 3;

/// Weight of bookkeeping per cached node, in bytes.
const NODE_OVERHEAD: usize = 128;

/// Loads nodes from a store and saves them through a writer.
///
/// What is saved can be loaded at once through the same value, and by others after
/// [`commit`](Self::commit).
pub struct StoreTrees {
    store: Store,
    writer: Option<Mutex<Writer>>,
    tree_nodes: Lru<TreeNode>,
    times_nodes: Lru<TimesNode>,
}

impl StoreTrees {
    /// Opens for reading and saving; decoded nodes take at most about `cache_bytes`.
    pub fn new(store: Store, writer: Writer, cache_bytes: usize) -> Self {
        Self::with(store, Some(Mutex::new(writer)), cache_bytes)
    }

    /// Opens for reading only; decoded nodes take at most about `cache_bytes`.
    pub fn read_only(store: Store, cache_bytes: usize) -> Self {
        Self::with(store, None, cache_bytes)
    }

    fn with(store: Store, writer: Option<Mutex<Writer>>, cache_bytes: usize) -> Self {
        Self {
            store,
            writer,
            // Times nodes are about half as large as the nodes they accompany.
            tree_nodes: Lru::new(cache_bytes / 3 * 2),
            times_nodes: Lru::new(cache_bytes / 3),
        }
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the writer, none when opened for reading only.
    ///
    /// While the guard lives, saving waits and so does loading what is not yet committed: use no
    /// method of this value meanwhile.
    pub fn writer(&self) -> Option<MutexGuard<'_, Writer>> {
        let lock = self.writer.as_ref()?;
        Some(lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes what was saved durable, then visible to others.
    pub fn commit(&self) -> Result<(), hd_store::Error> {
        match self.writer() {
            Some(mut writer) => writer.commit(),
            None => Ok(()),
        }
    }

    fn cached<V: Value>(
        &self,
        cache: &Lru<Node<V>>,
        what: &'static str,
        id: &Id,
    ) -> Result<Arc<Node<V>>, TreeError> {
        if let Some(node) = cache.get(id) {
            return Ok(node);
        }
        let bytes = self.load(V::KIND, id)?;
        let node = Arc::new(decoded(what, id, Node::decode(&bytes))?);
        cache.insert(*id, Arc::clone(&node), weight(&bytes));
        Ok(node)
    }

    fn save_and_keep<V: Value>(
        &self,
        cache: &Lru<Node<V>>,
        node: Node<V>,
    ) -> Result<Id, TreeError> {
        let bytes = node.encode();
        let id = self.save(V::KIND, &bytes)?;
        cache.insert(id, Arc::new(node), weight(&bytes));
        Ok(id)
    }
}

fn weight(bytes: &[u8]) -> usize {
    bytes.len() * DECODED_FACTOR + NODE_OVERHEAD
}

impl Trees for StoreTrees {
    fn load(&self, kind: NodeKind, id: &Id) -> Result<Vec<u8>, TreeError> {
        let mut result = self.store.read_node(kind, id);
        if matches!(result, Err(hd_store::Error::NotFound { .. }))
            && let Some(mut writer) = self.writer()
        {
            result = writer.read_node(kind, id);
        }
        result.map_err(|source| match source {
            hd_store::Error::NotFound { .. } => TreeError::Missing { kind, id: *id },
            source => TreeError::Store {
                kind,
                id: *id,
                source,
            },
        })
    }

    fn save(&self, kind: NodeKind, bytes: &[u8]) -> Result<Id, TreeError> {
        let Some(mut writer) = self.writer() else {
            return Err(TreeError::ReadOnly { kind });
        };
        writer
            .put_node(kind, bytes)
            .map_err(|source| TreeError::Store {
                kind,
                id: kind.id_of(bytes),
                source,
            })
    }

    fn tree_node(&self, id: &Id) -> Result<Arc<TreeNode>, TreeError> {
        self.cached(&self.tree_nodes, "tree node", id)
    }

    fn times_node(&self, id: &Id) -> Result<Arc<TimesNode>, TreeError> {
        self.cached(&self.times_nodes, "times node", id)
    }

    fn save_tree_node(&self, node: TreeNode) -> Result<Id, TreeError> {
        self.save_and_keep(&self.tree_nodes, node)
    }

    fn save_times_node(&self, node: TimesNode) -> Result<Id, TreeError> {
        self.save_and_keep(&self.times_nodes, node)
    }
}

impl std::fmt::Debug for StoreTrees {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("StoreTrees")
            .field("read_only", &self.writer.is_none())
            .finish_non_exhaustive()
    }
}
