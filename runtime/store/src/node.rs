//! Small typed objects and the links between them.

use serde::{Deserialize, Serialize};

use crate::Id;

/// Says what a stored node is; each kind hashes in a domain of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// A directory of a Merkle tree, or a part of a large one.
    Tree,
    /// Modification times beside a tree.
    Times,
    /// What a build step observed.
    Trace,
    /// What a build step produced.
    Result,
    /// A node of the environment graph.
    Node,
}

impl NodeKind {
    /// Every kind there is, in the order of their codes.
    pub const ALL: [NodeKind; 5] = [
        NodeKind::Tree,
        NodeKind::Times,
        NodeKind::Trace,
        NodeKind::Result,
        NodeKind::Node,
    ];

    /// Gives the BLAKE3 `derive_key` context of this kind.
    pub const fn context(self) -> &'static str {
        match self {
            NodeKind::Tree => "hd 2026 tree v1",
            NodeKind::Times => "hd 2026 times v1",
            NodeKind::Trace => "hd 2026 trace v1",
            NodeKind::Result => "hd 2026 result v1",
            NodeKind::Node => "hd 2026 node v1",
        }
    }

    /// Names the bytes of a node of this kind.
    pub fn id_of(self, bytes: &[u8]) -> Id {
        Id::derive(self.context(), bytes)
    }

    /// The number that stands for this kind in a record; part of the format on disk.
    pub(crate) const fn code(self) -> u8 {
        match self {
            NodeKind::Tree => 1,
            NodeKind::Times => 2,
            NodeKind::Trace => 3,
            NodeKind::Result => 4,
            NodeKind::Node => 5,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<NodeKind> {
        NodeKind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Points from a root or a node to something stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// A blob.
    Blob(Id),
    /// A node and everything below it.
    Node(NodeKind, Id),
    /// A node and the nodes below it, but none of their blobs: enough to compare trees.
    Skeleton(NodeKind, Id),
}

impl Link {
    /// The id at the end of the link.
    pub const fn id(&self) -> Id {
        match self {
            Link::Blob(id) | Link::Node(_, id) | Link::Skeleton(_, id) => *id,
        }
    }
}

/// Knows what nodes point to; the store itself never looks inside one.
pub trait Links: Sync {
    /// Lists what a node points to.
    ///
    /// # Errors
    /// Says why the bytes cannot be understood; a collection then stops rather than guess.
    fn links(&self, kind: NodeKind, bytes: &[u8]) -> Result<Vec<Link>, String>;

    /// Lists what the payload of a history entry points to.
    ///
    /// # Errors
    /// Says why the payload cannot be understood; such an entry is dropped by a collection.
    fn history_links(&self, payload: &[u8]) -> Result<Vec<Link>, String>;
}
