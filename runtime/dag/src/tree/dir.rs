//! One directory with its times: read in order, looked up in, changed.

use std::iter::Peekable;

use crate::entry::{Entry, Meta, Target};
use crate::map::{MapIter, Seeker, update};
use crate::name::Name;
use crate::times::{Rooted, Stamp};
use crate::trees::{TreeError, Trees};

/// An entry with its time.
pub(super) type Stamped = (Entry, Stamp);

/// Iterates over the entries of a directory with their times.
pub(super) struct DirIter<'t> {
    entries: MapIter<'t, Entry>,
    stamps: Peekable<MapIter<'t, Stamp>>,
}

impl<'t> DirIter<'t> {
    pub(super) fn new(trees: &'t dyn Trees, dir: &Rooted) -> Result<Self, TreeError> {
        Ok(Self {
            entries: MapIter::new(trees, &dir.tree)?,
            stamps: MapIter::new(trees, &dir.times)?.peekable(),
        })
    }

    /// Returns the time of `name`; names must be asked in order.
    fn stamp(&mut self, name: &Name) -> Result<Stamp, TreeError> {
        loop {
            let before = |item: &Result<(Name, Stamp), _>| match item {
                Ok((stamped, _)) => stamped <= name,
                Err(_) => true,
            };
            match self.stamps.next_if(before).transpose()? {
                Some((stamped, stamp)) if stamped == *name => return Ok(stamp),
                Some(_) => {}
                None => return Ok(Stamp::default()),
            }
        }
    }
}

impl Iterator for DirIter<'_> {
    type Item = Result<(Name, Stamped), TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (name, entry) = match self.entries.next()? {
            Ok(item) => item,
            Err(error) => return Some(Err(error)),
        };
        let stamp = self.stamp(&name);
        Some(stamp.map(|stamp| (name, (entry, stamp))))
    }
}

/// A directory being changed: lookups see it as it was.
pub(super) struct DirEdit<'t> {
    trees: &'t dyn Trees,
    start: Rooted,
    entries: Seeker<'t, Entry>,
    stamps: Seeker<'t, Stamp>,
    entry_changes: Vec<(Name, Option<Entry>)>,
    stamp_changes: Vec<(Name, Option<Stamp>)>,
}

/// A changed directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed {
    pub(super) dir: Rooted,
    /// Whether it holds whiteouts or opaque directories.
    pub(super) marked: bool,
}

impl<'t> DirEdit<'t> {
    pub(super) fn new(trees: &'t dyn Trees, start: Rooted) -> Result<Self, TreeError> {
        Ok(Self {
            trees,
            start,
            entries: Seeker::new(trees, &start.tree)?,
            stamps: Seeker::new(trees, &start.times)?,
            entry_changes: Vec::new(),
            stamp_changes: Vec::new(),
        })
    }

    /// Returns what `name` stood for at the start; cheapest when names are asked in order.
    pub(super) fn before(&mut self, name: &Name) -> Result<Option<Stamped>, TreeError> {
        let Some(entry) = self.entries.get(name.as_bytes())? else {
            return Ok(None);
        };
        let stamp = self.stamps.get(name.as_bytes())?.unwrap_or_default();
        Ok(Some((entry, stamp)))
    }

    /// Notes what `name` shall stand for; names must come in order.
    pub(super) fn set(&mut self, name: Name, before: Option<Stamped>, now: Option<Stamped>) {
        let (old_entry, old_stamp) = before.unzip();
        let (new_entry, new_stamp) = now.unzip();
        if old_stamp != new_stamp {
            self.stamp_changes.push((name.clone(), new_stamp));
        }
        if old_entry != new_entry {
            self.entry_changes.push((name, new_entry));
        }
    }

    /// Writes what changed.
    pub(super) fn finish(self) -> Result<Changed, TreeError> {
        let written = update(self.trees, &self.start.tree, &self.entry_changes)?;
        let times = update(self.trees, &self.start.times, &self.stamp_changes)?.id;
        let dir = Rooted {
            tree: written.id,
            times,
        };
        let marked = written.marked;
        Ok(Changed { dir, marked })
    }
}

/// What a directory is besides its entries.
#[derive(Clone, Debug)]
pub(super) struct DirHead {
    pub(super) meta: Meta,
    pub(super) opaque: bool,
    pub(super) mtime_ns: i64,
}

impl DirHead {
    /// Makes the directory's entry over its written content.
    pub(super) fn over(self, content: Changed) -> Stamped {
        let target = Target::Dir {
            tree: content.dir.tree,
            opaque: self.opaque,
            marked: content.marked,
        };
        let meta = self.meta;
        let stamp = Stamp::dir(self.mtime_ns, content.dir.times);
        (Entry { meta, target }, stamp)
    }
}

/// Returns what lies below an entry that is a directory.
pub(super) fn below(entry: &Entry, stamp: &Stamp) -> Option<Rooted> {
    let tree = *entry.tree()?;
    let times = stamp.child_or_empty();
    Some(Rooted { tree, times })
}
