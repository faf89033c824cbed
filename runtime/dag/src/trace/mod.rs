//! What a build step observed of the tree below it, and whether that still holds.

mod check;
mod codec;
mod listing;
mod touched;
mod world;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use hd_store::Id;

pub use check::{Miss, Verdict, check, check_host};
pub use listing::list_digest;
pub use touched::touched_by;
pub use world::{TreeWorld, World};

use crate::entry::{Entry, Target};
use crate::path::TreePath;

/// What a lookup of a name found.
///
/// Of a directory, time, size and number of links are no input; of anything else the whole entry
/// is, because a tool may decide from size or time alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// Nothing, also because a parent is missing or no directory.
    Absent,
    /// A directory.
    Dir {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Digest of the extended attributes, none when there are none.
        xattrs: Option<Id>,
    },
    /// Anything else in the tree.
    Entry {
        /// Its [`Entry::id`].
        id: Id,
    },
    /// Nothing on the host.
    HostAbsent,
    /// A directory of the host.
    HostDir {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Anything else on the host, by what stat says of it.
    HostFile {
        /// Device.
        dev: u64,
        /// Inode.
        ino: u64,
        /// Length in bytes.
        size: u64,
        /// Modification time, nanoseconds since 1970.
        mtime_ns: i64,
        /// Change time, nanoseconds since 1970.
        ctime_ns: i64,
    },
}

impl Seen {
    /// Returns what a lookup finds where the tree has `entry`, or nothing.
    pub fn of(entry: Option<&Entry>) -> Self {
        let Some(entry) = entry else {
            return Self::Absent;
        };
        match entry.target {
            Target::Dir { .. } => Self::Dir {
                mode: entry.meta.mode & crate::entry::MODE_MASK,
                uid: entry.meta.uid,
                gid: entry.meta.gid,
                xattrs: entry.meta.xattrs_digest(),
            },
            Target::Whiteout => Self::Absent,
            _ => Self::Entry { id: entry.id() },
        }
    }

    /// Says whether the observation was made on the host's own files.
    pub fn is_host(&self) -> bool {
        matches!(
            self,
            Self::HostAbsent | Self::HostDir { .. } | Self::HostFile { .. }
        )
    }
}

/// One observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Observation {
    /// A name was looked up.
    Lookup(Seen),
    /// A directory was listed, with this [`list_digest`].
    List(Id),
}

/// What was observed at one path; at least one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Observed {
    /// What a lookup found.
    pub lookup: Option<Seen>,
    /// Digest of the names and kinds a listing showed.
    pub list: Option<Id>,
}

impl Observed {
    /// Says whether the path lies on the host's own file systems.
    pub fn is_host(&self) -> bool {
        self.lookup.is_some_and(|seen| seen.is_host())
    }
}

/// The observations of a step, by path in the order of paths.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Trace {
    observed: BTreeMap<TreePath, Observed>,
}

impl Trace {
    /// Returns a trace without observations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an observation; the first of its kind at a path counts.
    ///
    /// Returns whether it agrees with what was recorded. If not, the world changed while the step
    /// ran, and its result must not be stored.
    pub fn record(&mut self, path: TreePath, observation: Observation) -> bool {
        let observed = match self.observed.entry(path) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => slot.insert(Observed::default()),
        };
        match observation {
            Observation::Lookup(seen) => *observed.lookup.get_or_insert(seen) == seen,
            Observation::List(digest) => *observed.list.get_or_insert(digest) == digest,
        }
    }

    /// Returns what was observed at a path.
    pub fn get(&self, path: &TreePath) -> Option<&Observed> {
        self.observed.get(path)
    }

    /// Iterates over all paths with what was observed there.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Observed)> {
        self.observed.iter()
    }

    /// Counts the paths.
    pub fn len(&self) -> usize {
        self.observed.len()
    }

    /// Says whether nothing was observed.
    pub fn is_empty(&self) -> bool {
        self.observed.is_empty()
    }

    /// Iterates over what was observed on the host's own files, which no diff of trees covers.
    pub fn on_host(&self) -> impl Iterator<Item = (&TreePath, &Observed)> {
        self.iter().filter(|(_, observed)| observed.is_host())
    }

    /// Adds all observations of another trace; says whether all agree.
    pub fn extend(&mut self, other: &Self) -> bool {
        let mut agree = true;
        for (path, observed) in other.iter() {
            let lookup = observed.lookup.map(Observation::Lookup);
            let list = observed.list.map(Observation::List);
            for observation in lookup.into_iter().chain(list) {
                agree &= self.record(path.clone(), observation);
            }
        }
        agree
    }
}
