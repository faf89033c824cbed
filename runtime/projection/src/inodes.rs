//! Inode numbers of a mounted lower: stable for the life of the view, one per path, and one for
//! all names of a hard-link group.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use crate::lower::{Listed, Node};

/// Number of the root, fixed by the FUSE protocol.
pub(crate) const ROOT: u64 = 1;

/// A numbered node.
#[derive(Debug)]
pub(crate) struct Inode {
    /// The node behind the number.
    pub(crate) node: Node,
    /// The listing that is being paged out, dropped when its end was sent.
    pub(crate) listing: Mutex<Option<Arc<Vec<Listed>>>>,
}

#[derive(Debug, Default)]
struct Numbers {
    slots: Vec<Arc<OnceLock<Arc<Inode>>>>,
    children: HashMap<(u64, Box<[u8]>), u64>,
    groups: HashMap<u64, u64>,
}

/// The table of all numbers given out.
#[derive(Debug)]
pub(crate) struct Inodes {
    numbers: RwLock<Numbers>,
}

impl Inodes {
    /// Starts a table whose root is `root`.
    pub(crate) fn new(root: Node) -> Self {
        let slot = OnceLock::new();
        let _ = slot.set(Arc::new(Inode {
            node: root,
            listing: Mutex::default(),
        }));
        let numbers = Numbers {
            slots: vec![Arc::new(slot)],
            ..Numbers::default()
        };
        Self {
            numbers: RwLock::new(numbers),
        }
    }

    /// Gives the inode of a number, if a look-up has resolved it.
    pub(crate) fn get(&self, number: u64) -> Option<Arc<Inode>> {
        let numbers = self
            .numbers
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let slot = usize::try_from(number.checked_sub(1)?).ok()?;
        numbers.slots.get(slot)?.get().cloned()
    }

    /// Gives the inode already known for a name.
    pub(crate) fn known(&self, parent: u64, name: &[u8]) -> Option<(u64, Arc<Inode>)> {
        let numbers = self
            .numbers
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        // The key is borrowed as a boxed slice only for the time of the search.
        let number = *numbers.children.get(&(parent, Box::from(name)))?;
        let inode = numbers.slots[number as usize - 1].get().cloned()?;
        Some((number, inode))
    }

    /// Numbers a resolved node.
    pub(crate) fn number(&self, parent: u64, name: &[u8], node: Node) -> (u64, Arc<Inode>) {
        let mut numbers = self
            .numbers
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let group = node.attr.link_group;
        let number = match group.and_then(|g| numbers.groups.get(&g).copied()) {
            Some(number) => {
                numbers.children.insert((parent, Box::from(name)), number);
                number
            }
            None => numbers.reserve(parent, name),
        };
        if let Some(group) = group {
            numbers.groups.insert(group, number);
        }
        let slot = numbers.slots[number as usize - 1].clone();
        drop(numbers);
        let inode = slot
            .get_or_init(|| {
                Arc::new(Inode {
                    node,
                    listing: Mutex::default(),
                })
            })
            .clone();
        (number, inode)
    }

    /// Gives the numbers that a page of a listing shows, without resolving the entries.
    pub(crate) fn reserve(&self, parent: u64, names: &[Listed]) -> Vec<u64> {
        let mut numbers = self
            .numbers
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        names
            .iter()
            .map(|listed| numbers.reserve(parent, &listed.name))
            .collect()
    }
}

impl Numbers {
    fn reserve(&mut self, parent: u64, name: &[u8]) -> u64 {
        let next = self.slots.len() as u64 + 1;
        let number = *self
            .children
            .entry((parent, Box::from(name)))
            .or_insert(next);
        if number == next {
            self.slots.push(Arc::default());
        }
        number
    }
}
