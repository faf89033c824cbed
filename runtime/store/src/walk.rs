//! Follows links from roots through nodes, lists and chunks.

use std::collections::HashSet;

use crate::idhash::IdBuildHasher;
use crate::list::{Level, ListView};
use crate::object::Object;
use crate::record::RecordKind;
use crate::shelf::{Located, Want};
use crate::store::empty_blob;
use crate::tables::Tables;
use crate::{Error, Id, Link, Links, NodeKind, Result, Store};

/// Something that a link leads to, down to single chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Item {
    Blob(Id),
    Chunk(Id),
    ListPart(Id),
    Node(NodeKind, Id),
    Skeleton(NodeKind, Id),
}

impl Item {
    fn id(self) -> Id {
        match self {
            Item::Blob(id) | Item::Chunk(id) | Item::ListPart(id) => id,
            Item::Node(_, id) | Item::Skeleton(_, id) => id,
        }
    }

    fn want(self) -> Want {
        match self {
            Item::Blob(_) => Want::Blob,
            Item::Chunk(_) => Want::Chunk,
            Item::ListPart(_) => Want::ListPart,
            Item::Node(kind, _) | Item::Skeleton(kind, _) => Want::Node(kind),
        }
    }
}

impl From<Link> for Item {
    fn from(link: Link) -> Item {
        match link {
            Link::Blob(id) => Item::Blob(id),
            Link::Node(kind, id) => Item::Node(kind, id),
            Link::Skeleton(kind, id) => Item::Skeleton(kind, id),
        }
    }
}

/// Is told what a walk meets.
pub(crate) trait Visitor {
    /// An object is stored; `copy` is the sound one to keep.
    fn found(&mut self, id: &Id, copy: &Located);

    /// An object is not stored (`None`), or what is stored of it cannot be used.
    ///
    /// # Errors
    /// Ends the walk.
    fn lost(&mut self, id: &Id, why: Option<Error>) -> Result<()>;
}

type Items = HashSet<Item, IdBuildHasher>;

/// Items looked at before what they lead to is met: enough that threads seldom wait for each other, few
/// enough that what waits stays small.
const WAVE: usize = 4096;
/// A wave of fewer items than this is done before another thread has started.
const WORTH_A_THREAD: usize = 256;

/// Walks from root after root and remembers what is known to be whole.
pub(crate) struct Walk<'a> {
    /// One for each thread.
    lookers: Vec<Looker<'a>>,
    whole: Items,
    /// What became whole since [`Walk::remember`].
    newly: Option<Vec<Item>>,
}

impl<'a> Walk<'a> {
    /// A walk to all that is there.
    pub(crate) fn new(store: &'a Store, links: &'a dyn Links) -> Walk<'a> {
        Walk::with(store, links, true)
    }

    /// A walk to what may be relied on: what a collection is about to remove counts as lost.
    pub(crate) fn of_usable(store: &'a Store, links: &'a dyn Links) -> Walk<'a> {
        Walk::with(store, links, false)
    }

    fn with(store: &'a Store, links: &'a dyn Links, with_condemned: bool) -> Walk<'a> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let looker = || Looker {
            store,
            links,
            tables: Tables::default(),
            with_condemned,
        };
        Walk {
            lookers: std::iter::repeat_with(looker).take(threads).collect(),
            whole: Items::default(),
            newly: None,
        }
    }

    /// Remembers what becomes whole from now on, so that it can be taken back.
    pub(crate) fn remember(&mut self) {
        self.newly = Some(Vec::new());
    }

    /// Forgets what became whole since [`Walk::remember`].
    pub(crate) fn take_back(&mut self) {
        for item in self.newly.take().into_iter().flatten() {
            self.whole.remove(&item);
        }
    }

    /// Forgets what is whole, so that the next walk meets everything again.
    pub(crate) fn restart(&mut self) {
        self.whole.clear();
    }

    /// Visits everything below `roots`; answers whether nothing was lost.
    ///
    /// The visitor is told by this thread alone, in an order that the threads have no part in.
    pub(crate) fn visit(&mut self, roots: &[Link], visitor: &mut dyn Visitor) -> Result<bool> {
        let mut seen = Items::default();
        let mut waiting: Vec<Item> = roots.iter().copied().map(Item::from).collect();
        let mut lost = false;
        loop {
            let wave = self.next_wave(&mut waiting, &mut seen);
            if wave.is_empty() {
                break;
            }
            for (item, met) in wave.iter().zip(self.look_at(&wave)?) {
                let why = match met {
                    Met::Whole(copy, below) => {
                        visitor.found(&item.id(), &copy);
                        waiting.extend(below);
                        continue;
                    }
                    Met::Unfollowable(copy, why) => {
                        visitor.found(&item.id(), &copy);
                        Some(why)
                    }
                    Met::Lost(why) => why,
                };
                lost = true;
                visitor.lost(&item.id(), why)?;
            }
        }
        if !lost {
            // With a loss somewhere below, nothing seen can be called whole.
            self.note_whole(seen);
        }
        Ok(!lost)
    }

    /// The next items that were not met before.
    fn next_wave(&self, waiting: &mut Vec<Item>, seen: &mut Items) -> Vec<Item> {
        let mut wave = Vec::new();
        while wave.len() < WAVE
            && let Some(item) = waiting.pop()
        {
            if !self.is_whole(item) && item.id() != empty_blob() && seen.insert(item) {
                wave.push(item);
            }
        }
        wave
    }

    /// What the items of a wave are, in their order.
    fn look_at(&mut self, wave: &[Item]) -> Result<Vec<Met>> {
        let threads = match wave.len() {
            ..WORTH_A_THREAD => 1,
            _ => self.lookers.len(),
        };
        let mut shares = wave.chunks(wave.len().div_ceil(threads).max(1));
        let Some((mine, others)) = self.lookers.split_first_mut() else {
            return Err(Error::WorkerLost);
        };
        let own = shares.next().unwrap_or_default();
        std::thread::scope(|scope| {
            let workers: Vec<_> = others
                .iter_mut()
                .zip(shares)
                .map(|(looker, share)| scope.spawn(|| looker.look_at(share)))
                .collect();
            let mut all = mine.look_at(own)?;
            for worker in workers {
                all.extend(worker.join().map_err(|_| Error::WorkerLost)??);
            }
            Ok(all)
        })
    }

    fn note_whole(&mut self, mut seen: Items) {
        if let Some(newly) = &mut self.newly {
            newly.extend(seen.iter().filter(|item| !self.whole.contains(item)));
        }
        // The fewer join the more.
        if seen.len() > self.whole.len() {
            std::mem::swap(&mut seen, &mut self.whole);
        }
        self.whole.extend(seen);
    }

    fn is_whole(&self, item: Item) -> bool {
        let full = match item {
            Item::Skeleton(kind, id) => Some(Item::Node(kind, id)),
            _ => None,
        };
        self.whole.contains(&item) || full.is_some_and(|full| self.whole.contains(&full))
    }
}

/// What an item turned out to be.
enum Met {
    /// Stored, and what it points to.
    Whole(Located, Vec<Item>),
    /// Stored, but what it points to cannot be told.
    Unfollowable(Located, Error),
    /// Not stored (`None`), or no copy of it can be used.
    Lost(Option<Error>),
}

/// Looks items up; each thread has its own.
struct Looker<'a> {
    store: &'a Store,
    links: &'a dyn Links,
    tables: Tables,
    /// Whether what a collection is about to remove counts as stored.
    with_condemned: bool,
}

impl Looker<'_> {
    fn look_at(&mut self, items: &[Item]) -> Result<Vec<Met>> {
        items.iter().map(|item| self.meet(*item)).collect()
    }

    fn meet(&mut self, item: Item) -> Result<Met> {
        Ok(match self.find(item)? {
            Ok((copy, object)) => match self.below(item, object.as_ref()) {
                Ok(below) => Met::Whole(copy, below),
                Err(why) => Met::Unfollowable(copy, why),
            },
            Err(why) => Met::Lost(why),
        })
    }

    fn copies(&mut self, id: &Id, want: Want) -> Result<Vec<Located>> {
        let shelf = &self.store.inner.shelf;
        match self.with_condemned {
            true => shelf.locate_by(&mut self.tables, id, want),
            false => shelf.locate_usable_by(&mut self.tables, id, want),
        }
    }

    /// Finds the copy of an object to keep. Chunks are not read unless there is a choice.
    #[expect(
        clippy::type_complexity,
        reason = "a found object, or the reason why there is none"
    )]
    fn find(
        &mut self,
        item: Item,
    ) -> Result<std::result::Result<(Located, Option<Object>), Option<Error>>> {
        let id = item.id();
        let mut copies = self.copies(&id, item.want())?;
        if copies.is_empty() {
            // Another process may have committed it a moment ago.
            self.store.refresh()?;
            copies = self.copies(&id, item.want())?;
        }
        let mut why = None;
        for copy in &copies {
            if copy.entry.kind == RecordKind::Chunks.code() {
                if copies.len() == 1 || copy.segment.trusts(copy.entry.place)? {
                    return Ok(Ok((copy.clone(), None)));
                }
                continue;
            }
            match self.store.object_at(copy, &id) {
                Ok(object) => return Ok(Ok((copy.clone(), Some(object)))),
                Err(error @ Error::Damaged { .. }) => why = Some(error),
                Err(error) => return Err(error),
            }
        }
        if why.is_none() {
            why = self.store.known_damage(&id, item.want())?;
        }
        Ok(Err(why))
    }

    /// Lists what an object points to.
    fn below(&self, item: Item, object: Option<&Object>) -> Result<Vec<Item>> {
        let Some(object) = object else {
            return Ok(Vec::new());
        };
        let (kind, id, skeleton) = match item {
            Item::Node(kind, id) => (kind, id, false),
            Item::Skeleton(kind, id) => (kind, id, true),
            Item::Blob(_) | Item::Chunk(_) | Item::ListPart(_) => {
                let list = ListView::new(object.bytes());
                let item: fn(Id) -> Item = match list.level() {
                    Level::Chunks => Item::Chunk,
                    Level::Parts => Item::ListPart,
                };
                return Ok(list.ids().map(item).collect());
            }
        };
        let links =
            self.links
                .links(kind, object.bytes())
                .map_err(|reason| Error::Unfollowable {
                    id,
                    root: String::new(),
                    reason,
                })?;
        let items = links.into_iter().filter_map(|link| match link {
            Link::Blob(_) if skeleton => None,
            Link::Node(kind, id) if skeleton => Some(Item::Skeleton(kind, id)),
            other => Some(Item::from(other)),
        });
        Ok(items.collect())
    }
}
