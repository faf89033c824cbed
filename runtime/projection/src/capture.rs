//! Turns the write layer of an overlay back into a tree.
//!
//! The upper directory is walked on its own file system after the last process of the view has
//! ended, never through the view. overlayfs spells a deletion as a character device 0:0 and an
//! opaque directory by an extended attribute (kernel documentation, overlayfs.rst); both become
//! entries of the layer, and everything else overlayfs notes for itself is dropped.

mod stored;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hd_dag::{Entry, Meta, Name, Target, TreePath};
use hd_store::{Store, Writer};

use hd_dag::Kind;

use crate::attr::kind_of_mode;
use crate::composite::{Composite, Owner};
use crate::error::ProjectionError;
use crate::lower::Source;
use stored::{Blob, Walk, ingest};

/// Longest list of names, and longest value, of extended attributes (`XATTR_LIST_MAX`).
const XATTR_MAX: usize = 64 * 1024;
/// Room for the names that most files have.
const XATTR_FEW: usize = 512;

/// What a capture must know besides the upper directory.
#[derive(Debug)]
pub struct CaptureRules<'a> {
    /// The lower the write layer lay upon: what equals it is not a change.
    pub lower: &'a Composite,
    /// Paths that are never captured, with all below them.
    pub skip: &'a [TreePath],
    /// Whose files count as unowned (0:0), by place.
    pub owners: &'a [Owner],
    /// Names that hide compiled Python beside a project's sources are dropped below this path
    /// when the directory that holds them is the project's own.
    pub project: &'a TreePath,
}

/// One captured entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Path from the root of the view.
    pub path: TreePath,
    /// The entry; directories are empty here, their children follow on their own.
    pub entry: Entry,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
}

/// What a write layer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// What is not as the lower has it, parents first.
    pub changes: Vec<Captured>,
    /// What is, but with another time: touched, or written anew with what it held.
    pub touched: Vec<Captured>,
}

struct Found {
    path: TreePath,
    host: PathBuf,
    meta: Meta,
    mtime_ns: i64,
    what: What,
}

enum What {
    Entry(Target),
    File { inode: Option<(u64, u64)> },
    Dir { opaque: bool },
}

/// Attributes of an opaque directory of a write layer, of root's overlays and of users'; the value is `y` (kernel
/// documentation, overlayfs.rst).
pub const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// Captures an upper directory: the changes against the lower, sorted by path.
///
/// File contents go into the store through `writer`; nothing is committed.
pub fn capture(
    upper: &Path,
    store: &Store,
    writer: &mut Writer,
    rules: &CaptureRules<'_>,
) -> Result<Layer, ProjectionError> {
    let mut found = ingest(store, writer, Walk::new(upper, rules))?;
    found.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    let groups = link_groups(&found);
    let entries = found.into_iter().map(|(item, blob)| Captured {
        entry: entry_of(&item, blob.as_ref(), item.group(&groups)),
        path: item.path,
        mtime_ns: item.mtime_ns,
    });
    without_unchanged(entries.collect(), rules.lower)
}

fn read_dir(
    dir: &TreePath,
    host: &Path,
    rules: &CaptureRules<'_>,
) -> Result<Vec<Found>, ProjectionError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(host).map_err(|e| failed(dir, e))? {
        let name = entry.map_err(|e| failed(dir, e))?.file_name().into_vec();
        let Ok(valid) = Name::new(&name) else {
            continue;
        };
        let path = dir.join(&valid);
        if rules.skip.contains(&path) || is_compiled_beside_source(dir, &name, rules)? {
            continue;
        }
        if let Some(item) = inspect(path, host.join(OsStr::from_bytes(&name)), rules.owners)? {
            found.push(item);
        }
    }
    // Files that lie together are stored together.
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// `__pycache__` of a directory the project itself has is junk that would couple steps; below a
/// directory that a step made (a virtual environment) it is part of the output.
fn is_compiled_beside_source(
    dir: &TreePath,
    name: &[u8],
    rules: &CaptureRules<'_>,
) -> Result<bool, ProjectionError> {
    if name != crate::host::COMPILED_PYTHON || !dir.starts_with(rules.project) {
        return Ok(false);
    }
    Ok(rules.lower.resolve(dir)?.is_some())
}

fn inspect(
    path: TreePath,
    host: PathBuf,
    owners: &[Owner],
) -> Result<Option<Found>, ProjectionError> {
    let status = fs::symlink_metadata(&host).map_err(|e| failed(&path, e))?;
    let mut xattrs = read_xattrs(&host).map_err(|e| failed(&path, e))?;
    let opaque = OPAQUE.iter().any(|name| {
        xattrs
            .get(name.as_bytes())
            .is_some_and(|value| value == b"y")
    });
    xattrs.retain(|name, _| is_captured_xattr(name));
    let what = match kind_of_mode(status.mode()) {
        Kind::Char if status.rdev() == 0 => What::Entry(Target::Whiteout),
        Kind::Char => What::Entry(Target::Char {
            rdev: status.rdev(),
        }),
        Kind::Block => What::Entry(Target::Block {
            rdev: status.rdev(),
        }),
        Kind::Fifo => What::Entry(Target::Fifo),
        Kind::Socket | Kind::Whiteout => return Ok(None),
        Kind::Dir => What::Dir { opaque },
        Kind::Regular => What::File {
            inode: (status.nlink() > 1).then_some((status.dev(), status.ino())),
        },
        Kind::Symlink => {
            let target = fs::read_link(&host).map_err(|e| failed(&path, e))?;
            What::Entry(Target::Symlink {
                target: target.into_os_string().into_vec(),
            })
        }
    };
    let (uid, gid) = stored_owner(&path, status.uid(), status.gid(), owners);
    let meta = match what {
        What::Entry(Target::Whiteout) => Meta::default(),
        What::Entry(Target::Symlink { .. }) => Meta::owned(0o777, uid, gid),
        _ => Meta {
            mode: status.mode() & 0o7777,
            uid,
            gid,
            xattrs,
        },
    };
    let mtime_ns = status
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(status.mtime_nsec());
    Ok(Some(Found {
        path,
        host,
        meta,
        mtime_ns,
        what,
    }))
}

fn stored_owner(path: &TreePath, uid: u32, gid: u32, owners: &[Owner]) -> (u32, u32) {
    match owners.iter().find(|owner| path.starts_with(&owner.at)) {
        Some(owner) if (owner.uid, owner.gid) == (uid, gid) => (0, 0),
        _ => (uid, gid),
    }
}

fn is_captured_xattr(name: &[u8]) -> bool {
    let overlay = name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    !overlay
        && (name.starts_with(b"user.")
            || name == b"security.capability"
            || name.starts_with(b"system.posix_acl_"))
}

fn read_xattrs(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut xattrs = BTreeMap::new();
    // Nearly always there are none, or few: no need to clear a large buffer for each file.
    let mut names = vec![0u8; XATTR_FEW];
    let len = loop {
        match rustix::fs::llistxattr(path, &mut names[..]) {
            Ok(len) => break len,
            Err(rustix::io::Errno::NOTSUP) => break 0,
            Err(rustix::io::Errno::RANGE) if names.len() < XATTR_MAX => {
                names.resize(XATTR_MAX, 0);
            }
            Err(errno) => return Err(errno.into()),
        }
    };
    for name in names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0u8; XATTR_MAX];
        match rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]) {
            Ok(len) => {
                value.truncate(len);
                xattrs.insert(name.to_vec(), value);
            }
            Err(rustix::io::Errno::NODATA) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(xattrs)
}

type Groups = HashMap<(u64, u64), u64>;

/// Numbers the groups of hard links by what they are and their first names: a group of another run that lies
/// below must be another one, unless it is the same file.
fn link_groups(found: &[(Found, Option<Blob>)]) -> Groups {
    let mut groups = Groups::new();
    for (item, blob) in found {
        if let What::File { inode: Some(inode) } = item.what {
            groups.entry(inode).or_insert_with(|| {
                let file = entry_of(item, blob.as_ref(), None).id();
                hd_dag::link_group(file.as_bytes(), &item.path)
            });
        }
    }
    groups
}

impl Found {
    fn group(&self, groups: &Groups) -> Option<u64> {
        match self.what {
            What::File { inode } => inode.and_then(|inode| groups.get(&inode).copied()),
            What::Entry(_) | What::Dir { .. } => None,
        }
    }
}

fn entry_of(item: &Found, blob: Option<&Blob>, link_group: Option<u64>) -> Entry {
    match &item.what {
        What::Entry(target) => Entry {
            meta: item.meta.clone(),
            target: target.clone(),
        },
        What::Dir { opaque: true } => Entry::opaque_dir(item.meta.clone()),
        What::Dir { opaque: false } => Entry::dir(item.meta.clone()),
        What::File { .. } => {
            let (id, size) = blob.copied().unwrap_or((hd_store::Id::of(b""), 0));
            Entry {
                meta: item.meta.clone(),
                target: Target::Regular {
                    blob: id,
                    size,
                    link_group,
                },
            }
        }
    }
}

/// Drops what is as the lower has it: files opened for writing and left alone, directories that
/// overlayfs copied up for a child, opaqueness where there is nothing to hide.
fn without_unchanged(entries: Vec<Captured>, lower: &Composite) -> Result<Layer, ProjectionError> {
    let mut kept: Vec<Captured> = Vec::with_capacity(entries.len());
    let mut touched = Vec::new();
    let hidden = hidden(&entries);
    // Children come after their parents, so walking backwards knows whether a directory is needed.
    let mut needed: std::collections::HashSet<TreePath> = std::collections::HashSet::new();
    for (mut item, is_hidden) in entries.into_iter().zip(hidden).rev() {
        // What an opaque directory hides is gone, however like it what stands in its place is.
        let below = match is_hidden {
            true => None,
            false => lower.resolve(&item.path)?,
        };
        if let (Some(ids), Some(Source::Tree { entry, .. })) =
            (lower.ids(), below.as_ref().map(|node| &node.source))
        {
            ids.restore(&mut item.entry.meta, &entry.meta);
        }
        let same = match (
            &mut item.entry.target,
            below.as_ref().map(|node| (&node.source, node.attr.kind)),
        ) {
            (Target::Whiteout, None) => true,
            (Target::Dir { opaque, .. }, Some((Source::Tree { entry, .. }, Kind::Dir))) => {
                !*opaque && entry.meta == item.entry.meta && !needed.contains(&item.path)
            }
            (Target::Dir { opaque, .. }, other) => {
                *opaque &= other.is_some();
                false
            }
            (_, Some((Source::Tree { entry, .. }, _))) => entry.id() == item.entry.id(),
            _ => false,
        };
        if same {
            // A copy that overlayfs makes has the time of what it is a copy of, and leaves the directory above its own.
            if below.is_some_and(|node| node.attr.mtime_ns != item.mtime_ns) {
                touched.push(item);
            }
            continue;
        }
        if let Some(parent) = item.path.parent() {
            needed.insert(parent);
        }
        kept.push(item);
    }
    kept.reverse();
    touched.reverse();
    Ok(Layer {
        changes: kept,
        touched,
    })
}

/// Says of each entry, parents first, whether it lies below an opaque directory, which hides what the lower has.
pub fn hidden(entries: &[Captured]) -> Vec<bool> {
    let mut opaque: Option<&TreePath> = None;
    let mut hidden = Vec::with_capacity(entries.len());
    for Captured { path, entry, .. } in entries {
        let is_hidden = opaque.is_some_and(|dir| path.starts_with(dir));
        if !is_hidden && matches!(entry.target, Target::Dir { opaque: true, .. }) {
            opaque = Some(path);
        }
        hidden.push(is_hidden);
    }
    hidden
}

fn failed(path: &TreePath, source: io::Error) -> ProjectionError {
    ProjectionError::Capture {
        path: path.to_string(),
        source,
    }
}
