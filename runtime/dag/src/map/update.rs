//! Changing some names of a map: one short node per level and changed place is rewritten.

use super::build::{raise, save_index, save_leaves, save_root};
use super::{Child, Node, SPLIT_ABOVE, Value, Written, load_child, write};
use crate::name::Name;
use crate::trees::{TreeError, Trees};

/// A new value for a name, or none to remove it.
pub(crate) type Put<V> = (Name, Option<V>);

/// Applies changes, sorted by name without duplicates, to the map at `root`.
///
/// The result is the map that [`write`] makes of the same names and values.
pub(crate) fn update<V: Value>(
    trees: &dyn Trees,
    root: &hd_store::Id,
    changes: &[Put<V>],
) -> Result<Written, TreeError> {
    let node = V::load(trees, root)?;
    if changes.is_empty() {
        // The empty map is known without being stored; a tree that holds it should be complete.
        if *node == Node::empty() {
            V::save(trees, Node::empty())?;
        }
        let (id, marked) = (*root, node.has_markers());
        return Ok(Written { id, marked });
    }
    match node.as_ref() {
        Node::Leaf(items) => write(trees, merged(items.iter().cloned(), changes)),
        Node::Index { level, children } => {
            let children = rewrite::<V>(trees, level - 1, children, changes)?;
            settle::<V>(trees, level - 1, children)
        }
    }
}

/// Rewrites those nodes of `level` that hold changed names.
///
/// When the last name of a node goes, its end is no boundary any more and what follows joins it;
/// the end of the last node stays where it is.
fn rewrite<V: Value>(
    trees: &dyn Trees,
    level: u64,
    nodes: &[Child],
    changes: &[Put<V>],
) -> Result<Vec<Child>, TreeError> {
    let mut out = Vec::with_capacity(nodes.len() + 1);
    let (mut nodes, mut changes) = (nodes, changes);
    while !nodes.is_empty() {
        let (joined, concerned) = first_group(nodes, changes);
        let (group, rest) = nodes.split_at(joined);
        let (mine, later) = changes.split_at(concerned);
        if mine.is_empty() {
            out.extend_from_slice(group);
        } else {
            out.extend(rewrite_group(trees, level, group, mine)?);
        }
        (nodes, changes) = (rest, later);
    }
    Ok(out)
}

/// Returns how many nodes belong together, and how many of the changes concern them.
fn first_group<V>(nodes: &[Child], changes: &[Put<V>]) -> (usize, usize) {
    let mut concerned = 0;
    for (index, node) in nodes.iter().enumerate() {
        if index + 1 == nodes.len() {
            break;
        }
        concerned += changes[concerned..].partition_point(|(name, _)| *name <= node.last);
        let gone = |(name, value): &Put<V>| *name == node.last && value.is_none();
        if !changes[..concerned].last().is_some_and(gone) {
            return (index + 1, concerned);
        }
    }
    (nodes.len(), changes.len())
}

fn rewrite_group<V: Value>(
    trees: &dyn Trees,
    level: u64,
    group: &[Child],
    changes: &[Put<V>],
) -> Result<Vec<Child>, TreeError> {
    let mut items = Vec::new();
    let mut below = Vec::new();
    for node in group {
        match load_child::<V>(trees, level + 1, &node.id)?.as_ref() {
            Node::Leaf(part) => items.extend_from_slice(part),
            Node::Index { children, .. } => below.extend_from_slice(children),
        }
    }
    if level == 0 {
        return save_leaves(trees, merged(items.into_iter(), changes));
    }
    let below = rewrite::<V>(trees, level - 1, &below, changes)?;
    save_index::<V>(trees, level, below)
}

/// Makes the root over all nodes of one level: as low as possible, and a single leaf when small.
fn settle<V: Value>(
    trees: &dyn Trees,
    mut level: u64,
    mut nodes: Vec<Child>,
) -> Result<Written, TreeError> {
    let count = nodes
        .iter()
        .fold(0u64, |n, child| n.saturating_add(child.count));
    if count <= SPLIT_ABOVE {
        return save_root(trees, Node::Leaf(items_below::<V>(trees, level, &nodes)?));
    }
    while let ([only], true) = (nodes.as_slice(), level > 0) {
        let node = load_child::<V>(trees, level + 1, &only.id)?;
        let Node::Index { children, .. } = node.as_ref() else {
            break;
        };
        nodes = children.clone();
        level -= 1;
    }
    raise::<V>(trees, level, nodes)
}

fn items_below<V: Value>(
    trees: &dyn Trees,
    level: u64,
    nodes: &[Child],
) -> Result<Vec<(Name, V)>, TreeError> {
    let mut items = Vec::new();
    for node in nodes {
        match load_child::<V>(trees, level + 1, &node.id)?.as_ref() {
            Node::Leaf(part) => items.extend_from_slice(part),
            Node::Index { level, children } => {
                items.extend(items_below(trees, level - 1, children)?);
            }
        }
    }
    Ok(items)
}

/// Merges changes into sorted items.
fn merged<V: Clone>(items: impl Iterator<Item = (Name, V)>, changes: &[Put<V>]) -> Vec<(Name, V)> {
    let mut out = Vec::with_capacity(items.size_hint().0 + changes.len());
    let mut changes = changes.iter().peekable();
    let put = |out: &mut Vec<_>, (name, value): &Put<V>| {
        out.extend(value.clone().map(|value| (name.clone(), value)));
    };
    for (name, value) in items {
        while let Some(change) = changes.next_if(|(changed, _)| *changed < name) {
            put(&mut out, change);
        }
        match changes.next_if(|(changed, _)| *changed == name) {
            Some(change) => put(&mut out, change),
            None => out.push((name, value)),
        }
    }
    changes.for_each(|change| put(&mut out, change));
    out
}
