//! Inode numbers of a mounted lower: stable for the life of the view, one per path, and one for
//! all names of a hard-link group.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use hd_dag::Kind;

use crate::lower::{Listed, Node};

/// Number of the root, fixed by the FUSE protocol.
pub(super) const ROOT: u64 = 1;

/// A numbered node.
#[derive(Debug)]
pub(super) struct Inode {
    /// The node behind the number.
    pub(super) node: Node,
    /// The directory in which it was found first; its own number for the root.
    pub(super) parent: u64,
    /// How far its content has come to the kernel.
    pub(super) content: Progress,
    dir: Option<Box<Dir>>,
}

const UNTOUCHED: u8 = 0;
const QUEUED: u8 = 1;
const GIVEN: u8 = 2;

/// How far the content of a file has come to the kernel: from untouched over queued (to be pushed) to given (being
/// pushed, or asked for), never back from there.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    /// Tells whether nobody has thought of it yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.0.load(Ordering::Acquire) == UNTOUCHED
    }

    /// Queues an untouched file; false for any other.
    pub(super) fn queue(&self) -> bool {
        self.moved(UNTOUCHED, QUEUED)
    }

    /// Leaves a queued file to be asked for.
    pub(super) fn leave(&self) {
        self.moved(QUEUED, UNTOUCHED);
    }

    /// Takes a queued file to push it now; false when the kernel has asked for it meanwhile.
    pub(super) fn take(&self) -> bool {
        self.moved(QUEUED, GIVEN)
    }

    /// Notes that the kernel asks for it, so that nobody pushes it from now on; says whether it was untouched.
    pub(super) fn asked(&self) -> bool {
        self.0.swap(GIVEN, Ordering::AcqRel) == UNTOUCHED
    }

    fn moved(&self, from: u8, to: u8) -> bool {
        let moved = self
            .0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        moved.is_ok()
    }
}

/// What a directory knows of the names in it.
#[derive(Debug, Default)]
struct Dir {
    children: Mutex<HashMap<Box<[u8]>, Child>>,
    listing: Mutex<Option<Arc<Listing>>>,
}

/// A name with a number. Names of one hard-link group share a number, and each of them must be
/// looked up for itself: to know the one is not to have observed the other.
#[derive(Clone, Copy, Debug)]
struct Child {
    number: u64,
    looked_up: bool,
}

/// The names of a directory as they were when it was listed first, with their numbers.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) names: Vec<Listed>,
    pub(super) numbers: Vec<u64>,
}

impl Listing {
    /// Finds a name.
    pub(super) fn position(&self, name: &[u8]) -> Option<usize> {
        self.names
            .binary_search_by(|listed| listed.name.as_slice().cmp(name))
            .ok()
    }
}

impl Inode {
    fn new(node: Node, parent: u64) -> Self {
        let dir = (node.attr.kind == Kind::Dir).then(Box::default);
        Self {
            node,
            parent,
            content: Progress::default(),
            dir,
        }
    }

    fn children(&self) -> Option<MutexGuard<'_, HashMap<Box<[u8]>, Child>>> {
        let dir = self.dir.as_ref()?;
        Some(lock(&dir.children))
    }

    /// Gives the listing, if the directory was listed.
    pub(super) fn listing(&self) -> Option<Arc<Listing>> {
        self.dir.as_ref().and_then(|dir| lock(&dir.listing).clone())
    }

    /// Gives the listing, made by `list` when it is asked for first.
    pub(super) fn listing_or<E>(
        &self,
        list: impl FnOnce() -> Result<Listing, E>,
        not_a_directory: impl FnOnce() -> E,
    ) -> Result<Arc<Listing>, E> {
        let dir = self.dir.as_ref().ok_or_else(not_a_directory)?;
        let mut slot = lock(&dir.listing);
        match &*slot {
            Some(listing) => Ok(listing.clone()),
            None => Ok(slot.insert(Arc::new(list()?)).clone()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The table of all numbers given out; one is reserved by a listing and resolved by a look-up.
#[derive(Debug)]
pub(super) struct Inodes {
    slots: RwLock<Vec<Option<Arc<Inode>>>>,
    groups: Mutex<HashMap<u64, u64>>,
}

impl Inodes {
    /// Starts a table whose root is `root`.
    pub(super) fn new(root: Node) -> Self {
        Self {
            slots: RwLock::new(vec![Some(Arc::new(Inode::new(root, ROOT)))]),
            groups: Mutex::default(),
        }
    }

    /// Gives the inode of a number, if a look-up has resolved it.
    pub(super) fn get(&self, number: u64) -> Option<Arc<Inode>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let slot = usize::try_from(number.checked_sub(1)?).ok()?;
        slots.get(slot)?.clone()
    }

    /// Gives the inode of a name that was looked up before.
    pub(super) fn known(&self, dir: &Inode, name: &[u8]) -> Option<(u64, Arc<Inode>)> {
        let child = *dir.children()?.get(name)?;
        if !child.looked_up {
            return None;
        }
        Some((child.number, self.get(child.number)?))
    }

    /// Numbers a resolved node.
    pub(super) fn number(
        &self,
        parent: u64,
        dir: &Inode,
        name: &[u8],
        node: Node,
    ) -> (u64, Arc<Inode>) {
        let number = self.reserve(dir, name, node.attr.link_group);
        if let Some(mut children) = dir.children()
            && let Some(child) = children.get_mut(name)
        {
            child.looked_up = true;
        }
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut slots[number as usize - 1];
        let inode = slot.get_or_insert_with(|| Arc::new(Inode::new(node, parent)));
        (number, inode.clone())
    }

    /// Gives the number of a name without resolving it.
    pub(super) fn reserve(&self, dir: &Inode, name: &[u8], group: Option<u64>) -> u64 {
        let Some(mut children) = dir.children() else {
            return ROOT;
        };
        if let Some(child) = children.get(name) {
            return child.number;
        }
        let number = match group {
            Some(group) => *lock(&self.groups)
                .entry(group)
                .or_insert_with(|| self.fresh()),
            None => self.fresh(),
        };
        let looked_up = false;
        children.insert(Box::from(name), Child { number, looked_up });
        number
    }

    fn fresh(&self) -> u64 {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots.push(None);
        slots.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_asks_for_is_pushed_no_more() {
        let file = Progress::default();
        assert!(file.queue() && !file.queue(), "queued once");
        file.leave();
        assert!(file.is_untouched() && file.queue());
        assert!(!file.asked(), "it was queued");
        assert!(!file.take() && !file.queue(), "the kernel has asked");
        let file = Progress::default();
        assert!(file.asked() && !file.asked(), "untouched once");
        let file = Progress::default();
        assert!(file.queue() && file.take() && !file.take());
        file.leave();
        assert!(!file.is_untouched(), "it was given");
    }
}
