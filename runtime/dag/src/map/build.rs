//! Writing a map from its sorted items.

use super::{Child, Node, SPLIT_ABOVE, Value, Written, rank};
use crate::name::Name;
use crate::trees::{TreeError, Trees};

/// Writes a whole map from items sorted by name.
pub(crate) fn write<V: Value>(
    trees: &dyn Trees,
    items: Vec<(Name, V)>,
) -> Result<Written, TreeError> {
    if items.len() as u64 <= SPLIT_ABOVE {
        return save_root(trees, Node::Leaf(items));
    }
    raise::<V>(trees, 0, save_leaves(trees, items)?)
}

/// Writes index nodes above the nodes of `level` until one is left, which is the root.
pub(super) fn raise<V: Value>(
    trees: &dyn Trees,
    mut level: u64,
    mut nodes: Vec<Child>,
) -> Result<Written, TreeError> {
    loop {
        match nodes.as_slice() {
            [] => return save_root(trees, Node::<V>::empty()),
            [root] => return Ok(root.into()),
            _ => {
                level += 1;
                nodes = save_index::<V>(trees, level, nodes)?;
            }
        }
    }
}

pub(super) fn save_root<V: Value>(trees: &dyn Trees, node: Node<V>) -> Result<Written, TreeError> {
    let marked = node.has_markers();
    let id = V::save(trees, node)?;
    Ok(Written { id, marked })
}

/// Cuts items into leaves and saves them.
pub(super) fn save_leaves<V: Value>(
    trees: &dyn Trees,
    items: Vec<(Name, V)>,
) -> Result<Vec<Child>, TreeError> {
    cut(items, 1, |(name, _)| name)
        .map(|items| save(trees, Node::Leaf(items)))
        .collect()
}

/// Cuts children into index nodes of `level` and saves them.
pub(super) fn save_index<V: Value>(
    trees: &dyn Trees,
    level: u64,
    children: Vec<Child>,
) -> Result<Vec<Child>, TreeError> {
    cut(children, level + 1, |child| &child.last)
        .map(|children| save(trees, Node::<V>::Index { level, children }))
        .collect()
}

fn save<V: Value>(trees: &dyn Trees, node: Node<V>) -> Result<Child, TreeError> {
    let Some(last) = node.last().cloned() else {
        return Err(TreeError::Inconsistent {
            reason: "a part of a split directory is empty",
        });
    };
    let (count, marked) = (node.count(), node.has_markers());
    let id = V::save(trees, node)?;
    Ok(Child {
        last,
        id,
        count,
        marked,
    })
}

/// Splits sorted items behind each name of at least `boundary` rank; no part is empty.
fn cut<T>(
    items: Vec<T>,
    boundary: u64,
    name: impl Fn(&T) -> &Name,
) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter().peekable();
    std::iter::from_fn(move || {
        items.peek()?;
        let mut part = Vec::new();
        for item in items.by_ref() {
            let ends = rank(name(&item)) >= boundary;
            part.push(item);
            if ends {
                break;
            }
        }
        Some(part)
    })
}

impl From<&Child> for Written {
    fn from(child: &Child) -> Self {
        let (id, marked) = (child.id, child.marked);
        Self { id, marked }
    }
}
