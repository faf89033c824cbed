//! The project tree from what a scan found: pure.

use std::collections::BTreeSet;

use hd_dag::{
    Change, Edit, Entry, Meta, Rooted, Target, TreeError, TreePath, Trees, apply, build, diff,
};
use hd_store::scan::{PathsReport, Scanned, ScannedKind};

use crate::messages::Found;
use crate::model::project_tree::{ProjectTree, Size};

/// The project tree after a batch.
#[derive(Clone, Debug)]
pub struct Advanced {
    /// The new tree.
    pub project: ProjectTree,
    /// What changed, sorted by path; nothing when there was no tree before.
    pub changed: Vec<Change>,
}

/// Brings a project tree, if one is known, up to what was found.
///
/// Project files carry no owner: the same project is the same tree whoever checked it out.
pub fn advance(
    trees: &dyn Trees,
    old: Option<ProjectTree>,
    found: &Found,
) -> Result<Advanced, TreeError> {
    let project = match found {
        Found::All(all) => whole(trees, all)?,
        Found::Since(known, report) => edited(trees, known, report)?.project,
        Found::Some(report) => {
            let empty = ProjectTree {
                rooted: Rooted::empty(),
                size: Size::default(),
            };
            return edited(trees, &old.unwrap_or(empty), report);
        }
    };
    let changed = match old {
        Some(old) => diff(trees, &old.rooted.tree, &project.rooted.tree)?,
        None => Vec::new(),
    };
    Ok(Advanced { project, changed })
}

fn whole(trees: &dyn Trees, all: &[Scanned]) -> Result<ProjectTree, TreeError> {
    let mut size = Size::default();
    for item in all {
        if let ScannedKind::Regular { size: bytes, .. } = item.kind {
            size.files += 1;
            size.bytes += bytes;
        }
    }
    let entries = all
        .iter()
        .filter(|item| !item.path.is_empty())
        .filter_map(entry);
    let rooted = build(trees, entries)?;
    Ok(ProjectTree { rooted, size })
}

fn edited(
    trees: &dyn Trees,
    old: &ProjectTree,
    report: &PathsReport,
) -> Result<Advanced, TreeError> {
    let (rooted, delta) = apply(trees, &old.rooted, edits(report))?;
    let mut size = old.size;
    delta
        .changes
        .iter()
        .for_each(|change| count(&mut size, change));
    Ok(Advanced {
        project: ProjectTree { rooted, size },
        changed: delta.changes,
    })
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

/// Takes over a change, so that counting costs what the edit costs.
fn count(size: &mut Size, change: &Change) {
    let of = |entry: &Option<Entry>| match entry {
        Some(Entry {
            target: Target::Regular { size, .. },
            ..
        }) => (1, *size),
        _ => (0, 0),
    };
    let ((files, bytes), (old_files, old_bytes)) = (of(&change.new), of(&change.old));
    size.files = (size.files + files).saturating_sub(old_files);
    size.bytes = (size.bytes + bytes).saturating_sub(old_bytes);
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
            let mut tree = advance(&trees, None, &Found::All(Vec::new())).unwrap().project;
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
                    let report = std::mem::take(&mut batch);
                    // Whether a tree is known or remembered, the outcome is the same.
                    let since = advance(&trees, None, &Found::Since(tree, report.clone())).unwrap();
                    tree = advance(&trees, Some(tree), &Found::Some(report)).unwrap().project;
                    prop_assert_eq!(since.project, tree);
                }
            }
            let scratch = advance(&trees, None, &all(&files)).unwrap().project;
            prop_assert_eq!(tree, scratch);
        }
    }
}
