//! Inode numbers of a mounted lower: stable for the life of the view, one per path, and one for
//! all names of a hard-link group. Where a mount shows many views, a file that is the same in two of them has one
//! number in both, so that its pages in the kernel serve both.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockWriteGuard, Weak};

use hd_dag::{Entry, Kind, Meta, TreePath};

use super::answer::nothing;
use super::progress::Progress;
use super::view::View;
use crate::attr::Attr;
use crate::error::ProjectionError;
use crate::lower::{Listed, Lower, Node, Source};

/// Number of the root, fixed by the FUSE protocol.
pub(super) const ROOT: u64 = 1;

/// A numbered node.
#[derive(Debug)]
pub(super) struct Inode<L> {
    /// Its number.
    pub(super) number: u64,
    /// The node behind the number.
    pub(super) node: Node,
    /// How far its content has come to the kernel.
    pub(super) content: Progress,
    /// How many bytes of it are data, once that was asked.
    pub(super) data: OnceLock<u64>,
    /// The kernel may have bytes of another file for it.
    strayed: AtomicBool,
    found: RwLock<Found<L>>,
    dir: Option<Box<Dir<L>>>,
}

/// Where a node was found last.
#[derive(Debug)]
struct Found<L> {
    parent: u64,
    lower: Option<Arc<L>>,
}

/// What a directory knows of the names in it.
#[derive(Debug)]
struct Dir<L> {
    view: Arc<View<L>>,
    children: Mutex<Children<L>>,
    listing: Mutex<Option<Arc<Listing>>>,
}

type Children<L> = HashMap<Box<[u8]>, Child<L>>;

/// A name with a number, and its node once it was looked up. Names of one hard-link group share a number, and each
/// of them must be looked up for itself: to know the one is not to have observed the other.
#[derive(Debug)]
struct Child<L> {
    number: u64,
    inode: Option<Arc<Inode<L>>>,
    /// The file of another view whose number it has.
    elsewhere: Option<Weak<Inode<L>>>,
}

impl<L> Child<L> {
    /// Tells whether its number is that of another file than what was found now: a listing gave it out, and the
    /// host has changed since.
    fn is_of_another(&self, node: &Node) -> bool {
        let Some(elsewhere) = &self.elsewhere else {
            return false;
        };
        !elsewhere.upgrade().is_some_and(|inode| inode.serves(node))
    }
}

/// The names of a directory as they were when it was listed first.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) names: Vec<Listed>,
}

impl Listing {
    /// Finds a name.
    pub(super) fn position(&self, name: &[u8]) -> Option<usize> {
        self.names
            .binary_search_by(|listed| listed.name.as_slice().cmp(name))
            .ok()
    }
}

impl<L> Inode<L> {
    fn new(number: u64, node: Node, parent: u64, view: &Arc<View<L>>) -> Self {
        let dir = (node.attr.kind == Kind::Dir).then(|| {
            Box::new(Dir {
                view: view.clone(),
                children: Mutex::default(),
                listing: Mutex::default(),
            })
        });
        let lower = Some(view.lower.clone());
        Self {
            number,
            node,
            content: Progress::default(),
            data: OnceLock::new(),
            strayed: AtomicBool::new(false),
            found: RwLock::new(Found { parent, lower }),
            dir,
        }
    }

    /// The root of a mount that shows views below it, each a directory.
    fn above_views() -> Self {
        Self {
            number: ROOT,
            node: Node {
                path: TreePath::root(),
                attr: Attr {
                    mode: 0o755,
                    ..nothing(Kind::Dir)
                },
                source: Source::Tree {
                    entry: Entry::dir(Meta::default_dir()),
                    times: None,
                },
                observed: false,
            },
            content: Progress::default(),
            data: OnceLock::new(),
            strayed: AtomicBool::new(false),
            found: RwLock::new(Found {
                parent: ROOT,
                lower: None,
            }),
            dir: None,
        }
    }

    /// Notes that the kernel was given bytes of another file for it.
    pub(super) fn stray(&self) {
        self.strayed.store(true, Ordering::Relaxed);
    }

    /// Tells whether what the kernel has of it is what another node shows.
    fn serves(&self, node: &Node) -> bool {
        self.node.is_same(node) && !self.strayed.load(Ordering::Relaxed)
    }

    /// Gives the view a directory belongs to.
    pub(super) fn view(&self) -> Option<&Arc<View<L>>> {
        self.dir.as_ref().map(|dir| &dir.view)
    }

    /// Gives the directory in which it was found last; its own number for the root.
    pub(super) fn parent(&self) -> u64 {
        let found = self.found.read();
        found.unwrap_or_else(PoisonError::into_inner).parent
    }

    /// Gives what its content comes from.
    pub(super) fn lower(&self) -> Option<Arc<L>> {
        let found = self.found.read();
        found.unwrap_or_else(PoisonError::into_inner).lower.clone()
    }

    /// Notes that it was found once more, so that nothing keeps what it was found in before.
    fn found_again(&self, parent: u64, lower: &Arc<L>) {
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        let lower = Some(lower.clone());
        *found = Found { parent, lower };
    }

    fn children(&self) -> Option<MutexGuard<'_, Children<L>>> {
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

/// The table of all numbers given out. A directory holds what was looked up in it, so that all of a view goes with
/// its root.
#[derive(Debug)]
pub(super) struct Inodes<L> {
    root: Arc<Inode<L>>,
    last: AtomicU64,
    slots: RwLock<HashMap<u64, Weak<Inode<L>>>>,
    /// Files that another view may show too; nothing where there is but one.
    files: Option<Mutex<Files<L>>>,
}

type Files<L> = HashMap<TreePath, Vec<Weak<Inode<L>>>>;

impl<L: Lower> Inodes<L> {
    /// Starts the table of one view.
    pub(super) fn of(view: Arc<View<L>>) -> Result<Self, ProjectionError> {
        let root = Inode::new(ROOT, view.lower.root()?, ROOT, &view);
        Ok(Self::new(root, None))
    }

    /// Starts the table of many views, which come and go.
    pub(super) fn of_many() -> Self {
        Self::new(Inode::above_views(), Some(Mutex::default()))
    }

    fn new(root: Inode<L>, files: Option<Mutex<Files<L>>>) -> Self {
        Self {
            root: Arc::new(root),
            last: AtomicU64::new(ROOT),
            slots: RwLock::default(),
            files,
        }
    }

    /// Numbers the root of a view below the root of the mount.
    pub(super) fn add(&self, view: &Arc<View<L>>) -> Result<Arc<Inode<L>>, ProjectionError> {
        let (number, node) = (self.fresh(), view.lower.root()?);
        let root = Arc::new(Inode::new(number, node, ROOT, view));
        self.slots().insert(number, Arc::downgrade(&root));
        Ok(root)
    }

    /// Forgets the numbers of what nobody holds any more; gives how many are left.
    pub(super) fn prune(&self) -> usize {
        let mut slots = self.slots();
        slots.retain(|_, inode| inode.strong_count() > 0);
        if let Some(files) = &self.files {
            lock(files).retain(|_, shown| {
                shown.retain(|inode| inode.strong_count() > 0);
                !shown.is_empty()
            });
        }
        slots.len()
    }

    /// Gives how many are numbered.
    pub(super) fn len(&self) -> usize {
        self.slots().len()
    }

    fn slots(&self) -> RwLockWriteGuard<'_, HashMap<u64, Weak<Inode<L>>>> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the inode of a number, if a look-up has resolved it.
    pub(super) fn get(&self, number: u64) -> Option<Arc<Inode<L>>> {
        if number == ROOT {
            return Some(self.root.clone());
        }
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.get(&number)?.upgrade()
    }

    /// Gives the inode of a name that was looked up before.
    pub(super) fn known(&self, dir: &Inode<L>, name: &[u8]) -> Option<Arc<Inode<L>>> {
        dir.children()?.get(name)?.inode.clone()
    }

    /// Tells whether a view, given by its root, has looked a node up.
    pub(super) fn is_known_below(&self, root: &Arc<Inode<L>>, inode: &Inode<L>) -> bool {
        let mut at = root.clone();
        for name in inode.node.path.components() {
            let Some(child) = self.known(&at, name) else {
                return false;
            };
            at = child;
        }
        at.number == inode.number
    }

    /// Numbers a resolved node.
    pub(super) fn number(&self, dir: &Inode<L>, name: &[u8], node: Node) -> Option<Arc<Inode<L>>> {
        let view = dir.view()?;
        let mut children = dir.children()?;
        let child = self.child(&mut children, view, name, &node);
        if let Some(inode) = &child.inode {
            return Some(inode.clone());
        }
        if child.is_of_another(&node) {
            child.number = self.fresh();
        }
        let inode = self.resolve(child.number, node, dir.number, view);
        child.inode = Some(inode.clone());
        Some(inode)
    }

    /// Gives the number of a name without resolving it.
    pub(super) fn reserve(&self, dir: &Inode<L>, name: &[u8], node: &Node) -> u64 {
        match (dir.view(), dir.children()) {
            (Some(view), Some(mut children)) => self.child(&mut children, view, name, node).number,
            _ => ROOT,
        }
    }

    fn child<'a>(
        &self,
        children: &'a mut Children<L>,
        view: &View<L>,
        name: &[u8],
        node: &Node,
    ) -> &'a mut Child<L> {
        children.entry(Box::from(name)).or_insert_with(|| {
            let elsewhere = self.shown_elsewhere(node);
            let number = match (node.attr.link_group, &elsewhere) {
                (Some(group), _) => *lock(&view.groups)
                    .entry(group)
                    .or_insert_with(|| self.fresh()),
                (None, Some(inode)) => inode.number,
                (None, None) => self.fresh(),
            };
            Child {
                number,
                inode: None,
                elsewhere: elsewhere.as_ref().map(Arc::downgrade),
            }
        })
    }

    /// Finds the same file in another view: with its number the kernel has its pages.
    fn shown_elsewhere(&self, node: &Node) -> Option<Arc<Inode<L>>> {
        let files = lock(self.files.as_ref()?);
        let shown = files.get(&node.path)?.iter().filter_map(Weak::upgrade);
        shown.into_iter().find(|inode| inode.serves(node))
    }

    fn resolve(&self, number: u64, node: Node, parent: u64, view: &Arc<View<L>>) -> Arc<Inode<L>> {
        let mut slots = self.slots();
        if let Some(inode) = slots.get(&number).and_then(Weak::upgrade) {
            inode.found_again(parent, &view.lower);
            return inode;
        }
        let inode = Arc::new(Inode::new(number, node, parent, view));
        slots.insert(number, Arc::downgrade(&inode));
        drop(slots);
        if let Some(files) = &self.files
            && inode.node.keeps_its_content()
        {
            let path = inode.node.path.clone();
            let same = Arc::downgrade(&inode);
            lock(files).entry(path).or_default().push(same);
        }
        inode
    }

    /// Gives a number that nothing has.
    pub(super) fn fresh(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }
}
