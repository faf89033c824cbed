//! Traces: recorded, encoded, checked directly and through a diff.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::*;
use hd_dag::trace::*;
use hd_dag::*;
use hd_store::Id;
use proptest::prelude::*;

/// Looks paths up, and lists those that are directories, as a step on `tree` would.
fn observe(trees: &dyn Trees, tree: Id, paths: &[(TreePath, bool)]) -> Trace {
    let world = TreeWorld::new(trees, tree);
    let mut trace = Trace::new();
    for (path, lists) in paths {
        // The kernel looks every component up.
        let mut at = TreePath::root();
        for name in path.names() {
            at.push(&name);
            let seen = world.lookup(&at).unwrap();
            assert!(trace.record(at.clone(), Observation::Lookup(seen)));
        }
        if let (true, Some(digest)) = (*lists, world.list(path).unwrap()) {
            assert!(trace.record(path.clone(), Observation::List(digest)));
        }
    }
    trace
}

fn any_observed() -> impl Strategy<Value = Vec<(TreePath, bool)>> {
    let path = prop_oneof![1 => Just(TreePath::root()), 9 => any_path()];
    prop::collection::vec((path, any::<bool>()), 0..12)
}

fn host_seen() -> impl Strategy<Value = Seen> {
    let numbers = (any::<u64>(), any::<u64>(), any::<i64>(), any::<i64>());
    prop_oneof![
        Just(Seen::HostAbsent),
        (any::<u32>(), any::<u32>()).prop_map(|(mode, uid)| Seen::HostDir {
            mode,
            uid,
            gid: uid
        }),
        numbers.prop_map(|(dev, ino, mtime_ns, ctime_ns)| Seen::HostFile {
            dev,
            ino,
            size: dev ^ ino,
            mtime_ns,
            ctime_ns
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_diff_tells_what_a_check_tells(
        start in any_model(),
        edits in prop::collection::vec(any_edit(), 0..8),
        observed in any_observed(),
    ) {
        let trees = MemoryTrees::new();
        let old = from_model(&trees, &start);
        let (new, delta) = apply(&trees, &old, edits).unwrap();
        let trace = observe(&trees, old.tree, &observed);
        prop_assert_eq!(check(&trace, &TreeWorld::new(&trees, old.tree)).unwrap(), Verdict::Valid);
        let world = TreeWorld::new(&trees, new.tree);
        let by_diff = touched_by(&trace, &delta.changes);
        match (check(&trace, &world).unwrap(), by_diff) {
            (Verdict::Valid, None) => {}
            (Verdict::Missed { first, .. }, Some(mut miss)) => {
                miss.evaluate(&world).unwrap();
                prop_assert_eq!(*first, miss);
            }
            (verdict, miss) => prop_assert!(false, "{verdict:?} {miss:?}"),
        }
    }

    #[test]
    fn traces_survive_their_encoding(
        start in any_model(),
        observed in any_observed(),
        host in prop::collection::vec((any_path(), host_seen()), 0..5),
    ) {
        let trees = MemoryTrees::new();
        let root = from_model(&trees, &start);
        let mut trace = observe(&trees, root.tree, &observed);
        for (path, seen) in host {
            trace.record(path, Observation::Lookup(seen));
        }
        let bytes = trace.encode();
        prop_assert_eq!(Trace::decode(&bytes).unwrap(), trace);
    }
}

#[test]
fn what_counts_as_observed() {
    let trees = MemoryTrees::new();
    let base = [
        ("d", dir()),
        ("d/f", file("1")),
        ("d/sub", dir()),
        ("other", file("x")),
    ];
    let old = tree(&trees, &base);
    let lookups = ["d", "d/f", "d/none", "gone/deep/name"];
    let observed: Vec<_> = lookups.iter().map(|p| (path(p), false)).collect();
    let trace = observe(&trees, old.tree, &observed);
    let table: [(Vec<Edit>, Option<&str>); 10] = [
        (vec![put("d/f", file("1"), 99)], None),
        (vec![put("d/f", file("2"), 0)], Some("d/f")),
        (vec![put("d", dir(), 99)], None),
        (vec![put("d", Entry::dir(Meta::new(0o700)), 0)], Some("d")),
        (vec![put("d/new", file("1"), 0)], None),
        (vec![put("d/none", file("1"), 0)], Some("d/none")),
        (vec![remove("d/sub"), remove("other")], None),
        (vec![put("d", Entry::symlink(0, 0, "x"), 0)], Some("d")),
        (vec![put("gone", file("x"), 0)], Some("gone")),
        (vec![put("gone/deep/other", file("x"), 0)], Some("gone")),
    ];
    for (edits, expected) in table {
        let (new, delta) = apply(&trees, &old, edits.clone()).unwrap();
        let found = match check(&trace, &TreeWorld::new(&trees, new.tree)).unwrap() {
            Verdict::Valid => None,
            Verdict::Missed { first, .. } => Some(first.path),
        };
        assert_eq!(found, expected.map(path), "{edits:?}");
        assert_eq!(
            touched_by(&trace, &delta.changes).map(|miss| miss.path),
            found,
            "{edits:?}"
        );
    }
}

#[test]
fn below_a_file_everything_is_absent() {
    let trees = MemoryTrees::new();
    let root = tree(
        &trees,
        &[("f", file("1")), ("l", Entry::symlink(0, 0, "f"))],
    );
    let world = TreeWorld::new(&trees, root.tree);
    for text in ["f/x", "l/x/y", "none/x"] {
        assert_eq!(world.lookup(&path(text)).unwrap(), Seen::Absent);
        assert_eq!(world.list(&path(text)).unwrap(), None);
    }
}

#[test]
fn a_contradiction_is_noticed_and_the_first_observation_stays() {
    let mut trace = Trace::new();
    let seen = Seen::Entry { id: Id::of(b"1") };
    assert!(trace.record(path("a"), Observation::Lookup(seen)));
    assert!(trace.record(path("a"), Observation::Lookup(seen)));
    assert!(!trace.record(path("a"), Observation::Lookup(Seen::Absent)));
    assert_eq!(trace.get(&path("a")).unwrap().lookup, Some(seen));
    let mut other = Trace::new();
    other.record(path("b"), Observation::Lookup(Seen::HostAbsent));
    assert!(trace.extend(&other));
    assert_eq!((trace.len(), trace.on_host().count()), (2, 1));
}

#[test]
fn two_thousand_observations_are_compact() {
    let mut trace = Trace::new();
    for n in 0..2_000 {
        let at = format!(
            "usr/lib/python3.12/site-packages/package-{}/module_{n}.py",
            n / 20
        );
        trace.record(path(&at), Observation::Lookup(Seen::Absent));
    }
    assert!(trace.encode().len() < 2_000 * 16);
}
