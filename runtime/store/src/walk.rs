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

/// Walks from root after root and remembers what is known to be whole.
pub(crate) struct Walk<'a> {
    store: &'a Store,
    links: &'a dyn Links,
    whole: Items,
    tables: Tables,
    /// What became whole since [`Walk::remember`].
    newly: Option<Vec<Item>>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(store: &'a Store, links: &'a dyn Links) -> Walk<'a> {
        Walk {
            store,
            links,
            whole: Items::default(),
            tables: Tables::default(),
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
    pub(crate) fn visit(&mut self, roots: &[Link], visitor: &mut dyn Visitor) -> Result<bool> {
        let mut seen = Items::default();
        let mut waiting: Vec<Item> = roots.iter().copied().map(Item::from).collect();
        let mut lost = false;
        while let Some(item) = waiting.pop() {
            if self.is_whole(item) || item.id() == empty_blob() || !seen.insert(item) {
                continue;
            }
            match self.find(item)? {
                Ok((copy, object)) => {
                    visitor.found(&item.id(), &copy);
                    match self.below(item, object.as_ref()) {
                        Ok(items) => waiting.extend(items),
                        Err(why) => {
                            lost = true;
                            visitor.lost(&item.id(), Some(why))?;
                        }
                    }
                }
                Err(why) => {
                    lost = true;
                    visitor.lost(&item.id(), why)?;
                }
            }
        }
        if !lost {
            // With a loss somewhere below, nothing seen can be called whole.
            if let Some(newly) = &mut self.newly {
                newly.extend(seen.iter().filter(|item| !self.whole.contains(item)));
            }
            self.whole.extend(seen);
        }
        Ok(!lost)
    }

    fn is_whole(&self, item: Item) -> bool {
        let full = match item {
            Item::Skeleton(kind, id) => Some(Item::Node(kind, id)),
            _ => None,
        };
        self.whole.contains(&item) || full.is_some_and(|full| self.whole.contains(&full))
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
        let (id, shelf) = (item.id(), &self.store.inner.shelf);
        let mut copies = shelf.locate_by(&mut self.tables, &id, item.want())?;
        if copies.is_empty() {
            // Another process may have committed it a moment ago.
            self.store.refresh()?;
            copies = shelf.locate_by(&mut self.tables, &id, item.want())?;
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
