//! What the objects of this crate point to, for the store's collection and verification.

use hd_store::{Id, Link, Links, NodeKind};

use crate::entry::{Entry, Target};
use crate::map::{Node as MapNode, TimesNode, TreeNode, empty_times, empty_tree};
use crate::node::Node;
use crate::result::StepResult;
use crate::times::Rooted;
use crate::trace::Trace;

/// Reads the links out of trees, times, traces, results and graph nodes.
///
/// Empty trees and times are left out: they are known without being stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreLinks;

impl Links for StoreLinks {
    fn links(&self, kind: NodeKind, bytes: &[u8]) -> Result<Vec<Link>, String> {
        match kind {
            NodeKind::Tree => {
                let node = TreeNode::decode(bytes).map_err(text)?;
                Ok(map_links(kind, &node, entry_link))
            }
            NodeKind::Times => {
                let node = TimesNode::decode(bytes).map_err(text)?;
                Ok(map_links(kind, &node, |stamp| times(stamp.child?)))
            }
            NodeKind::Trace => {
                Trace::decode(bytes).map_err(text)?;
                Ok(Vec::new())
            }
            NodeKind::Result => result_links(bytes),
            NodeKind::Node => Ok(node_links(Node::decode(bytes).map_err(text)?)),
        }
    }

    fn history_links(&self, payload: &[u8]) -> Result<Vec<Link>, String> {
        result_links(payload)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn tree(id: Id) -> Option<Link> {
    (id != empty_tree()).then_some(Link::Node(NodeKind::Tree, id))
}

fn times(id: Id) -> Option<Link> {
    (id != empty_times()).then_some(Link::Node(NodeKind::Times, id))
}

/// Lists what a tree and its times are kept by; nothing for empty ones.
pub fn links_of(rooted: &Rooted) -> Vec<Link> {
    both(rooted).collect()
}

fn both(rooted: &Rooted) -> impl Iterator<Item = Link> {
    tree(rooted.tree).into_iter().chain(times(rooted.times))
}

fn map_links<V>(kind: NodeKind, node: &MapNode<V>, link: impl Fn(&V) -> Option<Link>) -> Vec<Link> {
    match node {
        MapNode::Leaf(items) => items.iter().filter_map(|(_, value)| link(value)).collect(),
        MapNode::Index { children, .. } => children
            .iter()
            .map(|child| Link::Node(kind, child.id))
            .collect(),
    }
}

fn entry_link(entry: &Entry) -> Option<Link> {
    match &entry.target {
        Target::Regular { blob, .. } => Some(Link::Blob(*blob)),
        Target::Dir { tree: id, .. } => tree(*id),
        _ => None,
    }
}

fn node_links(node: Node) -> Vec<Link> {
    match node {
        Node::File(file) => vec![Link::Blob(file.blob)],
        Node::Dir(dir) => tree(dir.tree).into_iter().collect(),
        Node::Package(package) => package.tree.and_then(tree).into_iter().collect(),
        Node::BuildStep(_) => Vec::new(),
        Node::Env(env) => {
            let child = |id| Link::Node(NodeKind::Node, id);
            env.children.into_iter().map(child).collect()
        }
    }
}

/// Output, touched files, observations and log whole; of the tree it was made on the nodes only.
fn result_links(bytes: &[u8]) -> Result<Vec<Link>, String> {
    let result = StepResult::decode(bytes).map_err(text)?;
    let made_on = result.made_on.tree;
    let skeleton = Link::Skeleton(NodeKind::Tree, made_on);
    let links = both(&result.output)
        .chain(result.touched.iter().flat_map(both))
        .chain([Link::Node(NodeKind::Trace, result.trace)])
        .chain(result.log.map(Link::Blob))
        .chain((made_on != empty_tree()).then_some(skeleton));
    Ok(links.collect())
}
