//! Reading a map in order, and looking names up in it.

use std::sync::Arc;

use hd_store::Id;

use super::{Node, Value, load_child};
use crate::name::Name;
use crate::trees::{TreeError, Trees};

/// Iterates over a map in order, one loaded node per level.
pub(crate) struct MapIter<'t, V> {
    trees: &'t dyn Trees,
    stack: Vec<(Arc<Node<V>>, usize)>,
}

impl<'t, V: Value> MapIter<'t, V> {
    pub(crate) fn new(trees: &'t dyn Trees, root: &Id) -> Result<Self, TreeError> {
        let stack = vec![(V::load(trees, root)?, 0)];
        Ok(Self { trees, stack })
    }

    fn advance(&mut self) -> Result<Option<(Name, V)>, TreeError> {
        while let Some((node, position)) = self.stack.last_mut() {
            let index = *position;
            *position += 1;
            let down = match node.as_ref() {
                Node::Leaf(items) => match items.get(index) {
                    Some(item) => return Ok(Some(item.clone())),
                    None => None,
                },
                Node::Index { level, children } => match children.get(index) {
                    Some(child) => Some(load_child(self.trees, *level, &child.id)?),
                    None => None,
                },
            };
            match down {
                Some(node) => self.stack.push((node, 0)),
                None => drop(self.stack.pop()),
            }
        }
        Ok(None)
    }
}

impl<V: Value> Iterator for MapIter<'_, V> {
    type Item = Result<(Name, V), TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance().transpose();
        if matches!(item, Some(Err(_))) {
            self.stack.clear();
        }
        item
    }
}

/// Looks names up; names asked in order share the nodes on the way.
pub(crate) struct Seeker<'t, V> {
    trees: &'t dyn Trees,
    /// The nodes on the way to the name asked last, the root first.
    path: Vec<Step<V>>,
}

/// A node with the names it covers, where that is bounded.
struct Step<V> {
    node: Arc<Node<V>>,
    above: Option<Name>,
    up_to: Option<Name>,
}

impl<V> Step<V> {
    fn covers(&self, name: &[u8]) -> bool {
        let above = self.above.as_ref();
        let up_to = self.up_to.as_ref();
        above.is_none_or(|above| above.as_bytes() < name)
            && up_to.is_none_or(|up_to| name <= up_to.as_bytes())
    }
}

impl<'t, V: Value> Seeker<'t, V> {
    pub(crate) fn new(trees: &'t dyn Trees, root: &Id) -> Result<Self, TreeError> {
        let root = Step {
            node: V::load(trees, root)?,
            above: None,
            up_to: None,
        };
        let path = vec![root];
        Ok(Self { trees, path })
    }

    pub(crate) fn get(&mut self, name: &[u8]) -> Result<Option<V>, TreeError> {
        while self.path.last().is_some_and(|step| !step.covers(name)) {
            self.path.pop();
        }
        while let Some(step) = self.path.last() {
            let (level, children) = match step.node.as_ref() {
                Node::Leaf(items) => return Ok(find(items, name).cloned()),
                Node::Index { level, children } => (*level, children),
            };
            let index = children.partition_point(|child| child.last.as_bytes() < name);
            let Some(child) = children.get(index) else {
                return Ok(None);
            };
            let before = index.checked_sub(1).and_then(|index| children.get(index));
            let above = match before {
                Some(before) => Some(before.last.clone()),
                None => step.above.clone(),
            };
            let node = load_child(self.trees, level, &child.id)?;
            let up_to = Some(child.last.clone());
            self.path.push(Step { node, above, up_to });
        }
        Ok(None)
    }
}

pub(crate) fn find<'a, V>(items: &'a [(Name, V)], name: &[u8]) -> Option<&'a V> {
    let index = items.binary_search_by(|(other, _)| other.as_bytes().cmp(name));
    index
        .ok()
        .and_then(|index| items.get(index))
        .map(|(_, value)| value)
}

impl<V> std::fmt::Debug for MapIter<'_, V> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let depth = self.stack.len();
        out.debug_struct("MapIter")
            .field("depth", &depth)
            .finish_non_exhaustive()
    }
}

impl<V> std::fmt::Debug for Seeker<'_, V> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let depth = self.path.len();
        out.debug_struct("Seeker")
            .field("depth", &depth)
            .finish_non_exhaustive()
    }
}
