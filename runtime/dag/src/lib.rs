//! Merkle trees and the nodes of an environment: everything about identity, nothing about time,
//! processes or mounts.
//!
//! A [`Rooted`] tree is two Merkle trees of one shape: the entries, whose root is the identity,
//! and the modification times beside them. [`build`] makes one from scratch, [`apply`] from edits,
//! [`compose`] from layers; [`diff`] compares two. A [`trace::Trace`] holds what a build step
//! observed of one. The nodes of a directory are loaded and saved through [`Trees`].

mod canonical;
mod cbor;
mod entry;
mod entry_codec;
mod environment;
mod links;
mod map;
mod name;
pub mod node;
mod path;
mod result;
mod times;
pub mod trace;
mod tree;
mod trees;

pub use canonical::CanonicalError;
pub use cbor::DecodeError;
pub use entry::{Entry, Kind, MODE_MASK, Meta, Target, link_group};
pub use environment::{Environment, EnvironmentNodes, environment_root};
pub use links::{StoreLinks, links_of};
pub use map::{Child, Node as MapNode, SPLIT_ABOVE, TimesNode, TreeNode, empty_times, empty_tree};
pub use name::{MAX_NAME, Name, NameError};
pub use path::{PathError, TreePath};
pub use result::StepResult;
pub use times::{Rooted, Stamp};
pub use tree::{
    Change, Delta, Diff, Edit, Entries, Layer, Led, Walk, WalkItem, apply, build, compose, diff,
    follow, get, get_stamped, graft, list, merge_layers, raise_times, retime, subtree, times_since,
    walk,
};
pub use trees::{Directory, MemoryTrees, NodeCache, StoreTrees, TreeError, Trees};
