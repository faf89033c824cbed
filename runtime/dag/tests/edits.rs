//! Laws of `build`, `apply` and `diff`.

mod common;

use common::*;
use hd_dag::*;
use proptest::prelude::*;

/// Cuts edits into batches of the given sizes, the rest into one.
fn batches(mut edits: Vec<Edit>, sizes: &[usize]) -> Vec<Vec<Edit>> {
    let mut out = Vec::new();
    for size in sizes {
        let rest = edits.split_off((*size).min(edits.len()));
        out.push(std::mem::replace(&mut edits, rest));
    }
    out.push(edits);
    out
}

/// Applies a delta to a model: if it is complete, the model of the new tree results.
fn follow(model: &mut Model, changes: &[Change]) {
    for change in changes {
        let there = model.get(&change.path).map(|(entry, _)| entry.clone());
        assert_eq!(there, change.old.clone().map(plain), "at {}", change.path);
        match &change.new {
            Some(entry) => drop(model.insert(change.path.clone(), (plain(entry.clone()), 0))),
            None => drop(model.remove(&change.path)),
        }
    }
}

fn without_times(model: Model) -> Model {
    model
        .into_iter()
        .map(|(path, (entry, _))| (path, (entry, 0)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_built_is_read_back(model in any_model()) {
        let trees = MemoryTrees::new();
        let root = from_model(&trees, &model);
        prop_assert_eq!(to_model(&trees, &root), model.clone());
        for (path, (entry, mtime_ns)) in &model {
            let (found, stamp) = get_stamped(&trees, &root, path).unwrap().unwrap();
            prop_assert_eq!((&plain(found), stamp.mtime_ns), (entry, *mtime_ns));
        }
    }

    #[test]
    fn any_grouping_of_edits_gives_the_tree_from_scratch(
        start in any_model(),
        edits in prop::collection::vec(any_edit(), 0..30),
        sizes in prop::collection::vec(0..8usize, 0..8),
    ) {
        let trees = MemoryTrees::new();
        let mut model = start.clone();
        edits.iter().for_each(|edit| edit_model(&mut model, edit));
        let scratch = from_model(&trees, &model);
        let mut root = from_model(&trees, &start);
        for batch in batches(edits, &sizes) {
            let (next, delta) = apply(&trees, &root, batch).unwrap();
            prop_assert_eq!(&delta.changes, &diff(&trees, &root.tree, &next.tree).unwrap());
            root = next;
        }
        prop_assert_eq!(to_model(&trees, &root), model);
        prop_assert_eq!(root, scratch);
    }

    #[test]
    fn a_diff_leads_from_one_tree_to_the_other(a in any_model(), b in any_model()) {
        let trees = MemoryTrees::new();
        let (left, right) = (from_model(&trees, &a), from_model(&trees, &b));
        let changes = diff(&trees, &left.tree, &right.tree).unwrap();
        prop_assert!(changes.windows(2).all(|pair| pair[0].path < pair[1].path));
        let mut followed = without_times(a);
        follow(&mut followed, &changes);
        prop_assert_eq!(followed, without_times(b));
        let back = diff(&trees, &right.tree, &left.tree).unwrap();
        let turned: Vec<_> = back
            .into_iter()
            .map(|Change { path, old, new }| Change { path, old: new, new: old })
            .collect();
        prop_assert_eq!(turned, changes);
        prop_assert!(diff(&trees, &left.tree, &left.tree).unwrap().is_empty());
    }
}

#[test]
fn edits_count_as_made_one_after_the_other() {
    let trees = MemoryTrees::new();
    let table = [
        (
            vec![put("a/b", file("1"), 1), remove("a/b")],
            vec![("a", 0)],
        ),
        (
            vec![put("a", file("1"), 1), put("a/b", file("2"), 2)],
            vec![("a", 0), ("a/b", 2)],
        ),
        (
            vec![put("a/b", file("1"), 1), put("a", dir(), 7)],
            vec![("a", 7), ("a/b", 1)],
        ),
        (
            vec![put("a/b", file("1"), 1), remove("a"), put("a", dir(), 7)],
            vec![("a", 7)],
        ),
        (vec![remove("a/b")], vec![]),
        (vec![put("a/b", file("1"), 1), remove("")], vec![]),
    ];
    for (edits, expected) in table {
        let (root, _) = apply(&trees, &Rooted::empty(), edits.clone()).unwrap();
        let found = to_model(&trees, &root);
        let found: Vec<_> = found.iter().map(|(p, (_, t))| (p.clone(), *t)).collect();
        let expected: Vec<_> = expected.iter().map(|(p, t)| (path(p), *t)).collect();
        assert_eq!(found, expected, "{edits:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let trees = MemoryTrees::new();
    let full = tree(&trees, &[("x", file("1"))]);
    let content = Entry::dir_of(Meta::new(0o755), full.tree);
    let put_tree = apply(&trees, &full, [put("d", content, 0)]).unwrap_err();
    assert!(matches!(put_tree, TreeError::PutTree { .. }));
    let root_file = apply(&trees, &full, [put("", file("1"), 0)]).unwrap_err();
    assert!(matches!(root_file, TreeError::RootKind));
    let unsorted = [(path("b"), file("1"), 0), (path("a"), file("1"), 0)];
    let unsorted = build(&trees, unsorted).unwrap_err();
    assert!(matches!(unsorted, TreeError::Unsorted { .. }));
    let below = [(path("a"), file("1"), 0), (path("a/b"), file("1"), 0)];
    let below = build(&trees, below).unwrap_err();
    assert!(matches!(below, TreeError::BelowFile { .. }));
}

#[test]
fn entries_are_stored_in_one_form() {
    let trees = MemoryTrees::new();
    let odd = |target| Entry {
        meta: Meta {
            mode: 0o100_644,
            ..Meta::default()
        },
        target,
    };
    let link = Target::Symlink {
        target: b"x".to_vec(),
    };
    let entries = [
        (path("f"), odd(Target::Fifo), 0),
        (path("l"), odd(link), 0),
        (path("w"), odd(Target::Whiteout), 0),
    ];
    let root = build(&trees, entries.clone()).unwrap();
    let modes: Vec<_> = list(&trees, &root.tree)
        .unwrap()
        .map(|item| item.unwrap().1.meta.mode)
        .collect();
    assert_eq!(modes, [0o644, 0o777, 0]);
    let edits = entries.map(|(path, entry, mtime_ns)| Edit::Put {
        path,
        entry,
        mtime_ns,
    });
    let (again, delta) = apply(&trees, &root, edits).unwrap();
    assert_eq!((again, delta), (root, Delta::default()));
}

#[test]
fn empty_trees_are_stored_when_they_result() {
    let trees = MemoryTrees::new();
    let (empty, _) = apply(&trees, &Rooted::empty(), []).unwrap();
    assert_eq!(empty, Rooted::empty());
    assert!(trees.load(hd_store::NodeKind::Tree, &empty.tree).is_ok());
    assert!(trees.load(hd_store::NodeKind::Times, &empty.times).is_ok());
}

#[test]
fn a_touch_changes_times_and_nothing_else() {
    let trees = MemoryTrees::new();
    let old = tree(&trees, &[("a", dir()), ("a/f", file("1"))]);
    let (new, delta) = apply(&trees, &old, [put("a/f", file("1"), 99)]).unwrap();
    assert_eq!(old.tree, new.tree);
    assert_ne!(old.times, new.times);
    assert!(delta.is_empty());
}

#[test]
fn a_graft_replaces_and_its_subtree_comes_back() {
    let trees = MemoryTrees::new();
    let root = tree(&trees, &[("w", dir()), ("w/x", file("old"))]);
    let project = tree(&trees, &[("src", dir()), ("src/y", file("new"))]);
    let meta = Meta::owned(0o700, 5, 6);
    let at = path("w/x/deep");
    let new = graft(&trees, &root, &at, &project, &meta, 42).unwrap();
    assert_eq!(subtree(&trees, &new, &at).unwrap(), Some(project));
    let (entry, stamp) = get_stamped(&trees, &new, &at).unwrap().unwrap();
    assert_eq!((entry.meta, stamp.mtime_ns), (meta, 42));
    assert_eq!(
        graft(&trees, &root, &TreePath::root(), &project, &Meta::new(0), 0).unwrap(),
        project
    );
    let edit = Edit::Graft {
        path: at,
        meta: Meta::owned(0o700, 5, 6),
        mtime_ns: 42,
        subtree: project,
    };
    let (applied, delta) = apply(&trees, &root, [edit]).unwrap();
    assert_eq!(applied, new);
    assert_eq!(delta.changes, diff(&trees, &root.tree, &new.tree).unwrap());
    assert!(delta.touches(&path("w/x/deep/src")) && !delta.touches(&path("v")));
}

#[test]
fn raised_times_reach_changed_paths_only() {
    let trees = MemoryTrees::new();
    let old = tree(
        &trees,
        &[
            ("a", file("1")),
            ("b", file("1")),
            ("d", dir()),
            ("gone", file("1")),
        ],
    );
    let edits = [
        put("a", file("2"), 3),
        put("d/f", file("3"), 900),
        remove("gone"),
    ];
    let (new, delta) = apply(&trees, &old, edits).unwrap();
    let raised = raise_times(&trees, &new, &delta.changes, 500).unwrap();
    assert_eq!(raised.tree, new.tree);
    let times: Vec<_> = to_model(&trees, &raised)
        .into_iter()
        .map(|(p, (_, t))| (p, t))
        .collect();
    let expected = [("a", 500), ("b", 1), ("d", 2), ("d/f", 900)];
    assert_eq!(times, expected.map(|(p, t)| (path(p), t)));
}

#[test]
fn what_is_as_it_was_seen_shows_the_time_it_showed() {
    let trees = MemoryTrees::new();
    let seen = tree(
        &trees,
        &[
            ("a", file("1")),
            ("d", dir()),
            ("d/same", file("1")),
            ("e", dir()),
            ("e/gone", file("1")),
            ("f", file("1")),
            ("g", dir()),
            ("g/below", file("1")),
        ],
    );
    // Everything was touched, and something is another.
    let touched = |p: &str, entry: Entry, mtime_ns| Edit::Put {
        path: path(p),
        entry,
        mtime_ns,
    };
    let edits = [
        touched("a", file("2"), 700),
        touched("d", dir(), 700),
        touched("d/same", file("1"), 700),
        touched("d/new", file("3"), 900),
        remove("e/gone"),
        touched("f", dir(), 700),
        touched("f/in", file("4"), 700),
        touched("g", file("5"), 3),
    ];
    let (now, delta) = apply(&trees, &seen, edits).unwrap();
    let shown = times_since(&trees, &seen, &now, &delta.changes, 800, &|_, _| Ok(false)).unwrap();
    assert_eq!(shown.tree, now.tree);
    let before = to_model(&trees, &seen);
    let was = |p: &str| before[&path(p)].1;
    let expected = [
        ("a", 800),
        ("d", 800),
        ("d/new", 900),
        ("d/same", was("d/same")),
        ("e", 800),
        ("f", 800),
        ("f/in", 800),
        ("g", 800),
    ];
    let times: Vec<_> = to_model(&trees, &shown)
        .into_iter()
        .map(|(p, (_, t))| (p, t))
        .collect();
    assert_eq!(times, expected.map(|(p, t)| (path(p), t)));
    // Nothing changed since: the same once more, whatever the clock and the files say.
    let again = times_since(&trees, &shown, &now, &[], 5000, &|_, _| Ok(false)).unwrap();
    assert_eq!(again, shown);
    // An output of a step has its own time, where that is later.
    let is_output = |p: &TreePath, _: &Entry| Ok(*p == path("d/same") || *p == path("g"));
    let outputs = times_since(&trees, &shown, &now, &[], 5000, &is_output).unwrap();
    let times = to_model(&trees, &outputs);
    let time = |p: &str| times[&path(p)].1;
    assert_eq!((time("d/same"), time("g"), time("a")), (700, 800, 800));
}

#[test]
fn a_touched_name_of_a_hard_link_gets_its_time_and_stays_one() {
    let trees = MemoryTrees::new();
    let linked = |text: &str| {
        let mut entry = file(text);
        if let Target::Regular { link_group, .. } = &mut entry.target {
            *link_group = Some(7);
        }
        entry
    };
    let all = [("a", linked("1")), ("b", linked("1")), ("c", linked("2"))];
    let now = tree(&trees, &all);
    let before = to_model(&trees, &now);
    let touched = ["a", "c"].map(|name| {
        Ok(WalkItem {
            path: path(name),
            entry: file("1"),
            mtime_ns: 900,
        })
    });
    let retimed = to_model(&trees, &retime(&trees, &now, touched).unwrap());
    let found = |name: &str| retimed[&path(name)].clone();
    assert_eq!(found("a"), (linked("1"), 900));
    assert_eq!(found("b"), before[&path("b")], "the other name");
    assert_eq!(found("c"), before[&path("c")], "another file by now");
}
