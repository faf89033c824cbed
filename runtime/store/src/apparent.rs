//! How large things would be without a store: every blob counted as often as it occurs.

use std::collections::HashMap;

use crate::idhash::IdBuildHasher;
use crate::{Error, Id, Link, Links, NodeKind, Result, Store};

/// Adds up blobs below roots; what was added up once is remembered.
pub(crate) struct Apparent<'a> {
    store: &'a Store,
    links: &'a dyn Links,
    known: HashMap<Id, u64, IdBuildHasher>,
}

/// A node whose links are being added up.
struct Open {
    id: Id,
    links: std::vec::IntoIter<Link>,
    bytes: u64,
}

impl<'a> Apparent<'a> {
    pub(crate) fn new(store: &'a Store, links: &'a dyn Links) -> Apparent<'a> {
        Apparent {
            store,
            links,
            known: HashMap::default(),
        }
    }

    /// Bytes of the blobs that whole nodes lead to; skeletons have none, what is lost counts none.
    pub(crate) fn of(&mut self, roots: &[Link]) -> Result<u64> {
        let mut total = 0;
        for root in roots {
            total += self.of_link(*root)?;
        }
        Ok(total)
    }

    /// Depth is the project's choice, so this keeps its own stack.
    fn of_link(&mut self, root: Link) -> Result<u64> {
        let mut open = Vec::new();
        let mut done = self.enter(root, &mut open)?;
        while let Some(node) = open.last_mut() {
            if let Some(bytes) = done.take() {
                node.bytes = node.bytes.saturating_add(bytes);
            }
            match node.links.next() {
                Some(link) => done = self.enter(link, &mut open)?,
                None => {
                    done = Some(node.bytes);
                    self.known.insert(node.id, node.bytes);
                    open.pop();
                }
            }
        }
        Ok(done.unwrap_or(0))
    }

    /// Answers what a link leads to if that is known, else opens its node.
    fn enter(&mut self, link: Link, open: &mut Vec<Open>) -> Result<Option<u64>> {
        let id = link.id();
        if let Some(bytes) = self.known.get(&id) {
            return Ok(Some(*bytes));
        }
        match link {
            Link::Skeleton(..) => Ok(Some(0)),
            Link::Blob(_) => {
                let bytes = or_none(self.store.blob_len(&id))?.flatten().unwrap_or(0);
                self.known.insert(id, bytes);
                Ok(Some(bytes))
            }
            Link::Node(kind, _) => {
                let links = self.below(kind, &id)?;
                open.push(Open {
                    id,
                    links: links.into_iter(),
                    bytes: 0,
                });
                Ok(None)
            }
        }
    }

    fn below(&self, kind: NodeKind, id: &Id) -> Result<Vec<Link>> {
        let bytes = or_none(self.store.read_node(kind, id))?;
        // What cannot be understood is for a check to tell.
        Ok(bytes.map_or(Vec::new(), |bytes| {
            self.links.links(kind, &bytes).unwrap_or_default()
        }))
    }
}

fn or_none<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. } | Error::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
