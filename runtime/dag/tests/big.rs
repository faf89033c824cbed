//! Big directories: the same tree whatever the history, at a cost that follows the edit.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::*;
use hd_dag::*;
use proptest::prelude::*;

fn name(number: usize) -> TreePath {
    path(&format!("d/file-{number:06}.rs"))
}

fn put_number(number: usize, version: u8) -> Edit {
    Edit::Put {
        path: name(number),
        entry: file(&format!("{number} {version}")),
        mtime_ns: i64::from(version),
    }
}

#[derive(Clone, Debug)]
enum Bulk {
    Put(usize, usize, u8),
    Remove(usize, usize),
    File,
}

impl Bulk {
    fn edits(&self) -> Vec<Edit> {
        match self {
            Self::Put(from, length, version) => (*from..from + length)
                .map(|n| put_number(n, *version))
                .collect(),
            Self::Remove(from, length) => {
                let paths = (*from..from + length).map(name);
                paths.map(|path| Edit::Remove { path }).collect()
            }
            Self::File => vec![put("d", file("no directory"), 0)],
        }
    }
}

fn any_bulk() -> impl Strategy<Value = Bulk> {
    let range = || (0..900usize, prop_oneof![1..3usize, 1..700usize]);
    prop_oneof![
        8 => (range(), 0..2u8).prop_map(|((from, n), v)| Bulk::Put(from, n, v)),
        8 => range().prop_map(|(from, n)| Bulk::Remove(from, n)),
        1 => Just(Bulk::File),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn crossing_the_split_threshold_leaves_no_history(
        bulks in prop::collection::vec(any_bulk(), 1..8),
    ) {
        let trees = MemoryTrees::new();
        let mut model = Model::new();
        let mut root = Rooted::empty();
        for bulk in bulks {
            let edits = bulk.edits();
            edits.iter().for_each(|edit| edit_model(&mut model, edit));
            let (next, delta) = apply(&trees, &root, edits).unwrap();
            prop_assert_eq!(next, from_model(&trees, &model));
            prop_assert_eq!(&delta.changes, &diff(&trees, &root.tree, &next.tree).unwrap());
            root = next;
        }
        prop_assert_eq!(to_model(&trees, &root), model);
    }
}

fn numbered(count: usize) -> Model {
    let dir = (path("d"), (dir(), 0));
    let files = (0..count).map(|n| (name(n), (file(&format!("{n} 0")), 0)));
    std::iter::once(dir).chain(files).collect()
}

/// Collects the last names of all nodes of a split directory, which are where it is cut.
fn boundaries(trees: &dyn Trees, id: &hd_store::Id, out: &mut Vec<TreePath>) {
    if let MapNode::Index { children, .. } = trees.tree_node(id).unwrap().as_ref() {
        for child in children {
            out.push(path("d").join(&child.last));
            boundaries(trees, &child.id, out);
        }
    }
}

#[test]
fn removing_and_restoring_boundaries_gives_the_tree_from_scratch() {
    let trees = MemoryTrees::new();
    let full = numbered(40_000);
    let start = from_model(&trees, &full);
    let directory = subtree(&trees, &start, &path("d")).unwrap().unwrap().tree;
    assert_eq!(trees.tree_node(&directory).unwrap().level(), 3);
    let mut cuts = Vec::new();
    boundaries(&trees, &directory, &mut cuts);
    cuts.sort();
    cuts.dedup();
    let (mut model, mut root) = (full.clone(), start);
    for (round, cuts) in cuts.chunks(151).enumerate() {
        let edits: Vec<_> = cuts
            .iter()
            .map(|path| Edit::Remove { path: path.clone() })
            .collect();
        edits
            .iter()
            .for_each(|edit| drop(model.remove(edit.path())));
        root = apply(&trees, &root, edits).unwrap().0;
        if round % 3 == 0 {
            assert_eq!(root, from_model(&trees, &model), "round {round}");
        }
    }
    let restore = cuts.iter().map(|path| {
        let (entry, mtime_ns) = full[path].clone();
        Edit::Put {
            path: path.clone(),
            entry,
            mtime_ns,
        }
    });
    assert_eq!(apply(&trees, &root, restore).unwrap().0, start);
}

#[test]
fn shrinking_from_many_levels_to_none() {
    let trees = MemoryTrees::new();
    let mut root = from_model(&trees, &numbered(9_000));
    for keep in [5_000, 4_000, 700, 257, 256, 3, 0] {
        let gone = (keep..9_000).map(|n| Edit::Remove { path: name(n) });
        root = apply(&trees, &root, gone).unwrap().0;
        assert_eq!(root, from_model(&trees, &numbered(keep)), "{keep} left");
    }
}

#[test]
fn an_edit_among_100_000_entries_moves_little() {
    let trees = Counting::default();
    let old = from_model(&trees, &numbered(100_000));
    trees.take();
    let mut worst = Count::default();
    for number in [0, 1, 777, 31_415, 50_000, 77_777, 99_998, 99_999] {
        let (new, delta) = apply(&trees, &old, [put_number(number, 9)]).unwrap();
        let cost = trees.take();
        assert_eq!(delta.changes.len(), 1);
        assert!(cost.loaded + cost.saved < 64 << 10, "{number}: {cost:?}");
        assert!(cost.loads <= 24 && cost.saves <= 10, "{number}: {cost:?}");
        worst = if cost.loaded > worst.loaded {
            cost
        } else {
            worst
        };
        assert_eq!(diff(&trees, &old.tree, &new.tree).unwrap(), delta.changes);
        let cost = trees.take();
        assert!(
            cost.loaded < 64 << 10 && cost.loads <= 12,
            "{number}: {cost:?}"
        );
    }
    println!("the edit that loads most: {worst:?}");
    let (_, delta) = apply(&trees, &old, [Edit::Remove { path: name(4) }]).unwrap();
    assert_eq!(delta.changes.len(), 1);
    assert!(trees.take().loaded < 64 << 10);
}

#[test]
fn a_split_directory_is_served_from_the_cache() {
    let trees = std::sync::Arc::new(Counting::default());
    let root = from_model(trees.as_ref(), &numbered(5_000));
    let tree = subtree(trees.as_ref(), &root, &path("d"))
        .unwrap()
        .unwrap()
        .tree;
    let cache = NodeCache::new(trees.clone(), 8 << 20);
    trees.take();
    let found = cache.lookup(&tree, b"file-000777.rs").unwrap();
    assert_eq!(found, Some(file("777 0")));
    assert!(trees.take().loads <= 3);
    let directory = cache.directory(&tree).unwrap();
    assert_eq!(directory.len(), 5_000);
    for number in [0, 63, 64, 255, 256, 4_999] {
        let text = format!("file-{number:06}.rs");
        assert_eq!(
            directory.get(text.as_bytes()),
            Some(&file(&format!("{number} 0")))
        );
        let (name, _) = directory.at(number).unwrap();
        assert_eq!(name.as_bytes(), text.as_bytes());
    }
    assert_eq!(directory.get(b"file-"), None);
    assert_eq!(directory.get(b"zzz"), None);
    assert!(directory.at(5_000).is_none());
    assert_eq!(directory.iter().count(), 5_000);
    assert_eq!(directory.iter_from(4_990).count(), 10);
    trees.take();
    assert_eq!(cache.directory(&tree).unwrap().len(), 5_000);
    assert!(cache.lookup(&tree, b"nothing").unwrap().is_none());
    assert_eq!(trees.take(), Count::default());
    assert!(cache.directory(&empty_tree()).unwrap().is_empty());
}
