//! The small trait behind which every read-only lower stands.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use hd_dag::{Entry, TreePath};
use hd_store::{Id, Store};

use hd_dag::Kind;

use crate::attr::Attr;
use crate::error::ProjectionError;

/// Where the content of a node comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An entry of a content-addressed tree; `times` is the node's own times node (directories).
    Tree {
        /// The entry as stored.
        entry: Entry,
        /// Times of the directory's children, if any were kept.
        times: Option<Id>,
    },
    /// A file or directory of the host, served where it lies.
    Host {
        /// Absolute path on the host.
        path: PathBuf,
        /// Identity for observations.
        stamp: HostStamp,
    },
}

/// Identity of a host file, cheap to compare: a change of content changes one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostStamp {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Status change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
}

/// A resolved node of a lower.
#[derive(Clone, Debug)]
pub struct Node {
    /// Path from the root of the view.
    pub path: TreePath,
    /// What `stat` shows.
    pub attr: Attr,
    /// Where its content comes from.
    pub source: Source,
    /// Whether what is read below counts as an observation.
    pub observed: bool,
}

/// Age of a host file's last change from which its stamp tells each further change: a clock may stand still for some
/// milliseconds, and file systems of others may round to seconds.
const SETTLED: Duration = Duration::from_secs(3);

impl Node {
    /// Tells whether another node shows the same in every way.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.path == other.path && self.attr == other.attr && self.source == other.source
    }

    /// Tells whether whatever is the same as it has its content too: a file of a tree does, one of the host when it
    /// was left alone for a while.
    pub(crate) fn keeps_its_content(&self) -> bool {
        if self.attr.kind != Kind::Regular || self.attr.link_group.is_some() {
            return false;
        }
        let Source::Host { stamp, .. } = &self.source else {
            return true;
        };
        let changed = Duration::from_nanos(u64::try_from(stamp.ctime_ns).unwrap_or(u64::MAX));
        let changed = SystemTime::UNIX_EPOCH.checked_add(changed);
        changed.is_some_and(|at| at.elapsed().is_ok_and(|age| age >= SETTLED))
    }
}

/// One name of a directory listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Raw name.
    pub name: Vec<u8>,
    /// Kind of the entry.
    pub kind: Kind,
    /// Whether the name counts in the digest of the listing.
    pub observed: bool,
    /// Group of hard-linked files, where the listing itself says it.
    pub link_group: Option<u64>,
}

/// What was read of a file or a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The bytes; short at the end of a file.
    pub bytes: Vec<u8>,
    /// Whether they are another one's, which had on the host taken the place of what was looked up.
    pub is_of_another: bool,
}

impl Content {
    /// What was read of the thing itself.
    pub(crate) fn own(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            is_of_another: false,
        }
    }
}

/// A read-only tree that can be projected.
pub trait Lower: Send + Sync + 'static {
    /// Gives the root directory.
    fn root(&self) -> Result<Node, ProjectionError>;
    /// Looks a name up in a directory; `None` when it is absent.
    fn lookup(&self, parent: &Node, name: &[u8]) -> Result<Option<Node>, ProjectionError>;
    /// Lists a directory, sorted by name.
    fn list(&self, dir: &Node) -> Result<Vec<Listed>, ProjectionError>;
    /// Reads up to `len` bytes at `offset`.
    fn read(&self, file: &Node, offset: u64, len: usize) -> Result<Content, ProjectionError>;
    /// Gives the store that has the contents of its trees, if one has.
    fn store(&self) -> Option<&Store> {
        None
    }
    /// Reads the target of a symbolic link.
    fn read_link(&self, link: &Node) -> Result<Content, ProjectionError>;
    /// Reads an extended attribute.
    fn xattr(&self, node: &Node, name: &[u8]) -> Option<Vec<u8>>;
    /// Lists extended attribute names.
    fn xattrs(&self, node: &Node) -> Vec<Vec<u8>>;
    /// Searches for anything with an extended attribute; `None` when `stop` said so.
    fn has_xattrs(&self, stop: &dyn Fn() -> bool) -> Result<Option<bool>, ProjectionError>;
}
