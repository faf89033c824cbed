//! The project tree from what a scan found: pure.

use std::collections::BTreeSet;

use hd_dag::{
    Change, Edit, Entry, Meta, Rooted, Target, TreeError, TreePath, Trees, apply, build, diff, walk,
};
use hd_store::scan::{PathsReport, Scanned, ScannedKind};

use crate::messages::Found;

/// The project tree after a batch.
#[derive(Clone, Debug)]
pub struct Advanced {
    /// The new tree.
    pub tree: Rooted,
    /// What changed, sorted by path.
    pub changed: Vec<Change>,
}

/// Brings a project tree up to what was found.
///
/// Project files carry no owner: the same project is the same tree whoever checked it out.
pub fn advance(trees: &dyn Trees, old: Rooted, found: &Found) -> Result<Advanced, TreeError> {
    match found {
        Found::All(all) => {
            let entries = all
                .iter()
                .filter(|item| !item.path.is_empty())
                .filter_map(entry);
            let tree = build(trees, entries)?;
            let changed = if tree.tree == old.tree {
                Vec::new()
            } else {
                diff(trees, &old.tree, &tree.tree)?
            };
            Ok(Advanced { tree, changed })
        }
        Found::Some(report) => {
            let (tree, delta) = apply(trees, &old, edits(report))?;
            Ok(Advanced {
                tree,
                changed: delta.changes,
            })
        }
    }
}

fn edits(report: &PathsReport) -> Vec<Edit> {
    let mut edits = Vec::new();
    let removed: BTreeSet<&Vec<u8>> = report.gone.iter().chain(&report.walked).collect();
    for path in removed {
        if let Ok(path) = TreePath::new(path)
            && !path.is_root()
        {
            edits.push(Edit::Remove { path });
        }
    }
    edits.extend(
        report
            .present
            .iter()
            .filter(|item| !item.path.is_empty())
            .filter_map(entry)
            .map(put),
    );
    edits
}

fn put((path, entry, mtime_ns): (TreePath, Entry, i64)) -> Edit {
    Edit::Put {
        path,
        entry,
        mtime_ns,
    }
}

fn entry(item: &Scanned) -> Option<(TreePath, Entry, i64)> {
    let path = TreePath::new(&item.path).ok()?;
    let meta = Meta {
        mode: item.mode,
        uid: 0,
        gid: 0,
        xattrs: item.xattrs.clone(),
    };
    let entry = match &item.kind {
        ScannedKind::Regular { blob, size } => Entry::regular(meta, *blob, *size),
        ScannedKind::Dir => Entry::dir(meta),
        ScannedKind::Symlink { target } => Entry::symlink(0, 0, target.clone()),
        ScannedKind::Fifo => Entry {
            meta,
            target: Target::Fifo,
        },
        ScannedKind::Char { rdev } => Entry {
            meta,
            target: Target::Char { rdev: *rdev },
        },
        ScannedKind::Block { rdev } => Entry {
            meta,
            target: Target::Block { rdev: *rdev },
        },
    };
    Some((path, entry, item.mtime_ns))
}

/// Files of a project and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Size {
    /// Counts a whole tree.
    pub fn of(trees: &dyn Trees, tree: &Rooted) -> Result<Self, TreeError> {
        let mut size = Self::default();
        for item in walk(trees, tree)? {
            size.add(Some(&item?.entry));
        }
        Ok(size)
    }

    /// Takes over a change, so that counting costs what the edit costs.
    pub fn change(&mut self, change: &Change) {
        let mut old = Self::default();
        old.add(change.old.as_ref());
        self.add(change.new.as_ref());
        self.files = self.files.saturating_sub(old.files);
        self.bytes = self.bytes.saturating_sub(old.bytes);
    }

    fn add(&mut self, entry: Option<&Entry>) {
        if let Some(Entry {
            target: Target::Regular { size, .. },
            ..
        }) = entry
        {
            self.files += 1;
            self.bytes += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hd_dag::MemoryTrees;
    use hd_store::Id;
    use proptest::prelude::*;

    use super::*;

    fn file(path: &str, content: u8) -> Scanned {
        let kind = ScannedKind::Regular {
            blob: Id::of(&[content]),
            size: u64::from(content),
        };
        Scanned {
            path: path.into(),
            kind,
            mode: 0o644,
            mtime_ns: 1,
            xattrs: BTreeMap::new(),
        }
    }

    fn all(files: &BTreeMap<String, u8>) -> Found {
        Found::All(
            files
                .iter()
                .map(|(path, content)| file(path, *content))
                .collect(),
        )
    }

    proptest! {
        /// Invariant 1: the incremental root equals the root of a scan from scratch.
        #[test]
        fn batches_give_the_tree_of_a_scan_from_scratch(
            edits in prop::collection::vec((0u8..12, prop::option::of(0u8..5)), 0..40),
            cuts in prop::collection::vec(any::<bool>(), 40),
        ) {
            let trees = MemoryTrees::new();
            let mut files: BTreeMap<String, u8> = BTreeMap::new();
            let mut tree = Rooted::empty();
            let mut size = Size::default();
            let mut batch = PathsReport::default();
            let mut touched: BTreeMap<String, Option<u8>> = BTreeMap::new();
            for (at, (name, content)) in edits.iter().enumerate() {
                let name = format!("f{name}");
                match content {
                    Some(content) => drop(files.insert(name.clone(), *content)),
                    None => drop(files.remove(&name)),
                }
                touched.insert(name, *content);
                if cuts[at] || at + 1 == edits.len() {
                    for (name, content) in std::mem::take(&mut touched) {
                        match content {
                            Some(content) => batch.present.push(file(&name, content)),
                            None => batch.gone.push(name.into_bytes()),
                        }
                    }
                    let advanced = advance(&trees, tree, &Found::Some(std::mem::take(&mut batch))).unwrap();
                    advanced.changed.iter().for_each(|change| size.change(change));
                    tree = advanced.tree;
                }
            }
            let scratch = advance(&trees, Rooted::empty(), &all(&files)).unwrap().tree;
            prop_assert_eq!(tree.tree, scratch.tree);
            prop_assert_eq!(size, Size::of(&trees, &scratch).unwrap());
        }
    }
}
