//! The entries of one layer gathered into a tree of changes ("layer.md": whiteouts, opaque whiteouts, hard links).
//!
//! A layer is read without the layers below it, so that it can be kept and used under any of them. What depends on
//! those is noted for [`crate::stack`]: directories nobody described, and links to files of lower layers.

use std::collections::{BTreeMap, BTreeSet};

use hd_dag::{Entry, Meta, Target, TreePath, link_group};
use hd_store::Id;

use super::LayerError;
use super::entry::{TarEntry, TarKind};
use super::path::normalise;

const WHITEOUT: &[u8] = b".wh.";
/// Names of aufs's own bookkeeping, the opaque marker among them.
const RESERVED: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Bound on the memory that names, link targets and attributes may take, in bytes; a million paths of Debian's take
/// about 60 MiB.
const MAX_HELD: u64 = 512 << 20;

/// Is one layer, read: its tree of changes and what only the layers below can settle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// Entries with their times of modification (ns), sorted, parents before children.
    pub entries: Vec<(TreePath, Entry, i64)>,
    /// What depends on the layers below.
    pub open: Open,
}

/// Is what a layer leaves to the layers below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Open {
    /// Directories that the layer uses but does not describe: those below keep theirs.
    pub implicit: Vec<TreePath>,
    /// Hard links to files of lower layers: link and target.
    pub links: Vec<(TreePath, TreePath)>,
    /// The layer hides everything below it.
    pub opaque_root: bool,
}

enum Made {
    Entry(Entry),
    /// A hard link whose target is not in this layer.
    LowerLink(TreePath),
}

struct Slot {
    made: Made,
    mtime_ns: i64,
    /// An entry of the archive describes it.
    described: bool,
    /// First path of its hard-link group.
    leader: Option<TreePath>,
}

/// Gathers the entries of a layer in the order of its archive.
#[derive(Default)]
pub struct Draft {
    slots: BTreeMap<TreePath, Slot>,
    whiteouts: BTreeSet<TreePath>,
    opaque: BTreeSet<TreePath>,
    /// Bytes held of names, link targets and attributes.
    held: u64,
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({} paths)", self.slots.len())
    }
}

impl Draft {
    /// Says whether the content of this entry is wanted: whiteouts have none that counts.
    pub fn wants_content(entry: &TarEntry) -> bool {
        let name = entry.path.file_name().unwrap_or_default();
        matches!(entry.kind, TarKind::Regular { .. }) && !name.starts_with(WHITEOUT)
    }

    /// Adds the next entry; `content` is the stored content of a regular file.
    ///
    /// # Errors
    /// Refuses what the specification forbids, see [`LayerError`].
    pub fn add(&mut self, entry: TarEntry, content: Option<(Id, u64)>) -> Result<(), LayerError> {
        self.hold(bytes_of(&entry))?;
        if let Some(marked) = self.marker(&entry.path)? {
            return marked.map_or(Ok(()), |place| self.describe_parents(&place));
        }
        let TarEntry {
            path,
            mode,
            uid,
            gid,
            mtime_ns,
            xattrs,
            kind,
        } = entry;
        let meta = Meta {
            mode,
            uid,
            gid,
            xattrs,
        };
        let target = match (kind, content) {
            // The root of an image has no entry of its own; archives often describe it.
            (TarKind::Dir, _) if path.is_root() => return Ok(()),
            _ if path.is_root() => {
                return Err(LayerError::NotADirectory {
                    path: String::new(),
                });
            }
            (TarKind::HardLink { target }, _) => return self.add_link(path, target),
            (TarKind::Dir, _) => return self.put(path, Entry::dir(meta), mtime_ns),
            (TarKind::Regular { .. }, Some((blob, size))) => Target::Regular {
                blob,
                size,
                link_group: None,
            },
            (TarKind::Regular { size }, None) => Target::Regular {
                blob: Id::of(b""),
                size,
                link_group: None,
            },
            (TarKind::Symlink { target }, _) => Target::Symlink { target },
            (TarKind::Fifo, _) => Target::Fifo,
            (TarKind::Char { rdev }, _) => Target::Char { rdev },
            (TarKind::Block { rdev }, _) => Target::Block { rdev },
        };
        self.put(path, Entry { meta, target }, mtime_ns)
    }

    /// Notes a whiteout or opaque marker. `Some(None)` is bookkeeping to be skipped, `Some(Some(path))` names what
    /// the marker speaks of, `None` is an ordinary entry.
    fn marker(&mut self, path: &TreePath) -> Result<Option<Option<TreePath>>, LayerError> {
        let refuse = |problem| LayerError::Name {
            name: path.to_string(),
            problem,
        };
        let mut names = path.components();
        let name = names.next_back().unwrap_or_default();
        if names.any(|parent| parent.starts_with(WHITEOUT)) {
            return Err(refuse("a whiteout holds no entries"));
        }
        let parent = path.parent_bytes().unwrap_or_default();
        if name == OPAQUE {
            let parent = normalise(parent)?;
            self.opaque.insert(parent.clone());
            // A path below it stands for the marker, so that the directory itself is made.
            return Ok(Some(Some(path.clone())));
        }
        if name.starts_with(RESERVED) {
            return Ok(Some(None));
        }
        let Some(hidden) = name.strip_prefix(WHITEOUT) else {
            return Ok(None);
        };
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(refuse("this whiteout names nothing"));
        }
        let hidden = normalise(&[parent, b"/", hidden].concat())?;
        self.whiteouts.insert(hidden.clone());
        Ok(Some(Some(hidden)))
    }

    fn add_link(&mut self, path: TreePath, target: TreePath) -> Result<(), LayerError> {
        let refuse = |problem| LayerError::HardLink {
            path: path.to_string(),
            target: target.to_string(),
            problem,
        };
        let Some(slot) = self.slots.get_mut(&target) else {
            return self.insert(path, Made::LowerLink(target), 0, None);
        };
        if path == target {
            return Err(refuse("which is itself"));
        }
        let mtime_ns = slot.mtime_ns;
        match &slot.made {
            Made::LowerLink(lower) => {
                let lower = lower.clone();
                self.hold(lower.as_bytes().len())?;
                self.insert(path, Made::LowerLink(lower), 0, None)
            }
            Made::Entry(entry) if entry.tree().is_some() => Err(refuse("which is a directory")),
            Made::Entry(entry) => {
                let made = Made::Entry(entry.clone());
                let copied = attributes(&entry.meta.xattrs);
                let leader = slot.leader.get_or_insert(target).clone();
                self.hold(copied)?;
                self.insert(path, made, mtime_ns, Some(leader))
            }
        }
    }

    fn put(&mut self, path: TreePath, entry: Entry, mtime_ns: i64) -> Result<(), LayerError> {
        if let Some(slot) = self.slots.get_mut(&path) {
            return redescribe(&path, slot, entry, mtime_ns);
        }
        self.insert(path, Made::Entry(entry), mtime_ns, None)
    }

    fn insert(
        &mut self,
        path: TreePath,
        made: Made,
        mtime_ns: i64,
        leader: Option<TreePath>,
    ) -> Result<(), LayerError> {
        if self.slots.contains_key(&path) {
            return Err(LayerError::Duplicate {
                path: path.to_string(),
            });
        }
        self.describe_parents(&path)?;
        let slot = Slot {
            made,
            mtime_ns,
            described: true,
            leader,
        };
        self.slots.insert(path, slot);
        Ok(())
    }

    /// Makes the directories above `path` that the archive has not described so far.
    fn describe_parents(&mut self, path: &TreePath) -> Result<(), LayerError> {
        let mut inner = path.clone();
        while let Some(parent) = inner.parent().filter(|parent| !parent.is_root()) {
            match self.slots.get(&parent).map(|slot| &slot.made) {
                // Its own parents were made with it.
                Some(Made::Entry(entry)) if entry.tree().is_some() => return Ok(()),
                Some(_) => {
                    return Err(LayerError::UnderFile {
                        path: path.to_string(),
                        parent: parent.to_string(),
                    });
                }
                None => {}
            }
            self.hold(parent.as_bytes().len())?;
            let slot = Slot {
                made: Made::Entry(Entry::dir(Meta::default_dir())),
                mtime_ns: 0,
                described: false,
                leader: None,
            };
            self.slots.insert(parent.clone(), slot);
            inner = parent;
        }
        Ok(())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), LayerError> {
        self.held += bytes as u64;
        if self.held > MAX_HELD {
            return Err(LayerError::Limit {
                limit: MAX_HELD,
                what: "bytes of names, link targets and attributes",
            });
        }
        Ok(())
    }

    /// Ends the layer. `source` tells its hard-link groups from those of other layers.
    ///
    /// # Errors
    /// Refuses hard links to what the layer itself removes.
    pub fn finish(mut self, source: &[u8]) -> Result<Layer, LayerError> {
        let opaque_root = self.opaque.remove(&TreePath::root());
        for path in std::mem::take(&mut self.whiteouts) {
            self.apply_whiteout(path);
        }
        for path in &self.opaque {
            if let Some(Made::Entry(entry)) = self.slots.get_mut(path).map(|slot| &mut slot.made) {
                set_opaque(entry);
            }
        }
        let mut layer = Layer::default();
        layer.open.opaque_root = opaque_root;
        for (path, slot) in self.slots {
            let mut entry = match slot.made {
                Made::Entry(entry) => entry,
                Made::LowerLink(target) => {
                    layer.open.links.push((path, target));
                    continue;
                }
            };
            if let (
                Some(first),
                Target::Regular {
                    link_group: group, ..
                },
            ) = (&slot.leader, &mut entry.target)
            {
                *group = Some(link_group(source, first));
            }
            if !slot.described && entry.tree().is_some() {
                layer.open.implicit.push(path.clone());
            }
            layer.entries.push((path, entry, slot.mtime_ns));
        }
        layer.refuse_removed_targets()?;
        Ok(layer)
    }

    /// A whiteout speaks of lower layers only: an entry of this layer stays and hides them as a whole.
    fn apply_whiteout(&mut self, path: TreePath) {
        match self.slots.get_mut(&path) {
            Some(slot) => {
                // What is below is gone, so there is nothing to inherit from it.
                slot.described = true;
                if let Made::Entry(entry) = &mut slot.made {
                    set_opaque(entry);
                }
            }
            None => {
                let slot = Slot {
                    made: Made::Entry(Entry::whiteout()),
                    mtime_ns: 0,
                    described: true,
                    leader: None,
                };
                self.slots.insert(path, slot);
            }
        }
    }
}

impl Layer {
    fn refuse_removed_targets(&self) -> Result<(), LayerError> {
        if self.open.links.is_empty() {
            return Ok(());
        }
        let hiding = |entry: &Entry| {
            matches!(
                entry.target,
                Target::Whiteout | Target::Dir { opaque: true, .. }
            )
        };
        let hidden = self.entries.iter().filter(|(_, entry, _)| hiding(entry));
        let hidden: BTreeSet<&TreePath> = hidden.map(|(path, ..)| path).collect();
        for (path, target) in &self.open.links {
            let mut above = std::iter::successors(Some(target.clone()), TreePath::parent);
            if self.open.opaque_root || above.any(|place| hidden.contains(&place)) {
                return Err(LayerError::HardLink {
                    path: path.to_string(),
                    target: target.to_string(),
                    problem: "which the layer removes",
                });
            }
        }
        Ok(())
    }
}

/// Counts what an entry keeps in memory until the layer ends.
fn bytes_of(entry: &TarEntry) -> usize {
    let target = match &entry.kind {
        TarKind::Symlink { target } => target.len(),
        TarKind::HardLink { target } => target.as_bytes().len(),
        _ => 0,
    };
    entry.path.as_bytes().len() + target + attributes(&entry.xattrs)
}

fn attributes(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> usize {
    let lengths = xattrs.iter().map(|(name, value)| name.len() + value.len());
    lengths.sum()
}

/// A directory may be described after its children, or again in the same words, as some builders do.
fn redescribe(
    path: &TreePath,
    slot: &mut Slot,
    entry: Entry,
    mtime_ns: i64,
) -> Result<(), LayerError> {
    let both_dirs =
        matches!(&slot.made, Made::Entry(old) if old.tree().is_some()) && entry.tree().is_some();
    let same = matches!(&slot.made, Made::Entry(old) if old.meta == entry.meta);
    if !both_dirs || (slot.described && !same) {
        return Err(LayerError::Duplicate {
            path: path.to_string(),
        });
    }
    slot.made = Made::Entry(entry);
    slot.mtime_ns = mtime_ns;
    slot.described = true;
    Ok(())
}

fn set_opaque(entry: &mut Entry) {
    if let Target::Dir { opaque, .. } = &mut entry.target {
        *opaque = true;
    }
}

#[cfg(test)]
mod tests;
