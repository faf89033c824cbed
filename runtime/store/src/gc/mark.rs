//! What stays: everything that references and the kept part of histories lead to.

use std::collections::{HashMap, HashSet};

use super::GcOptions;
use crate::control::Spot;
use crate::idhash::IdBuildHasher;
use crate::read::decode_history;
use crate::record::RecordKind;
use crate::shelf::Located;
use crate::walk::{Visitor, Walk};
use crate::{Error, Id, Links, Result, Store};

/// The copies of objects that stay.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    live: HashMap<u64, HashSet<Spot>>,
    pub(crate) roots: u64,
    pub(crate) history_dropped: u64,
    pub(crate) missing: Vec<Id>,
}

impl Marks {
    fn add(&mut self, copy: &Located) {
        let spots = self.live.entry(copy.segment.number).or_default();
        spots.insert((copy.entry.place, copy.entry.slot));
    }

    pub(crate) fn is_live(&self, segment: u64, spot: Spot) -> bool {
        self.live
            .get(&segment)
            .is_some_and(|spots| spots.contains(&spot))
    }

    pub(crate) fn objects(&self) -> u64 {
        self.live.values().map(|spots| spots.len() as u64).sum()
    }
}

/// Marks what references lead to: a damaged node stops the collection.
struct FromRef<'a> {
    marks: &'a mut Marks,
    name: &'a str,
}

impl Visitor for FromRef<'_> {
    fn found(&mut self, _id: &Id, copy: &Located) {
        self.marks.add(copy);
    }

    fn lost(&mut self, id: &Id, why: Option<Error>) -> Result<()> {
        let reason = match why {
            None => {
                self.marks.missing.push(*id);
                return Ok(());
            }
            Some(Error::Unfollowable { reason, .. }) => reason,
            Some(error) => error.to_string(),
        };
        Err(Error::Unfollowable {
            id: *id,
            root: self.name.to_owned(),
            reason,
        })
    }
}

/// Marks what a history entry leads to: a loss only costs the entry.
struct FromHistory<'a> {
    marks: &'a mut Marks,
}

impl Visitor for FromHistory<'_> {
    fn found(&mut self, _id: &Id, copy: &Located) {
        self.marks.add(copy);
    }

    fn lost(&mut self, _id: &Id, _why: Option<Error>) -> Result<()> {
        Ok(())
    }
}

/// Marks everything that stays. The caller keeps writers or collections out.
pub(crate) fn mark_all(store: &Store, links: &dyn Links, options: &GcOptions) -> Result<Marks> {
    let mut marks = Marks::default();
    let mut walk = Walk::new(store, links);
    for (name, record) in store.refs()? {
        marks.roots += 1;
        walk.visit(
            &record.links,
            &mut FromRef {
                marks: &mut marks,
                name: &name,
            },
        )?;
    }
    marks.missing.sort_unstable();
    marks.missing.dedup();
    for (_, mut entries) in histories(store)? {
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at_unix_ms));
        for (age_rank, entry) in entries.iter().enumerate() {
            let kept = age_rank < options.history_per_key
                && is_young(entry.at_unix_ms, options)
                && keep_entry(store, links, &mut walk, &mut marks, entry)?;
            if !kept {
                marks.history_dropped += 1;
            }
        }
    }
    Ok(marks)
}

fn is_young(at_unix_ms: u64, options: &GcOptions) -> bool {
    let age = u128::from(options.now_unix_ms.saturating_sub(at_unix_ms));
    options
        .history_max_age
        .is_none_or(|limit| age <= limit.as_millis())
}

/// A history entry, without its payload: there may be very many.
struct Entry {
    at_unix_ms: u64,
    copy: Located,
    key: Id,
}

type Histories = HashMap<Id, Vec<Entry>, IdBuildHasher>;

fn histories(store: &Store) -> Result<Histories> {
    let mut found = Histories::default();
    for segment in store.inner.shelf.segments().iter() {
        for entry in segment.entries() {
            if entry.kind != RecordKind::History.code() {
                continue;
            }
            let Some(outline) = segment.outline(entry.place)? else {
                continue;
            };
            let Some(line) = outline.table.first() else {
                continue;
            };
            let (key, len) = (line.id, line.len);
            let copy = Located {
                segment: segment.clone(),
                entry,
                len,
            };
            // A damaged entry is dropped by not being marked.
            if let Ok(object) = store.object_at(&copy, &key)
                && let Some(entry) = decode_history(object.bytes())
            {
                let at_unix_ms = entry.at_unix_ms;
                found.entry(key).or_default().push(Entry {
                    at_unix_ms,
                    copy,
                    key,
                });
            }
        }
    }
    Ok(found)
}

/// Marks an entry and all it leads to, if that is whole.
fn keep_entry(
    store: &Store,
    links: &dyn Links,
    walk: &mut Walk<'_>,
    marks: &mut Marks,
    entry: &Entry,
) -> Result<bool> {
    let object = store.object_at(&entry.copy, &entry.key)?;
    let Some(decoded) = decode_history(object.bytes()) else {
        return Ok(false);
    };
    let Ok(links) = links.history_links(&decoded.payload) else {
        return Ok(false);
    };
    let whole = walk.visit(&links, &mut FromHistory { marks })?;
    if whole {
        marks.add(&entry.copy);
    }
    Ok(whole)
}
