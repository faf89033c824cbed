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
use super::push::{BYTES_MAX, FILE_MAX, FILES_MAX, Push};
use super::scan::{Class, Scans, class};
use super::view::View;
use super::{FOREVER, ProjectedFs, shown};
use crate::lower::Lower;
use crate::world;

/// Entries that are foretold at a time.
const GROUP: usize = 16;
/// Offsets of "." and ".." come first.
const DOTS: usize = 2;

/// What follows from a page.
pub(super) struct Page<L> {
    /// Files that the process will read.
    pub(super) files: Vec<Arc<Inode<L>>>,
    /// Whether the kernel has taken in all pages before: then they may be pushed before this
    /// one, the empty last, is sent. Else they follow it.
    pub(super) ended: bool,
}

/// A directory being shown to a process.
struct Showing<'a, L> {
    process: u32,
    dir: &'a Inode<L>,
    view: &'a View<L>,
    listing: &'a Listing,
}

/// Names after a file that is read among which those are looked for that will be read after it.
const AHEAD_MAX: usize = 8 * FILES_MAX;

impl<L: Lower> ProjectedFs<L> {
    /// Fills a page of a listing.
    pub(super) fn page(
        &self,
        process: u32,
        number: INodeNo,
        offset: u64,
        reply: &mut ReplyDirectoryPlus,
    ) -> Result<Page<L>, Errno> {
        let dir = self.inode(number)?;
        let view = dir.view().ok_or(Errno::ENOTDIR)?;
        let listing = self.listing(&dir, view)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if offset == 0 {
            self.learn_listing(process, &dir, view, &listing);
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
            dir: &dir,
            view,
            listing: &listing,
        };
        let shown = self.fill(&showing, start, reply)?;
        let names = if ended { 0..start } else { start..shown };
        let files = self.to_push(&showing, names);
        Ok(Page { files, ended })
    }

    /// Adds entries until the page is full; gives the position after the last.
    fn fill(
        &self,
        showing: &Showing<'_, L>,
        start: usize,
        reply: &mut ReplyDirectoryPlus,
    ) -> Result<usize, Errno> {
        let total = showing.listing.names.len();
        let mut at = start;
        while at < total {
            // Foretold in small groups: a page holds few, and what was foretold counts as given.
            let group = at..total.min(at + GROUP);
            let foretold = self.foretold(showing, group);
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
        showing: &Showing<'_, L>,
        at: usize,
        foretold: bool,
        reply: &mut ReplyDirectoryPlus,
    ) -> Result<bool, Errno> {
        let dir = showing.dir;
        let listed = &showing.listing.names[at];
        let next = at + DOTS + 1;
        let known = self.inodes.known(dir, &listed.name);
        let found = match known {
            None if foretold || !listed.observed => self.find(dir, &listed.name)?,
            known => known,
        };
        if let Some(inode) = found {
            learn_size(showing.view, showing.process, dir.number, at, &inode);
            let attr = shown(&inode);
            return Ok(add(reply, inode.number, next, &listed.name, FOREVER, &attr));
        }
        // Expired at once, so that the kernel asks, and with that the look-up is observed.
        let (child, attr) = match showing.view.lower.lookup(&dir.node, &listed.name) {
            Ok(Some(node)) => (self.inodes.reserve(dir, &listed.name, &node), node.attr),
            Ok(None) | Err(_) => (self.inodes.fresh(), nothing(listed.kind)),
        };
        let attr = file_attr(child, &attr);
        Ok(add(reply, child, next, &listed.name, Duration::ZERO, &attr))
    }

    fn listing(&self, dir: &Inode<L>, view: &View<L>) -> Result<Arc<Listing>, Errno> {
        let list = || {
            let names = view.lower.list(&dir.node);
            let names = names.map_err(|error| view.failed(&error))?;
            if let (Some(trace), true) = (&view.trace, dir.node.observed) {
                let digest = list_digest(world::observed_names(&names));
                trace.recorder.listed(&dir.node.path, digest);
            }
            Ok(Listing { names })
        };
        dir.listing_or(list, || Errno::ENOTDIR)
    }

    fn learn_listing(&self, process: u32, dir: &Inode<L>, view: &View<L>, listing: &Listing) {
        let classes: Arc<[Class]> = listing
            .names
            .iter()
            .map(|listed| class(listed.kind, &listed.name))
            .collect();
        let parent = dir.parent();
        if let Some(trace) = &view.trace {
            let classes = classes.clone();
            lock(&trace.lookups).listed(process, parent, dir.number, || classes);
        }
        lock(&view.reads).listed(process, parent, dir.number, || classes);
    }

    fn foretold(&self, showing: &Showing<'_, L>, names: std::ops::Range<usize>) -> Vec<bool> {
        match &showing.view.trace {
            Some(trace) => {
                lock(&trace.lookups).foretell(showing.process, showing.dir.number, names)
            }
            None => vec![true; names.len()],
        }
    }

    /// Learns from a look-up.
    pub(super) fn learn_lookup(
        &self,
        process: u32,
        dir: &Inode<L>,
        name: &[u8],
        found: Option<&Inode<L>>,
    ) {
        let (Some(view), Some(listing)) = (dir.view(), dir.listing()) else {
            return;
        };
        let Some(at) = listing.position(name) else {
            return;
        };
        if let Some(trace) = &view.trace {
            lock(&trace.lookups).used(process, dir.number, at);
        }
        if let Some(inode) = found {
            learn_size(view, process, dir.number, at, inode);
        }
    }

    /// Learns from the first read of a file, and pushes those that will be read after it.
    pub(super) fn push_after(&self, process: u32, file: &Inode<L>) {
        let Some(dir) = self.inodes.get(file.parent()) else {
            return;
        };
        let (Some(view), Some(listing), Some(name)) =
            (dir.view(), dir.listing(), file.node.path.file_name())
        else {
            return;
        };
        let Some(at) = listing.position(name) else {
            return;
        };
        lock(&view.reads).used(process, dir.number, at);
        // No further: whoever reads file by file would have all that is left looked through at each.
        let rest = at + 1..listing.names.len().min(at + 1 + AHEAD_MAX);
        let showing = Showing {
            process,
            dir: &dir,
            view,
            listing: &listing,
        };
        let files = self.to_push(&showing, rest);
        if !files.is_empty() {
            self.pusher.push(Push { files, then: None });
        }
    }

    /// Gives the files at some positions that the process will read, if the kernel knows them.
    fn to_push(
        &self,
        showing: &Showing<'_, L>,
        names: std::ops::Range<usize>,
    ) -> Vec<Arc<Inode<L>>> {
        let (dir, view) = (showing.dir, showing.view);
        let mut files = Vec::new();
        let mut bytes = 0;
        for at in names {
            let listed = &showing.listing.names[at];
            if listed.kind != Kind::Regular {
                continue;
            }
            let Some(inode) = self.inodes.known(dir, &listed.name) else {
                continue;
            };
            let size = inode.node.attr.size;
            if size == 0 || size > FILE_MAX || !inode.content.is_untouched() {
                continue;
            }
            if !lock(&view.reads).foretell(showing.process, dir.number, at..at + 1)[0] {
                continue;
            }
            bytes += size;
            if bytes > BYTES_MAX || files.len() >= FILES_MAX {
                break;
            }
            if inode.content.queue() {
                self.copy(&inode);
                files.push(inode);
            }
        }
        files
    }
}

/// An empty file will not be read, which says nothing of others of its sort.
fn learn_size<L>(view: &View<L>, process: u32, dir: u64, at: usize, inode: &Inode<L>) {
    if inode.node.attr.size == 0 {
        lock(&view.reads).give(process, dir, at);
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
