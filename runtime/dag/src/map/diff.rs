//! Comparing two maps: parts with one id are skipped unread.

use std::cmp::Ordering;

use hd_store::Id;

use super::{Node, Value, load_child};
use crate::name::Name;
use crate::trees::{TreeError, Trees};

/// A name with what it stands for before and after, which differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference<V> {
    pub(crate) name: Name,
    pub(crate) old: Option<V>,
    pub(crate) new: Option<V>,
}

enum Item<V> {
    Value(Name, V),
    /// An unread node with the level of the node that refers to it.
    Part(u64, Id),
}

/// What is left of one side, the next item last.
struct Side<'t, V> {
    trees: &'t dyn Trees,
    rest: Vec<Item<V>>,
}

impl<'t, V: Value> Side<'t, V> {
    fn new(trees: &'t dyn Trees, root: Option<&Id>) -> Result<Self, TreeError> {
        let rest = Vec::new();
        let mut side = Self { trees, rest };
        if let Some(root) = root {
            side.push(V::load(trees, root)?.as_ref());
        }
        Ok(side)
    }

    fn push(&mut self, node: &Node<V>) {
        match node {
            Node::Leaf(items) => self.rest.extend(
                items
                    .iter()
                    .rev()
                    .map(|(name, value)| Item::Value(name.clone(), value.clone())),
            ),
            Node::Index { level, children } => self.rest.extend(
                children
                    .iter()
                    .rev()
                    .map(|child| Item::Part(*level, child.id)),
            ),
        }
    }

    /// Returns the level and id of the next item if it is an unread part.
    fn part(&self) -> Option<(u64, Id)> {
        match self.rest.last() {
            Some(Item::Part(level, id)) => Some((*level, *id)),
            _ => None,
        }
    }

    fn open(&mut self, level: u64, id: &Id) -> Result<(), TreeError> {
        self.rest.pop();
        let node = load_child(self.trees, level, id)?;
        self.push(&node);
        Ok(())
    }

    fn name(&self) -> Option<&Name> {
        match self.rest.last() {
            Some(Item::Value(name, _)) => Some(name),
            _ => None,
        }
    }

    fn take(&mut self) -> Option<(Name, V)> {
        match self.rest.pop() {
            Some(Item::Value(name, value)) => Some((name, value)),
            _ => None,
        }
    }
}

/// Returns in order the names whose values differ; an absent map has no names.
pub(crate) fn difference<V: Value>(
    trees: &dyn Trees,
    old: Option<&Id>,
    new: Option<&Id>,
) -> Result<Vec<Difference<V>>, TreeError> {
    let mut out = Vec::new();
    if old == new {
        return Ok(out);
    }
    let (mut a, mut b) = (Side::new(trees, old)?, Side::new(trees, new)?);
    loop {
        match (a.part(), b.part()) {
            (Some((_, left)), Some((_, right))) if left == right => {
                a.rest.pop();
                b.rest.pop();
                continue;
            }
            (Some((level, id)), right) if right.is_none_or(|(other, _)| other <= level) => {
                a.open(level, &id)?;
                continue;
            }
            (_, Some((level, id))) => {
                b.open(level, &id)?;
                continue;
            }
            _ => {}
        }
        let order = match (a.name(), b.name()) {
            (Some(left), Some(right)) => left.cmp(right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return Ok(out),
        };
        let old = if order.is_le() { a.take() } else { None };
        let new = if order.is_ge() { b.take() } else { None };
        out.extend(changed(old, new));
    }
}

fn changed<V: Value>(old: Option<(Name, V)>, new: Option<(Name, V)>) -> Option<Difference<V>> {
    match (old, new) {
        (Some((name, old)), Some((_, new))) => {
            let (old, new) = (Some(old), Some(new));
            (old != new).then_some(Difference { name, old, new })
        }
        (Some((name, old)), None) => {
            let (old, new) = (Some(old), None);
            Some(Difference { name, old, new })
        }
        (None, Some((name, new))) => {
            let (old, new) = (None, Some(new));
            Some(Difference { name, old, new })
        }
        (None, None) => None,
    }
}
