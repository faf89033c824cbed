//! Collections that give up, that spare what is leased, and that keep within a budget.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::fs;
use std::time::Duration;

use common::{TextLinks, assert_whole, disk, pin, put_tree};
use hd_store::{Error, GcOptions, Id, Link, NodeKind, Store};

#[test]
fn a_collection_gives_up_on_a_writer_that_does_not_end_and_names_it() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let (dead, _) = put_tree(&store, 1, 3, 70_000);
    let impatient = GcOptions {
        wait: Duration::ZERO,
        ..GcOptions::new(0)
    };
    let mut writer = store.writer().unwrap();
    let node = writer.put_node(NodeKind::Tree, b"# mine").unwrap();
    for _ in 0..2 {
        let Err(Error::Busy { holders, .. }) = store.gc(&TextLinks, &impatient) else {
            panic!("it did not wait");
        };
        assert_eq!(holders, [std::process::id()]);
        assert!(store.contains(&dead).unwrap(), "nothing was removed");
    }
    writer.commit().unwrap();
    pin(&store, "mine", &[Link::Node(NodeKind::Tree, node)]);
    drop(writer);
    store.gc(&TextLinks, &impatient).unwrap();
    assert!(!store.contains(&dead).unwrap() && store.contains(&node).unwrap());
}

#[test]
fn what_a_lease_names_stays_until_its_holder_lets_go() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let (node, blobs) = put_tree(&store, 1, 3, 70_000);
    let lease = store.lease().unwrap();
    let record = hd_store::RefRecord {
        links: vec![Link::Node(NodeKind::Tree, node)],
        project: "/p".into(),
        at_unix_ms: 1,
    };
    lease.set(&record).unwrap();
    let report = store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
    assert_eq!((report.roots, report.freed_bytes), (1, 0));
    assert_whole(&store, 1, &node, &blobs, 70_000);
    drop(lease);
    store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
    assert!(!store.contains(&node).unwrap());
    assert_eq!(fs::read_dir(cas.path().join("leases")).unwrap().count(), 0);
    // A lease that nobody holds any more is as good as none, and goes.
    for name in ["1-0.live", "1-0.ref"] {
        fs::write(cas.path().join("leases").join(name), b"dead").unwrap();
    }
    store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
    assert_eq!(fs::read_dir(cas.path().join("leases")).unwrap().count(), 0);
}

#[test]
fn a_budget_keeps_the_most_recently_used() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let trees: Vec<(Id, Vec<Id>)> = (0..5)
        .map(|seed| put_tree(&store, seed, 4, 90_000))
        .collect();
    for (age, (node, _)) in trees.iter().enumerate() {
        let record = hd_store::RefRecord {
            links: vec![Link::Node(NodeKind::Tree, *node)],
            project: "/p".into(),
            at_unix_ms: 1000 - age as u64,
        };
        store.put_ref(&format!("tree {age}"), &record).unwrap();
    }
    let budget = hd_store::Budget {
        max_bytes: 800_000,
        keep: Duration::ZERO,
        in_use: vec!["tree 4".into()],
    };
    let options = GcOptions {
        budget: Some(budget),
        ..GcOptions::new(2000)
    };
    let dry = GcOptions {
        dry_run: true,
        ..options.clone()
    };
    let foretold = store.gc(&TextLinks, &dry).unwrap();
    assert_eq!(store.refs().unwrap().len(), 5);
    let report = store.gc(&TextLinks, &options).unwrap();
    for report in [&foretold, &report] {
        let mut dropped = report.refs_dropped.clone();
        dropped.sort();
        assert_eq!(dropped, ["tree 1", "tree 2", "tree 3"]);
    }
    assert!(disk(cas.path()) <= 800_000, "{}", disk(cas.path()));
    for kept in [0, 4] {
        assert_whole(&store, kept as u64, &trees[kept].0, &trees[kept].1, 90_000);
    }
    assert!(!store.contains(&trees[1].0).unwrap());
    let names: Vec<String> = store
        .refs()
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["tree 0", "tree 4"]);
}
