//! Listings, what they give away ahead of look-ups, and what is pushed ahead of reads.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fuser::{Errno, Generation, INodeNo, ReplyDirectoryPlus};
use hd_dag::Kind;
use hd_dag::trace::list_digest;

use super::answer::{file_attr, nothing};
use super::inodes::{Inode, Listing};
use super::push::{BYTES_MAX, FILE_MAX, FILES_MAX, Job};
use super::scan::{Class, Scans, class};
use super::{FOREVER, ProjectedFs, to_errno};
use crate::lower::Lower;
use crate::world;

/// Entries that are foretold at a time.
const GROUP: usize = 16;
/// Offsets of "." and ".." come first.
const DOTS: usize = 2;

/// Files to push, with their numbers.
pub(super) type Files = Vec<(u64, Arc<Inode>)>;

/// What follows from a page.
pub(super) struct Page {
    /// Files that the process will read.
    pub(super) files: Files,
    /// Whether the kernel has taken in all pages before: then they may be pushed before this
    /// one, the empty last, is sent. Else they follow it.
    pub(super) ended: bool,
}

/// A directory being shown to a process.
struct Showing<'a> {
    process: u32,
    number: INodeNo,
    dir: &'a Inode,
    listing: &'a Listing,
}

impl<L: Lower> ProjectedFs<L> {
    /// Fills a page of a listing.
    pub(super) fn page(
        &self,
        process: u32,
        number: INodeNo,
        offset: u64,
        reply: &mut ReplyDirectoryPlus,
    ) -> Result<Page, Errno> {
        let dir = self.inode(number)?;
        let listing = self.listing(&dir)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if offset == 0 {
            self.learn_listing(process, number.0, &dir, &listing);
        }
        let attr = file_attr(number.0, &nothing(Kind::Dir));
        for (at, dot) in [".", ".."].iter().enumerate().skip(offset.min(DOTS)) {
            let _ = add(
                reply,
                number.0,
                at + 1,
                dot.as_bytes(),
                Duration::ZERO,
                &attr,
            );
        }
        let start = offset.saturating_sub(DOTS);
        let ended = start >= listing.names.len();
        let showing = Showing {
            process,
            number,
            dir: &dir,
            listing: &listing,
        };
        let shown = self.fill(&showing, start, reply)?;
        let names = if ended { 0..start } else { start..shown };
        let files = self.to_push(process, number.0, &listing, names);
        Ok(Page { files, ended })
    }

    /// Adds entries until the page is full; gives the position after the last.
    fn fill(
        &self,
        showing: &Showing<'_>,
        start: usize,
        reply: &mut ReplyDirectoryPlus,
    ) -> Result<usize, Errno> {
        let total = showing.listing.names.len();
        let mut at = start;
        while at < total {
            // Foretold in small groups: a page holds few, and what was foretold counts as given.
            let group = at..total.min(at + GROUP);
            let foretold = self.foretold(showing.process, showing.number.0, group);
            for foretold in foretold {
                if self.show(showing, at, foretold, reply)? {
                    return Ok(at);
                }
                at += 1;
            }
        }
        Ok(at)
    }

    /// Adds one entry; says whether the page was full before it.
    fn show(
        &self,
        showing: &Showing<'_>,
        at: usize,
        foretold: bool,
        reply: &mut ReplyDirectoryPlus,
    ) -> Result<bool, Errno> {
        let (number, dir) = (showing.number, showing.dir);
        let listed = &showing.listing.names[at];
        let next = at + DOTS + 1;
        let known = self.inodes.known(dir, &listed.name);
        let found = match known {
            None if foretold || !listed.observed => self.find(number, dir, &listed.name)?,
            known => known,
        };
        if let Some((child, inode)) = found {
            self.learn_size(showing.process, number.0, at, &inode);
            let attr = file_attr(child, &inode.node.attr);
            return Ok(add(reply, child, next, &listed.name, FOREVER, &attr));
        }
        // Expired at once, so that the kernel asks, and with that the look-up is observed.
        let child = showing.listing.numbers[at];
        let attr = match self.lower.lookup(&dir.node, &listed.name) {
            Ok(Some(node)) => file_attr(child, &node.attr),
            Ok(None) | Err(_) => file_attr(child, &nothing(listed.kind)),
        };
        Ok(add(reply, child, next, &listed.name, Duration::ZERO, &attr))
    }

    fn listing(&self, dir: &Inode) -> Result<Arc<Listing>, Errno> {
        let list = || {
            let names = self.lower.list(&dir.node).map_err(to_errno)?;
            if let (Some(trace), true) = (&self.trace, dir.node.observed) {
                let digest = list_digest(world::observed_names(&names));
                trace.recorder.listed(&dir.node.path, digest);
            }
            let numbers = names
                .iter()
                .map(|listed| self.inodes.reserve(dir, &listed.name, listed.link_group))
                .collect();
            Ok(Listing { names, numbers })
        };
        dir.listing_or(list, || Errno::ENOTDIR)
    }

    fn learn_listing(&self, process: u32, number: u64, dir: &Inode, listing: &Listing) {
        let classes: Arc<[Class]> = listing
            .names
            .iter()
            .map(|listed| class(listed.kind, &listed.name))
            .collect();
        if let Some(trace) = &self.trace {
            let classes = classes.clone();
            lock(&trace.lookups).listed(process, dir.parent, number, || classes);
        }
        lock(&self.reads).listed(process, dir.parent, number, || classes);
    }

    fn foretold(&self, process: u32, dir: u64, names: std::ops::Range<usize>) -> Vec<bool> {
        match &self.trace {
            Some(trace) => lock(&trace.lookups).foretell(process, dir, names),
            None => vec![true; names.len()],
        }
    }

    /// Learns from a look-up.
    pub(super) fn learn_lookup(
        &self,
        process: u32,
        number: u64,
        dir: &Inode,
        name: &[u8],
        found: Option<&Inode>,
    ) {
        let Some(listing) = dir.listing() else { return };
        let Some(at) = listing.position(name) else {
            return;
        };
        if let Some(trace) = &self.trace {
            lock(&trace.lookups).used(process, number, at);
        }
        if let Some(inode) = found {
            self.learn_size(process, number, at, inode);
        }
    }

    /// An empty file will not be read, which says nothing of others of its sort.
    fn learn_size(&self, process: u32, dir: u64, at: usize, inode: &Inode) {
        if inode.node.attr.size == 0 {
            lock(&self.reads).give(process, dir, at);
        }
    }

    /// Learns from the first read of a file, and pushes those that will be read after it.
    pub(super) fn push_after(&self, process: u32, file: &Inode) {
        let Some(dir) = self.inodes.get(file.parent) else {
            return;
        };
        let (Some(listing), Some(name)) = (dir.listing(), file.node.path.file_name()) else {
            return;
        };
        let Some(at) = listing.position(name) else {
            return;
        };
        lock(&self.reads).used(process, file.parent, at);
        let rest = at + 1..listing.names.len();
        let files = self.to_push(process, file.parent, &listing, rest);
        if !files.is_empty() {
            self.pusher.push(Job { files, then: None });
        }
    }

    /// Gives the files at some positions that the process will read, if the kernel knows them.
    fn to_push(
        &self,
        process: u32,
        dir: u64,
        listing: &Listing,
        names: std::ops::Range<usize>,
    ) -> Files {
        let mut files = Files::new();
        let mut bytes = 0;
        for at in names {
            if listing.names[at].kind != Kind::Regular {
                continue;
            }
            let number = listing.numbers[at];
            let Some(inode) = self.inodes.get(number) else {
                continue;
            };
            let size = inode.node.attr.size;
            if size == 0 || size > FILE_MAX || !inode.content.is_untouched() {
                continue;
            }
            if !lock(&self.reads).foretell(process, dir, at..at + 1)[0] {
                continue;
            }
            bytes += size;
            if bytes > BYTES_MAX || files.len() >= FILES_MAX {
                break;
            }
            if inode.content.queue() {
                self.copy(&inode);
                files.push((number, inode));
            }
        }
        files
    }
}

fn add(
    reply: &mut ReplyDirectoryPlus,
    number: u64,
    next: usize,
    name: &[u8],
    lifetime: Duration,
    attr: &fuser::FileAttr,
) -> bool {
    let name = OsStr::from_bytes(name);
    reply.add(
        INodeNo(number),
        next as u64,
        name,
        &lifetime,
        attr,
        Generation(0),
    )
}

fn lock(scans: &Mutex<Scans>) -> MutexGuard<'_, Scans> {
    scans.lock().unwrap_or_else(PoisonError::into_inner)
}
