//! Where nodes are kept.

mod cache;
mod directory;
mod lru;
mod memory;
mod recent;
mod store;

use std::sync::Arc;

use hd_store::{Id, NodeKind};

pub use cache::NodeCache;
pub use directory::Directory;
pub use memory::MemoryTrees;
pub(crate) use recent::Recent;
pub use store::StoreTrees;

use crate::cbor::DecodeError;
use crate::map::{Node, TimesNode, TreeNode};
use crate::path::TreePath;

/// Why a tree could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A node is not stored.
    #[error("{kind:?} node {id} is missing")]
    Missing {
        /// Kind of the node.
        kind: NodeKind,
        /// Its id.
        id: Id,
    },
    /// Stored bytes are not the node they should be.
    #[error("{what} {id} is malformed: {source}")]
    Malformed {
        /// What was expected.
        what: &'static str,
        /// Its id.
        id: Id,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// The parts of a tree do not fit together.
    #[error("inconsistent tree: {reason}")]
    Inconsistent {
        /// What does not fit.
        reason: &'static str,
    },
    /// Something was to be saved where only reading is possible.
    #[error("cannot save a {kind:?} node: opened for reading only")]
    ReadOnly {
        /// Kind of the node.
        kind: NodeKind,
    },
    /// The store failed.
    #[error("{kind:?} node {id}: {source}")]
    Store {
        /// Kind of the node.
        kind: NodeKind,
        /// Its id; of the content when saving failed.
        id: Id,
        /// What the store said.
        #[source]
        source: hd_store::Error,
    },
    /// Something outside the trees could not be observed, for example a file of the host.
    #[error("cannot observe {path}: {source}")]
    Observe {
        /// What was looked at.
        path: TreePath,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The entries to build from are not sorted, or a path comes twice.
    #[error("{path} is out of order or comes twice")]
    Unsorted {
        /// The entry at fault.
        path: TreePath,
    },
    /// An entry lies below something that is not a directory.
    #[error("{path} lies below an entry that is not a directory")]
    BelowFile {
        /// The entry at fault.
        path: TreePath,
    },
    /// The root of a tree would become something else than a directory.
    #[error("the root of a tree must stay a directory")]
    RootKind,
    /// A directory with content was put as if it were empty.
    #[error("{path}: a directory is put empty, its content by edits below it or by a graft")]
    PutTree {
        /// The directory.
        path: TreePath,
    },
    /// Two layers that are merged disagree.
    #[error("{path} is written differently by {first} and by {second}")]
    Conflict {
        /// The path both write.
        path: TreePath,
        /// Name of the first layer.
        first: String,
        /// Name of the second layer.
        second: String,
    },
}

/// Loads and saves nodes by id.
///
/// The methods for decoded nodes exist for implementations that keep decoded nodes; the default
/// ones decode each time.
pub trait Trees: Send + Sync {
    /// Returns the bytes of a node, verified against its id.
    fn load(&self, kind: NodeKind, id: &Id) -> Result<Vec<u8>, TreeError>;

    /// Stores the bytes of a node and returns its id.
    fn save(&self, kind: NodeKind, bytes: &[u8]) -> Result<Id, TreeError>;

    /// Returns a decoded node of a directory.
    fn tree_node(&self, id: &Id) -> Result<Arc<TreeNode>, TreeError> {
        let bytes = self.load(NodeKind::Tree, id)?;
        decoded("tree node", id, Node::decode(&bytes)).map(Arc::new)
    }

    /// Returns a decoded node of a directory's times.
    fn times_node(&self, id: &Id) -> Result<Arc<TimesNode>, TreeError> {
        let bytes = self.load(NodeKind::Times, id)?;
        decoded("times node", id, Node::decode(&bytes)).map(Arc::new)
    }

    /// Stores a node of a directory.
    fn save_tree_node(&self, node: TreeNode) -> Result<Id, TreeError> {
        self.save(NodeKind::Tree, &node.encode())
    }

    /// Stores a node of a directory's times.
    fn save_times_node(&self, node: TimesNode) -> Result<Id, TreeError> {
        self.save(NodeKind::Times, &node.encode())
    }
}

pub(crate) fn decoded<T>(
    what: &'static str,
    id: &Id,
    result: Result<T, DecodeError>,
) -> Result<T, TreeError> {
    result.map_err(|source| TreeError::Malformed {
        what,
        id: *id,
        source,
    })
}
