//! The sorted map of names that a directory is stored as.
//!
//! Up to [`SPLIT_ABOVE`] names are one leaf. More are cut into leaves and, above them, levels of
//! index nodes, as in a prolly tree. Where to cut is decided by the hash of a name alone, so that
//! the shape follows from the set of names and never from the history of edits, and an edit
//! rewrites one short node per level.

mod build;
mod codec;
mod cursor;
mod diff;
mod update;

use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use hd_store::{Id, NodeKind};

pub(crate) use build::write;
pub(crate) use cursor::{MapIter, Seeker, find};
pub(crate) use diff::{Difference, difference};
pub(crate) use update::update;

use crate::cbor::{DecodeError, Decoder, Encoder};
use crate::entry::Entry;
use crate::name::Name;
use crate::times::Stamp;
use crate::trees::{TreeError, Trees};
use crate::{entry_codec, times};

/// Most names of a directory that is kept in one node whatever the names are.
pub const SPLIT_ABOVE: u64 = 256;

/// Highest level of an index node: 64 hash bits, [`FANOUT_BITS`] per level.
const MAX_LEVEL: u64 = 13;

/// Hash bits a boundary of one more level takes: nodes hold 2^5 = 32 items on average.
const FANOUT_BITS: u32 = 5;

/// Key of the hash that decides on boundaries; it keeps them apart from any other use of names.
const BOUNDARY_KEY: &[u8; 32] = b"hd 2026 directory boundaries v1 ";

/// What a map holds per name: entries in trees, stamps in the times sidecar.
///
/// Implemented by [`Entry`] and [`Stamp`] only.
pub trait Value: Clone + PartialEq + Debug + Send + Sync + 'static {
    /// The kind of object the nodes are stored as.
    const KIND: NodeKind;
    /// Encodes one item.
    fn put(name: &Name, value: &Self, out: &mut Encoder);
    /// Decodes one item.
    fn take(input: &mut Decoder<'_>) -> Result<(Name, Self), DecodeError>;
    /// Says whether the value makes its directory a layer that needs composing.
    fn has_markers(&self) -> bool;
    /// Loads a node.
    fn load(trees: &dyn Trees, id: &Id) -> Result<Arc<Node<Self>>, TreeError>;
    /// Saves a node.
    fn save(trees: &dyn Trees, node: Node<Self>) -> Result<Id, TreeError>;
}

/// A reference from an index node to a node one level below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Greatest name below.
    pub last: Name,
    /// The node.
    pub id: Id,
    /// Names below.
    pub count: u64,
    /// Whether a whiteout or an opaque directory is somewhere below.
    pub marked: bool,
}

/// One stored node of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<V> {
    /// Names with their values, sorted.
    Leaf(Vec<(Name, V)>),
    /// Nodes of one level below, sorted.
    Index {
        /// 1 when the children are leaves.
        level: u64,
        /// The nodes below; never empty.
        children: Vec<Child>,
    },
}

/// A node of a directory's entries.
pub type TreeNode = Node<Entry>;
/// A node of a directory's times.
pub type TimesNode = Node<Stamp>;

/// A written map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) id: Id,
    pub(crate) marked: bool,
}

impl<V: Value> Node<V> {
    /// Returns the node without names.
    pub fn empty() -> Self {
        Self::Leaf(Vec::new())
    }

    /// Returns 0 for a leaf, else the height above the leaves.
    pub fn level(&self) -> u64 {
        match self {
            Self::Leaf(_) => 0,
            Self::Index { level, .. } => *level,
        }
    }

    /// Counts the names below.
    pub fn count(&self) -> u64 {
        match self {
            Self::Leaf(items) => items.len() as u64,
            Self::Index { children, .. } => children
                .iter()
                .fold(0, |sum, child| sum.saturating_add(child.count)),
        }
    }

    /// Says whether a whiteout or opaque directory is somewhere below.
    pub fn has_markers(&self) -> bool {
        match self {
            Self::Leaf(items) => items.iter().any(|(_, value)| value.has_markers()),
            Self::Index { children, .. } => children.iter().any(|child| child.marked),
        }
    }

    fn last(&self) -> Option<&Name> {
        match self {
            Self::Leaf(items) => items.last().map(|(name, _)| name),
            Self::Index { children, .. } => children.last().map(|child| &child.last),
        }
    }
}

/// Loads a child and checks that it stands one level below, so that levels bound the recursion.
fn load_child<V: Value>(trees: &dyn Trees, level: u64, id: &Id) -> Result<Arc<Node<V>>, TreeError> {
    let node = V::load(trees, id)?;
    if node.level().checked_add(1) != Some(level) {
        let reason = "index node over a node of a wrong level";
        let source = DecodeError::Malformed { reason, offset: 0 };
        return Err(TreeError::Malformed {
            what: "tree node",
            id: *id,
            source,
        });
    }
    Ok(node)
}

/// Returns how many levels of nodes end behind this name.
fn rank(name: &Name) -> u64 {
    let hash = blake3::keyed_hash(BOUNDARY_KEY, name.as_bytes());
    let bits = hash.as_bytes()[..8]
        .iter()
        .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    u64::from(bits.trailing_zeros() / FANOUT_BITS)
}

/// Returns the id of the directory without entries.
pub fn empty_tree() -> Id {
    static ID: LazyLock<Id> = LazyLock::new(|| id_of(&TreeNode::empty()));
    *ID
}

/// Returns the id of the times of the directory without entries.
pub fn empty_times() -> Id {
    static ID: LazyLock<Id> = LazyLock::new(|| id_of(&TimesNode::empty()));
    *ID
}

fn id_of<V: Value>(node: &Node<V>) -> Id {
    Id::derive(V::KIND.context(), &node.encode())
}

impl Value for Entry {
    const KIND: NodeKind = NodeKind::Tree;

    fn put(name: &Name, value: &Self, out: &mut Encoder) {
        entry_codec::put(name, value, out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<(Name, Self), DecodeError> {
        entry_codec::take(input)
    }

    fn has_markers(&self) -> bool {
        Entry::has_markers(self)
    }

    fn load(trees: &dyn Trees, id: &Id) -> Result<Arc<TreeNode>, TreeError> {
        if *id == empty_tree() {
            return Ok(Arc::new(Node::empty()));
        }
        trees.tree_node(id)
    }

    fn save(trees: &dyn Trees, node: TreeNode) -> Result<Id, TreeError> {
        trees.save_tree_node(node)
    }
}

impl Value for Stamp {
    const KIND: NodeKind = NodeKind::Times;

    fn put(name: &Name, value: &Self, out: &mut Encoder) {
        times::put(name, value, out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<(Name, Self), DecodeError> {
        times::take(input)
    }

    fn has_markers(&self) -> bool {
        false
    }

    fn load(trees: &dyn Trees, id: &Id) -> Result<Arc<TimesNode>, TreeError> {
        if *id == empty_times() {
            return Ok(Arc::new(Node::empty()));
        }
        trees.times_node(id)
    }

    fn save(trees: &dyn Trees, node: TimesNode) -> Result<Id, TreeError> {
        trees.save_times_node(node)
    }
}
