//! Who takes how much of the disk.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::apparent::Apparent;
use crate::control::Spot;
use crate::durable::names_in;
use crate::gc::sizes::Sizes;
use crate::record::RecordKind;
use crate::shelf::Located;
use crate::walk::{Visitor, Walk};
use crate::{Error, Id, Link, Links, Result, Store};

/// Something that needs objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// What it leads to.
    pub links: Vec<Link>,
    /// What it keeps besides: counts for it as far as nobody else owns it.
    pub rest: Vec<Link>,
}

/// What one owner takes, in bytes of segment files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// What nobody else leads to.
    pub unique: u64,
    /// What others lead to as well.
    pub shared: u64,
    /// Bytes of its blobs, each counted as often as it occurs.
    pub apparent: u64,
}

/// Answers who takes how much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageReport {
    /// Of each owner, in the order they were asked about.
    pub owners: Vec<Usage>,
    /// What several owners lead to, counted once, in bytes of segment files.
    pub shared: u64,
    /// What no owner leads to, in bytes of segment files.
    pub unowned: u64,
    /// Raw copies that views read by themselves: a cache, in bytes of the disk.
    pub raw: u64,
    /// The rest of the disk: histories, commits, indexes, stat caches, references, locks.
    pub bookkeeping: u64,
    /// Everything below the directory of the store, in bytes of the disk as `du` counts them.
    pub total: u64,
    /// Bytes of all chunks that an owner leads to, each counted once, before compression.
    pub distinct: u64,
}

/// Who leads to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    One(usize),
    Several,
}

#[derive(Debug, Default)]
struct Holders {
    by_spot: HashMap<(u64, Spot), (Holder, u64)>,
    sizes: Sizes,
    distinct: u64,
}

/// Adds what one owner leads to.
struct Of<'a> {
    holders: &'a mut Holders,
    owner: usize,
    /// Only what nobody has yet.
    leftover: bool,
}

impl Visitor for Of<'_> {
    fn found(&mut self, _id: &Id, copy: &Located) {
        let holders = &mut *self.holders;
        match holders.by_spot.get_mut(&(copy.segment.number, copy.spot())) {
            Some((Holder::One(owner), _)) if *owner == self.owner || self.leftover => {}
            Some((holder, _)) => {
                if !self.leftover {
                    *holder = Holder::Several;
                }
            }
            None => {
                let bytes = holders.sizes.of(copy).unwrap_or_default();
                if copy.entry.kind == RecordKind::Chunks.code() {
                    holders.distinct += u64::from(copy.len);
                }
                let key = (copy.segment.number, copy.spot());
                holders
                    .by_spot
                    .insert(key, (Holder::One(self.owner), bytes));
            }
        }
    }

    fn lost(&mut self, _id: &Id, _why: Option<Error>) -> Result<()> {
        // What is lost takes no room.
        Ok(())
    }
}

impl Store {
    /// Tells who takes how much of the disk; every byte below the store's directory is in exactly
    /// one of the sums.
    ///
    /// # Errors
    /// I/O errors.
    pub fn usage(&self, links: &dyn Links, owners: &[Owner]) -> Result<UsageReport> {
        let _hold = self.hold()?;
        let mut holders = Holders::default();
        let mut report = UsageReport {
            owners: vec![Usage::default(); owners.len()],
            ..UsageReport::default()
        };
        // A skeleton names a blob that it does not keep, so each owner is walked from nothing.
        for (number, owner) in owners.iter().enumerate() {
            visit(self, links, &owner.links, &mut holders, number, false)?;
        }
        for (number, owner) in owners.iter().enumerate() {
            visit(self, links, &owner.rest, &mut holders, number, true)?;
        }
        let mut apparent = Apparent::new(self, links);
        for (usage, owner) in report.owners.iter_mut().zip(owners) {
            usage.apparent = apparent.of(&owner.links)?;
        }
        self.shares(links, owners, &holders, &mut report)?;
        report.distinct = holders.distinct;
        Ok(report)
    }

    fn shares(
        &self,
        links: &dyn Links,
        owners: &[Owner],
        holders: &Holders,
        report: &mut UsageReport,
    ) -> Result<()> {
        let mut owned = 0;
        for (holder, bytes) in holders.by_spot.values() {
            owned += bytes;
            match holder {
                Holder::One(owner) => report.owners[*owner].unique += bytes,
                Holder::Several => report.shared += bytes,
            }
        }
        for (usage, owner) in report.owners.iter_mut().zip(owners) {
            let mut sum = SharedOf { holders, bytes: 0 };
            Walk::new(self, links).visit(&owner.links, &mut sum)?;
            usage.shared = sum.bytes;
        }
        report.total = disk_bytes(&self.inner.cas)?;
        let objects = self.object_bytes()?;
        report.unowned = objects.saturating_sub(owned);
        report.raw = self.pool_bytes()?;
        let rest = report.total.saturating_sub(report.raw);
        report.bookkeeping = rest.saturating_sub(objects.max(owned));
        Ok(())
    }

    /// Bytes of all records that hold chunks, lists or nodes, dead objects included.
    fn object_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for segment in self.inner.shelf.segments().iter() {
            let entries = segment.entries();
            let mut before = None;
            for entry in &entries {
                let is_new = before.replace(entry.place) != Some(entry.place);
                if is_new && entry.kind != RecordKind::History.code() {
                    let outline = segment.outline(entry.place)?;
                    bytes += outline.map_or(0, |found| found.header.record_len());
                }
            }
        }
        Ok(bytes)
    }
}

fn visit(
    store: &Store,
    links: &dyn Links,
    roots: &[Link],
    holders: &mut Holders,
    owner: usize,
    leftover: bool,
) -> Result<()> {
    let mut visitor = Of {
        holders,
        owner,
        leftover,
    };
    Walk::new(store, links).visit(roots, &mut visitor)?;
    Ok(())
}

/// Adds up what an owner leads to together with others.
struct SharedOf<'a> {
    holders: &'a Holders,
    bytes: u64,
}

impl Visitor for SharedOf<'_> {
    fn found(&mut self, _id: &Id, copy: &Located) {
        let key = (copy.segment.number, copy.spot());
        if let Some((Holder::Several, bytes)) = self.holders.by_spot.get(&key) {
            self.bytes += bytes;
        }
    }

    fn lost(&mut self, _id: &Id, _why: Option<Error>) -> Result<()> {
        Ok(())
    }
}

/// Bytes of the disk that everything below a directory takes, itself included.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut waiting = vec![dir.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = match path.symlink_metadata() {
            Ok(meta) => meta,
            // Others work here.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("look at", &path)(error)),
        };
        bytes += meta.blocks() * 512;
        if meta.is_dir() {
            waiting.extend(names_in(&path)?.into_iter().map(|name| path.join(name)));
        }
    }
    Ok(bytes)
}
