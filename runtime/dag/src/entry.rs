//! What a name in a tree stands for.

use std::collections::BTreeMap;

use hd_store::Id;

use crate::cbor;
use crate::path::TreePath;

/// Permission bits that are kept: `07777`.
pub const MODE_MASK: u32 = 0o7777;

const ENTRY_CONTEXT: &str = "hd 2026 entry v1";
const XATTRS_CONTEXT: &str = "hd 2026 xattrs v1";
const LINK_GROUP_CONTEXT: &str = "hd 2026 hard-link group v1";

/// Mode, owner and extended attributes of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Meta {
    /// Permission bits within [`MODE_MASK`]; bits above are dropped when encoding.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes by raw name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Meta {
    /// Returns metadata owned by root, without extended attributes.
    pub fn new(mode: u32) -> Self {
        Self::owned(mode, 0, 0)
    }

    /// Returns metadata with an owner, without extended attributes.
    pub fn owned(mode: u32, uid: u32, gid: u32) -> Self {
        let xattrs = BTreeMap::new();
        Self {
            mode: mode & MODE_MASK,
            uid,
            gid,
            xattrs,
        }
    }

    /// Returns what a directory gets that nobody described: mode 0755, owned by root.
    pub fn default_dir() -> Self {
        Self::new(0o755)
    }

    /// Digests the extended attributes; none when there are none.
    pub fn xattrs_digest(&self) -> Option<Id> {
        if self.xattrs.is_empty() {
            return None;
        }
        let mut out = cbor::Encoder::bare();
        crate::entry_codec::put_xattrs(&self.xattrs, &mut out);
        Some(Id::derive(XATTRS_CONTEXT, &out.finish()))
    }
}

/// The kind of an entry, as listings and traces name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Regular file.
    Regular = 0,
    /// Directory.
    Dir = 1,
    /// Symbolic link.
    Symlink = 2,
    /// Named pipe.
    Fifo = 3,
    /// Character device.
    Char = 4,
    /// Block device.
    Block = 5,
    /// Deletion marker of a layer.
    Whiteout = 6,
    /// Socket: appears in listings of the host only, never in a tree.
    Socket = 7,
}

/// The kind of an entry with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Regular file.
    Regular {
        /// Plain BLAKE3 of the content.
        blob: Id,
        /// Length of the content in bytes.
        size: u64,
        /// Files of one tree with the same group are hard links of one inode; see [`link_group`].
        link_group: Option<u64>,
    },
    /// Directory.
    Dir {
        /// Root of its map of entries.
        tree: Id,
        /// Hides what lower layers have here; layers only.
        opaque: bool,
        /// Holds a whiteout or an opaque directory somewhere below; layers only.
        ///
        /// This crate computes it (`build`, `apply`): what callers put there is ignored. It lets
        /// `compose` share a subtree of a layer without loading it.
        marked: bool,
    },
    /// Symbolic link.
    Symlink {
        /// Raw text of the link.
        target: Vec<u8>,
    },
    /// Named pipe.
    Fifo,
    /// Character device.
    Char {
        /// Device number.
        rdev: u64,
    },
    /// Block device.
    Block {
        /// Device number.
        rdev: u64,
    },
    /// Removes the name from lower layers; layers only.
    Whiteout,
}

impl Target {
    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Regular { .. } => Kind::Regular,
            Self::Dir { .. } => Kind::Dir,
            Self::Symlink { .. } => Kind::Symlink,
            Self::Fifo => Kind::Fifo,
            Self::Char { .. } => Kind::Char,
            Self::Block { .. } => Kind::Block,
            Self::Whiteout => Kind::Whiteout,
        }
    }
}

/// What one name of a directory stands for; its modification time lives in the sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Mode, owner, extended attributes.
    pub meta: Meta,
    /// Kind and content.
    pub target: Target,
}

impl Entry {
    /// Returns a regular file outside any hard-link group.
    pub fn regular(meta: Meta, blob: Id, size: u64) -> Self {
        let link_group = None;
        let target = Target::Regular {
            blob,
            size,
            link_group,
        };
        Self { meta, target }
    }

    /// Returns an empty directory.
    pub fn dir(meta: Meta) -> Self {
        Self::dir_of(meta, crate::map::empty_tree())
    }

    /// Returns a directory over a tree without layer markers.
    pub fn dir_of(meta: Meta, tree: Id) -> Self {
        let target = Target::Dir {
            tree,
            opaque: false,
            marked: false,
        };
        Self { meta, target }
    }

    /// Returns an empty directory that hides what lower layers have at its place.
    pub fn opaque_dir(meta: Meta) -> Self {
        let target = Target::Dir {
            tree: crate::map::empty_tree(),
            opaque: true,
            marked: false,
        };
        Self { meta, target }
    }

    /// Returns a symbolic link; its mode is 0777, as Linux always has it.
    pub fn symlink(uid: u32, gid: u32, target: impl Into<Vec<u8>>) -> Self {
        let target = Target::Symlink {
            target: target.into(),
        };
        Self {
            meta: Meta::owned(0o777, uid, gid),
            target,
        }
    }

    /// Returns the marker that removes a name from lower layers.
    pub fn whiteout() -> Self {
        Self {
            meta: Meta::default(),
            target: Target::Whiteout,
        }
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        self.target.kind()
    }

    /// Returns the tree below a directory, none for anything else.
    pub fn tree(&self) -> Option<&Id> {
        match &self.target {
            Target::Dir { tree, .. } => Some(tree),
            _ => None,
        }
    }

    /// Returns the identity a step may depend on: kind, mode, owner, extended attributes and
    /// content or link text.
    ///
    /// The hard-link group is left out, because views show one link per inode.
    pub fn id(&self) -> Id {
        let mut out = cbor::Encoder::versioned();
        crate::entry_codec::put_identity(self, &mut out);
        Id::derive(ENTRY_CONTEXT, &out.finish())
    }

    /// Returns the entry as it is stored: no bits beyond the mode, links with mode 0777 as Linux
    /// has them, nothing but the marker for a whiteout.
    pub(crate) fn normal(mut self) -> Self {
        match self.target {
            Target::Symlink { .. } => self.meta.mode = 0o777,
            Target::Whiteout => self.meta = Meta::default(),
            _ => self.meta.mode &= MODE_MASK,
        }
        self
    }

    /// Says whether this entry is, or holds below, a whiteout or opaque directory.
    pub(crate) fn has_markers(&self) -> bool {
        match &self.target {
            Target::Dir { opaque, marked, .. } => *opaque || *marked,
            Target::Whiteout => true,
            _ => false,
        }
    }

    /// Says whether two entries differ otherwise than in what lies below a directory.
    pub fn differs_itself(&self, other: &Self) -> bool {
        match (&self.target, &other.target) {
            (Target::Dir { opaque: a, .. }, Target::Dir { opaque: b, .. }) => {
                a != b || self.meta != other.meta
            }
            _ => self != other,
        }
    }
}

/// Derives the number of a hard-link group from where it was captured.
///
/// `source` names the capture (for example the layer's digest), `first` the group's first path in
/// it. Groups of different layers thus stay apart when layers are composed.
pub fn link_group(source: &[u8], first: &TreePath) -> u64 {
    let mut out = cbor::Encoder::bare();
    out.bytes(source);
    out.bytes(first.as_bytes());
    let id = Id::derive(LINK_GROUP_CONTEXT, &out.finish());
    id.as_bytes()[..8]
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
