//! What stays: everything that references, leases and the kept part of histories lead to.

use std::collections::{HashMap, HashSet};

use super::budget::{self, Item};
use super::sizes::Sizes;
use super::{GcOptions, GcReport};
use crate::cache::FrameKey;
use crate::control::Spot;
use crate::idhash::{IdBuildHasher, SpotBuildHasher};
use crate::locks::condemned::Condemned;
use crate::read::decode_history;
use crate::segment::Segment;
use crate::shelf::Located;
use crate::walk::{Visitor, Walk};
use crate::{Error, Id, Link, Links, RefRecord, Result, Store};

/// Lines of one record's table.
#[derive(Debug, Default, Clone)]
pub(crate) struct Slots(Vec<u64>);

impl Slots {
    pub(crate) fn contains(&self, slot: u16) -> bool {
        let word = self.0.get(usize::from(slot / 64));
        word.is_some_and(|word| word & bit(slot) != 0)
    }

    /// Answers whether that is news.
    fn insert(&mut self, slot: u16) -> bool {
        let number = usize::from(slot / 64);
        if number >= self.0.len() {
            self.0.resize(number + 1, 0);
        }
        let is_new = self.0[number] & bit(slot) == 0;
        self.0[number] |= bit(slot);
        is_new
    }

    /// Answers whether it was there.
    fn remove(&mut self, slot: u16) -> bool {
        let was = self.contains(slot);
        if was {
            self.0[usize::from(slot / 64)] &= !bit(slot);
        }
        was
    }
}

fn bit(slot: u16) -> u64 {
    1 << (slot % 64)
}

/// The copies of objects that stay.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// By the number of the segment and the place in it.
    live: HashMap<FrameKey, Slots, SpotBuildHasher>,
    /// How many are live.
    objects: u64,
    pub(crate) roots: u64,
    pub(crate) history_dropped: u64,
    /// References that have no room in the budget.
    pub(crate) refs_dropped: Vec<(String, RefRecord)>,
    pub(crate) missing: Vec<Id>,
    /// How much they take; only added up while a budget asks.
    sizes: Sizes,
    /// What was marked since it is asked for.
    added: Option<Vec<Located>>,
    counts_bytes: bool,
}

impl Marks {
    fn add(&mut self, copy: &Located) {
        if self.insert(copy.segment.number, copy.spot()) && self.counts_bytes {
            self.sizes.add(copy);
            if let Some(added) = &mut self.added {
                added.push(copy.clone());
            }
        }
    }

    fn insert(&mut self, segment: u64, (place, slot): Spot) -> bool {
        let is_new = self.live.entry((segment, place)).or_default().insert(slot);
        self.objects += u64::from(is_new);
        is_new
    }

    fn take_back(&mut self, copies: Vec<Located>) {
        for copy in copies {
            let (place, slot) = copy.spot();
            let slots = self.live.get_mut(&(copy.segment.number, place));
            let was = slots.is_some_and(|slots| slots.remove(slot));
            self.objects -= u64::from(was);
            self.sizes.bytes -= self.sizes.of(&copy).unwrap_or_default();
        }
    }

    /// Marks all that can be seen in a segment.
    pub(crate) fn everything_in(segment: &Segment) -> Marks {
        let mut marks = Marks::default();
        for entry in segment.entries() {
            marks.insert(segment.number, (entry.place, entry.slot));
        }
        marks
    }

    pub(crate) fn is_live(&self, segment: u64, (place, slot): Spot) -> bool {
        self.in_record(segment, place)
            .is_some_and(|slots| slots.contains(slot))
    }

    /// What is live in one record; `None` when nothing is.
    pub(crate) fn in_record(&self, segment: u64, place: u32) -> Option<&Slots> {
        self.live.get(&(segment, place))
    }

    pub(crate) fn objects(&self) -> u64 {
        self.objects
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

/// Marks once or twice, and knows what it marked.
pub(crate) struct Marker<'a> {
    store: &'a Store,
    options: &'a GcOptions,
    links: &'a dyn Links,
    walk: Walk<'a>,
    pub(crate) marks: Marks,
    /// History entries that were there at first, by segment: whoever came later was judged by nobody.
    judged: HashSet<(u64, Spot)>,
}

impl<'a> Marker<'a> {
    pub(crate) fn new(
        store: &'a Store,
        links: &'a dyn Links,
        options: &'a GcOptions,
    ) -> Marker<'a> {
        Marker {
            store,
            options,
            links,
            walk: Walk::new(store, links),
            marks: Marks {
                counts_bytes: options.budget.is_some(),
                ..Marks::default()
            },
            judged: HashSet::new(),
        }
    }

    /// Marks what stays, within the limits of the options.
    pub(crate) fn mark_at_first(&mut self) -> Result<()> {
        for (name, record) in self.store.leases()? {
            self.mark_root(&name, &record.links)?;
        }
        let refs = self.store.refs()?.into_iter();
        let mut items: Vec<Item> = refs.map(|(name, record)| Item::Ref(name, record)).collect();
        items.extend(self.young_histories()?.into_iter().map(Item::Entry));
        let sorted = budget::sorted(self.options, items);
        for item in &sorted.stay {
            self.mark_item(item)?;
        }
        sorted.go.into_iter().for_each(|item| self.drop_item(item));
        match &self.options.budget {
            Some(budget) => self.mark_within(budget.room(), sorted.may),
            None => Ok(()),
        }
    }

    /// Marks item after item as long as they fit; those after the last one that fits are dropped.
    fn mark_within(&mut self, max_bytes: u64, items: Vec<Item>) -> Result<()> {
        let mut is_full = false;
        for item in items {
            let missing = self.marks.missing.len();
            if !is_full {
                self.walk.remember();
                self.marks.added = Some(Vec::new());
                self.mark_item(&item)?;
                is_full = self.marks.sizes.bytes > max_bytes;
                let added = self.marks.added.take();
                if !is_full {
                    continue;
                }
                self.walk.take_back();
                self.marks.take_back(added.unwrap_or_default());
            }
            // What it missed is nobody's loss any more.
            self.marks.missing.truncate(missing);
            self.drop_item(item);
        }
        Ok(())
    }

    fn drop_item(&mut self, item: Item) {
        match item {
            Item::Ref(name, record) => self.marks.refs_dropped.push((name, record)),
            Item::Entry(_) => self.marks.history_dropped += 1,
        }
    }

    fn mark_item(&mut self, item: &Item) -> Result<()> {
        match item {
            Item::Ref(name, record) => self.mark_root(name, &record.links),
            Item::Entry(entry) => self.mark_entry(entry),
        }
    }

    /// Marks what became a root meanwhile, and every history entry that is not condemned by judgement.
    ///
    /// An entry that was added while the first marking ran is in the list of what goes all the same when
    /// its segment is, or for nobody had marked it: it stays, and with it what it leads to.
    pub(crate) fn mark_again(&mut self, condemned: &Condemned) -> Result<()> {
        self.marks.roots = 0;
        self.marks.missing.clear();
        let roots = self.store.leases()?.into_iter().chain(self.store.refs()?);
        for (name, record) in roots {
            self.mark_root(&name, &record.links)?;
        }
        for entry in self.histories()? {
            let (segment, spot) = (&entry.copy.segment, entry.copy.spot());
            let goes = !condemned.allows(&segment.id, spot)
                && self.judged.contains(&(segment.number, spot));
            if !goes && !self.marks.is_live(segment.number, spot) {
                self.mark_entry(&entry)?;
            }
        }
        Ok(())
    }

    fn mark_root(&mut self, name: &str, links: &[Link]) -> Result<()> {
        self.marks.roots += 1;
        let marks = &mut self.marks;
        self.walk.visit(links, &mut FromRef { marks, name })?;
        self.marks.missing.sort_unstable();
        self.marks.missing.dedup();
        Ok(())
    }

    /// Marks an entry and all it leads to, if that is whole.
    fn mark_entry(&mut self, entry: &Entry) -> Result<()> {
        let marks = &mut self.marks;
        let object = self.store.object_at(&entry.copy, &entry.key)?;
        let links = decode_history(object.bytes())
            .and_then(|entry| self.links.history_links(&entry.payload).ok());
        let whole = match links {
            Some(links) => self.walk.visit(&links, &mut FromHistory { marks })?,
            None => false,
        };
        match whole {
            true => self.marks.add(&entry.copy),
            false => self.marks.history_dropped += 1,
        }
        Ok(())
    }

    /// The entries of all histories that are neither too many nor too old.
    fn young_histories(&mut self) -> Result<Vec<Entry>> {
        let mut by_key: HashMap<Id, Vec<Entry>, IdBuildHasher> = HashMap::default();
        for entry in self.histories()? {
            let place = (entry.copy.segment.number, entry.copy.spot());
            self.judged.insert(place);
            by_key.entry(entry.key).or_default().push(entry);
        }
        let mut young = Vec::new();
        for (_, mut entries) in by_key {
            let count = entries.len();
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.at_unix_ms));
            entries.truncate(self.options.history_per_key);
            entries.retain(|entry| is_young(entry.at_unix_ms, self.options));
            self.marks.history_dropped += (count - entries.len()) as u64;
            young.append(&mut entries);
        }
        Ok(young)
    }

    /// A damaged entry is dropped by not being among these.
    fn histories(&self) -> Result<Vec<Entry>> {
        let uses = self.store.uses();
        let mut found = Vec::new();
        self.store.each_history(|copy, key, entry| {
            let used = uses.get(&(key.prefix(), entry.at_unix_ms));
            found.push(Entry {
                at_unix_ms: entry.at_unix_ms.max(used.copied().unwrap_or(0)),
                made_unix_ms: entry.at_unix_ms,
                copy,
                key,
            });
        })?;
        Ok(found)
    }

    /// What can be said before anything is removed.
    pub(crate) fn report(&self, live_bytes: u64) -> GcReport {
        let dropped = self.marks.refs_dropped.iter();
        GcReport {
            roots: self.marks.roots,
            live_objects: self.marks.objects(),
            live_bytes,
            history_dropped: self.marks.history_dropped,
            refs_dropped: dropped.map(|(name, _)| name.clone()).collect(),
            missing: self.marks.missing.clone(),
            ..GcReport::default()
        }
    }
}

fn is_young(at_unix_ms: u64, options: &GcOptions) -> bool {
    let age = u128::from(options.now_unix_ms.saturating_sub(at_unix_ms));
    options
        .history_max_age
        .is_none_or(|limit| age <= limit.as_millis())
}

/// A history entry, without its payload: there may be very many.
pub(crate) struct Entry {
    /// When it was made or used last.
    pub(crate) at_unix_ms: u64,
    pub(crate) made_unix_ms: u64,
    pub(crate) copy: Located,
    pub(crate) key: Id,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_record_is_marked_for_itself() {
        let mut slots = Slots::default();
        for slot in [0, 63, 64, 4095] {
            assert!(!slots.contains(slot) && !slots.remove(slot), "{slot}");
            assert!(slots.insert(slot) && !slots.insert(slot), "{slot}");
        }
        let live: Vec<u16> = (0..=u16::MAX)
            .filter(|slot| slots.contains(*slot))
            .collect();
        assert_eq!(live, [0, 63, 64, 4095]);
        assert!(slots.remove(64) && !slots.contains(64));
        assert!(slots.contains(0) && slots.contains(4095));
    }
}
