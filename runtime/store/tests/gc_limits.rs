//! Collections that give up, that spare what is leased, and that keep within a budget.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::fs;
use std::sync::{Mutex, Once};
use std::time::Duration;

use common::{TextLinks, assert_whole, disk, pin, put_tree, segments};
use hd_store::{Error, GcOptions, Id, Link, Links, NodeKind, Store, Unwanted};

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
        max_bytes: 900_000,
        keep: Duration::ZERO,
    };
    let options = GcOptions {
        budget: Some(budget),
        in_use: vec!["tree 4".into()],
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
    assert!(disk(cas.path()) <= 900_000, "{}", disk(cas.path()));
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

/// An entry of history that leads to a tree of the seed.
fn result(store: &Store, seed: u64) -> (Id, Id) {
    let (node, _) = put_tree(store, seed, 2, 70_000);
    let key = Id::of(&seed.to_le_bytes());
    let mut writer = store.writer().unwrap();
    writer
        .append_history(&key, format!("tree {node}").as_bytes())
        .unwrap();
    writer.commit().unwrap();
    (key, node)
}

#[test]
fn history_that_was_used_lately_outlives_what_was_made_later() {
    const HOUR_MS: u64 = 3_600_000;
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let (used_key, used) = result(&store, 1);
    let (_, unused) = result(&store, 2);
    let made = store.history(&used_key).unwrap()[0].at_unix_ms;
    // What another process notes when it uses the entry three hours later (module `used`).
    let mut line: Vec<u8> = used_key.as_bytes()[..8].iter().rev().copied().collect();
    line.extend_from_slice(&made.to_le_bytes());
    line.extend_from_slice(&(made + 3 * HOUR_MS).to_le_bytes());
    line.extend_from_slice(&crc32c::crc32c(&line).to_le_bytes());
    line.extend_from_slice(&[0; 4]);
    fs::write(cas.path().join("used"), line).unwrap();
    let options = GcOptions {
        unwanted: Unwanted {
            unused_for: Some(Duration::from_millis(HOUR_MS)),
            ..Unwanted::default()
        },
        ..GcOptions::new(made + 3 * HOUR_MS)
    };
    let report = store.gc(&TextLinks, &options).unwrap();
    assert_eq!(report.history_dropped, 1);
    assert!(store.contains(&used).unwrap() && !store.contains(&unused).unwrap());
}

#[test]
fn what_is_unwanted_goes_and_what_others_need_of_it_stays() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let (shared, blobs) = put_tree(&store, 1, 3, 70_000);
    let (own, _) = put_tree(&store, 2, 3, 70_000);
    let (key, made) = result(&store, 3);
    let at = store.history(&key).unwrap()[0].at_unix_ms;
    let link = |node| Link::Node(NodeKind::Tree, node);
    pin(&store, "goes", &[link(shared), link(own)]);
    pin(&store, "stays", &[link(shared)]);
    let options = GcOptions {
        unwanted: Unwanted {
            refs: vec!["goes".into()],
            entries: [(key, at)].into(),
            unused_for: None,
        },
        ..GcOptions::new(0)
    };
    let report = store.gc(&TextLinks, &options).unwrap();
    assert_eq!(report.refs_dropped, ["goes"]);
    assert_whole(&store, 1, &shared, &blobs, 70_000);
    assert!(!store.contains(&own).unwrap() && !store.contains(&made).unwrap());
    let left = store.collected().unwrap();
    assert_eq!((left.at_unix_ms, left.file_bytes), (0, disk(cas.path())));
}

/// Reads links as [`TextLinks`], and lets something happen once as a collection begins to mark.
struct Meanwhile<F: Fn() + Sync> {
    happens: F,
    once: Once,
}

impl<F: Fn() + Sync> Links for Meanwhile<F> {
    fn links(&self, kind: NodeKind, bytes: &[u8]) -> Result<Vec<Link>, String> {
        self.once.call_once(&self.happens);
        TextLinks.links(kind, bytes)
    }

    fn history_links(&self, payload: &[u8]) -> Result<Vec<Link>, String> {
        TextLinks.history_links(payload)
    }
}

#[test]
fn a_result_that_is_committed_while_a_collection_marks_stays() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    // Little of it lives, and there is room: who writes next appends to what is about to go.
    let (kept, _) = put_tree(&store, 1, 1, 70_000);
    put_tree(&store, 2, 10, 70_000);
    pin(&store, "kept", &[Link::Node(NodeKind::Tree, kept)]);
    let before = segments(cas.path());
    let of_other = Mutex::new(None);
    let links = Meanwhile {
        happens: || {
            let other = Store::open(cas.path()).unwrap();
            *of_other.lock().unwrap() = Some(result(&other, 3));
            assert_eq!(segments(cas.path()), before, "it went where there was room");
        },
        once: Once::new(),
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap().as_millis() as u64;
    let report = store.gc(&links, &GcOptions::new(now)).unwrap();
    assert_eq!(report.segments_rewritten, 1, "{report:?}");
    let (key, node) = of_other.lock().unwrap().unwrap();
    for store in [&store, &Store::open(cas.path()).unwrap()] {
        assert_eq!(store.history(&key).unwrap().len(), 1);
        assert!(store.read_node(NodeKind::Tree, &node).is_ok());
    }
}
