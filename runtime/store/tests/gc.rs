//! Collections: what is reachable stays, what is not gives its disk back, nothing dead misleads.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::fs;
use std::time::{Duration, SystemTime};

use common::{TextLinks, assert_whole, disk, noise, pin, put_tree, segments, text};
use hd_store::{Error, GcOptions, Id, Link, NodeKind, Store, VerifyOptions};
use proptest::prelude::*;

#[test]
fn the_reachable_stays_and_the_rest_gives_its_disk_back() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let other = Store::open(cas.path()).unwrap();
    let (kept, kept_blobs) = put_tree(&store, 1, 20, 50_000);
    let (large, large_blobs) = put_tree(&store, 2, 2, 700_000);
    let (dead, dead_blobs) = put_tree(&store, 3, 100, 90_000);
    assert_whole(&other, 3, &dead, &dead_blobs, 90_000);
    pin(&store, "one", &[Link::Node(NodeKind::Tree, kept)]);
    pin(&store, "two", &[Link::Node(NodeKind::Tree, large)]);
    let before = disk(cas.path());
    let epoch = store.epoch().unwrap();

    let dry = GcOptions {
        dry_run: true,
        ..GcOptions::new(0)
    };
    let foretold = store.gc(&TextLinks, &dry).unwrap();
    assert_eq!((disk(cas.path()), store.epoch().unwrap()), (before, epoch));
    let report = store.gc(&TextLinks, &GcOptions::new(0)).unwrap();

    assert!(report.freed_bytes >= 9_000_000, "{report:?}");
    assert_eq!(before - disk(cas.path()), report.freed_bytes);
    assert!(
        foretold.freed_bytes.abs_diff(report.freed_bytes) < 10_000,
        "{foretold:?} {report:?}"
    );
    assert_eq!(
        (
            report.roots,
            report.segments_removed,
            report.segments_rewritten
        ),
        (2, 1, 1)
    );
    assert_ne!(store.epoch().unwrap(), epoch);
    for store in [&store, &other, &Store::open(cas.path()).unwrap()] {
        store.refresh().unwrap();
        assert_whole(store, 1, &kept, &kept_blobs, 50_000);
        assert_whole(store, 2, &large, &large_blobs, 700_000);
        assert!(!store.contains(&dead).unwrap());
        assert!(matches!(
            store.read_blob(&dead_blobs[0]),
            Err(Error::NotFound { .. })
        ));
    }
    let again = store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
    assert_eq!((again.freed_bytes, again.segments_removed), (0, 0));
    assert_eq!(again.live_objects, report.live_objects);
    let stats = store
        .stats_with_live(&TextLinks, &GcOptions::new(0))
        .unwrap();
    assert_eq!(stats.live_bytes, Some(again.live_bytes));
}

#[test]
fn what_several_threads_mark_is_all_that_is_reachable() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let mut writer = store.writer().unwrap();
    let mut blobs = Vec::new();
    let mut groups = String::new();
    // More of each level than one thread looks at alone, and one blob that every group has.
    for group in 0..300 {
        let mut lines = format!("blob {}\n", Id::of(b"shared"));
        for number in 0..20 {
            let content = format!("{group} {number}");
            let blob = writer.put_blob(content.as_bytes()).unwrap();
            lines += &format!("blob {blob}\n");
            blobs.push((blob, content));
        }
        let node = writer.put_node(NodeKind::Tree, lines.as_bytes()).unwrap();
        groups += &format!("tree {node}\n");
    }
    blobs.push((writer.put_blob(b"shared").unwrap(), "shared".to_owned()));
    let missing = Id::of(b"never stored");
    groups += &format!("blob {missing}\n");
    let root = writer.put_node(NodeKind::Tree, groups.as_bytes()).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let (dead, _) = put_tree(&store, 9, 50, 50_000);
    pin(&store, "root", &[Link::Node(NodeKind::Tree, root)]);

    let report = store.gc(&TextLinks, &GcOptions::new(0)).unwrap();

    assert_eq!(report.live_objects, 1 + 300 + 300 * 20 + 1);
    assert_eq!(report.missing, [missing]);
    assert!(report.freed_bytes > 2_000_000, "{report:?}");
    let fresh = Store::open(cas.path()).unwrap();
    assert!(!fresh.contains(&dead).unwrap());
    assert_eq!(
        fresh.read_node(NodeKind::Tree, &root).unwrap(),
        groups.as_bytes()
    );
    for (blob, content) in blobs {
        assert_eq!(fresh.read_blob(&blob).unwrap(), content.as_bytes());
    }
}

#[test]
fn a_dead_node_in_a_segment_that_stays_is_not_built_upon() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    // Segment one: a blob that will die. Segment two: much that lives, and the dead one's node.
    let mut first = store.writer().unwrap();
    let blob = first.put_blob(&noise(1, 60_000)).unwrap();
    first.commit().unwrap();
    let mut second = store.writer().unwrap();
    let node = second
        .put_node(NodeKind::Tree, format!("blob {blob}\n").as_bytes())
        .unwrap();
    let live = second.put_blob(&noise(2, 3_000_000)).unwrap();
    second
        .append_history(&Id::of(b"key"), format!("tree {node}\n").as_bytes())
        .unwrap();
    second.commit().unwrap();
    drop((first, second));
    assert_eq!(segments(cas.path()).len(), 2);
    pin(&store, "root", &[Link::Blob(live)]);
    let other = Store::open(cas.path()).unwrap();
    assert!(other.contains(&node).unwrap());

    let none = GcOptions {
        history_per_key: 0,
        ..GcOptions::new(0)
    };
    let report = store.gc(&TextLinks, &none).unwrap();
    assert_eq!((report.segments_removed, report.history_dropped), (1, 1));
    assert_eq!(segments(cas.path()).len(), 1);
    other.writer().unwrap();
    for store in [&store, &other, &Store::open(cas.path()).unwrap()] {
        assert!(!store.contains(&blob).unwrap());
        assert!(!store.contains(&node).unwrap(), "its blob is gone");
        assert_eq!(store.history(&Id::of(b"key")).unwrap(), []);
        assert!(store.read_blob(&live).unwrap() == noise(2, 3_000_000));
    }
    // The same must hold when the index is lost, and the node can be put again.
    common::drop_indexes(cas.path());
    let fresh = Store::open(cas.path()).unwrap();
    assert!(!fresh.contains(&node).unwrap());
    let mut writer = fresh.writer().unwrap();
    writer.put_blob(&noise(1, 60_000)).unwrap();
    writer
        .put_node(NodeKind::Tree, format!("blob {blob}\n").as_bytes())
        .unwrap();
    writer.commit().unwrap();
    assert!(fresh.contains(&node).unwrap() && fresh.read_blob(&blob).is_ok());
}

#[test]
fn history_stays_within_its_budget_and_only_when_whole() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let key = Id::of(b"step");
    let trees: Vec<(Id, Vec<Id>)> = (0..5)
        .map(|seed| put_tree(&store, seed, 3, 70_000))
        .collect();
    let mut writer = store.writer().unwrap();
    for (node, _) in &trees {
        writer
            .append_history(&key, format!("tree {node}\n").as_bytes())
            .unwrap();
    }
    writer
        .append_history(
            &key,
            format!("tree {}\n", Id::of(b"never stored")).as_bytes(),
        )
        .unwrap();
    writer.append_history(&key, b"not a link\n").unwrap();
    writer.commit().unwrap();
    drop(writer);
    let now = store.history(&key).unwrap()[0].at_unix_ms;

    let budget = GcOptions {
        history_per_key: 4,
        ..GcOptions::new(now)
    };
    let report = store.gc(&TextLinks, &budget).unwrap();
    assert_eq!((report.history_dropped, report.missing.len()), (5, 0));
    let kept: Vec<_> = store
        .history(&key)
        .unwrap()
        .into_iter()
        .map(|e| e.payload)
        .collect();
    let line = |seed: usize| format!("tree {}\n", trees[seed].0).into_bytes();
    assert_eq!(kept, [line(4), line(3)]);
    for seed in [3, 4] {
        assert_whole(&store, seed as u64, &trees[seed].0, &trees[seed].1, 70_000);
    }
    assert!(!store.contains(&trees[0].0).unwrap());

    let old = GcOptions {
        history_max_age: Some(Duration::from_secs(60)),
        ..GcOptions::new(now + 3_600_000)
    };
    store.gc(&TextLinks, &old).unwrap();
    assert_eq!(store.history(&key).unwrap(), []);
    assert_eq!(disk(cas.path()), 0);
}

#[test]
fn a_skeleton_keeps_the_nodes_and_not_the_blobs() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let (leaf, blobs) = put_tree(&store, 1, 3, 70_000);
    let mut writer = store.writer().unwrap();
    let top = writer.put_node(
        NodeKind::Tree,
        format!("tree {leaf}\nblob {}\n", blobs[0]).as_bytes(),
    );
    writer.commit().unwrap();
    drop(writer);
    let top = top.unwrap();
    pin(&store, "skeleton", &[Link::Skeleton(NodeKind::Tree, top)]);
    store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
    assert!(store.contains(&top).unwrap() && store.contains(&leaf).unwrap());
    assert!(blobs.iter().all(|blob| !store.contains(blob).unwrap()));
}

#[test]
fn a_damaged_root_stops_a_collection_before_it_deletes() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let (node, blobs) = put_tree(&store, 1, 3, 70_000);
    let mut writer = store.writer().unwrap();
    let bad = writer.put_node(NodeKind::Tree, b"gibberish").unwrap();
    writer.commit().unwrap();
    drop(writer);
    pin(&store, "bad", &[Link::Node(NodeKind::Tree, bad)]);
    let before = disk(cas.path());
    let error = store.gc(&TextLinks, &GcOptions::new(0)).unwrap_err();
    assert!(
        matches!(&error, Error::Unfollowable { root, .. } if root == "bad"),
        "{error}"
    );
    assert_eq!(disk(cas.path()), before);
    let reference = fs::read_dir(cas.path().join("refs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::write(reference, b"torn").unwrap();
    assert!(matches!(
        store.gc(&TextLinks, &GcOptions::new(0)),
        Err(Error::DamagedRef { .. })
    ));
    assert_eq!(disk(cas.path()), before);
    assert_whole(&store, 1, &node, &blobs, 70_000);
}

#[test]
fn verify_names_what_is_missing_and_who_needs_it() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let mut writer = store.writer().unwrap();
    let gone = Id::of(b"gone");
    let node = writer
        .put_node(NodeKind::Tree, format!("blob {gone}\n").as_bytes())
        .unwrap();
    writer.commit().unwrap();
    drop(writer);
    pin(&store, "a", &[Link::Node(NodeKind::Tree, node)]);
    pin(&store, "b", &[Link::Node(NodeKind::Tree, node)]);
    let links = Some(&TextLinks as &dyn hd_store::Links);
    let report = store
        .verify(&VerifyOptions {
            read_data: false,
            links,
        })
        .unwrap();
    assert_eq!(report.damages.len(), 1);
    assert_eq!(
        (
            report.damages[0].id,
            report.damages[0].reached_by.as_slice()
        ),
        (Some(gone), &["a".to_owned(), "b".to_owned()][..])
    );
    let report = store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
    assert_eq!(report.missing, [gone]);
}

#[test]
fn leftovers_of_crashes_are_swept() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    put_tree(&store, 1, 1, 10);
    let shard = segments(cas.path())[0].parent().unwrap().to_owned();
    // The number of a process that has just ended, and of one that surely lives.
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let places = [&shard, &cas.path().join("refs"), &cas.path().to_owned()];
    for dir in places {
        // One that nobody has written to for a while, and one that a process out of sight may be writing.
        let old = dir.join(format!(".tmp-{}-1", ended.id()));
        fs::write(&old, b"half").unwrap();
        let old = fs::File::options().write(true).open(&old).unwrap();
        old.set_modified(SystemTime::now() - Duration::from_secs(120))
            .unwrap();
        fs::write(dir.join(format!(".tmp-{}-2", ended.id())), b"half").unwrap();
        fs::write(dir.join(".tmp-1-1"), b"half").unwrap();
    }
    fs::write(shard.join("0123.idx"), b"of no segment").unwrap();
    assert_eq!(store.refs().unwrap(), []);
    store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
    for dir in places {
        let left = fs::read_dir(dir).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut left: Vec<_> = left.filter(|name| name.starts_with(".tmp-")).collect();
        left.sort();
        let mut expected = [".tmp-1-1".to_owned(), format!(".tmp-{}-2", ended.id())];
        expected.sort();
        assert_eq!(left, expected);
    }
    assert!(!shard.join("0123.idx").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_choice_of_roots_stays_whole(
        trees in prop::collection::vec((1_u64..6, 10_usize..150_000, any::<bool>()), 1..8),
        writers in prop::collection::vec(any::<bool>(), 8),
    ) {
        let cas = tempfile::tempdir().unwrap();
        let store = Store::open(cas.path()).unwrap();
        // Writers that overlap make several segments.
        let mut open = Vec::new();
        let mut put = Vec::new();
        for (seed, ((count, len, pinned), hold)) in trees.into_iter().zip(writers).enumerate() {
            let mut writer = store.writer().unwrap();
            let content = |number| noise((seed as u64 % 3) * 1000 + number, len);
            let blobs: Vec<Id> = (0..count).map(|n| writer.put_blob(&content(n)).unwrap()).collect();
            let lines: String = blobs.iter().map(|blob| format!("blob {blob}\n")).collect();
            let padding = String::from_utf8(text(seed as u64, 50)).unwrap().replace('\n', " ");
            let node = writer.put_node(NodeKind::Tree, format!("# {padding}\n{lines}").as_bytes()).unwrap();
            writer.commit().unwrap();
            if pinned {
                pin(&store, &format!("{seed}"), &[Link::Node(NodeKind::Tree, node)]);
            }
            put.push((node, blobs, pinned));
            if hold {
                open.push(writer);
            }
        }
        drop(open);
        store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
        let fresh = Store::open(cas.path()).unwrap();
        for (node, blobs, pinned) in put {
            prop_assert_eq!(fresh.contains(&node).unwrap(), pinned);
            for blob in blobs {
                prop_assert!(!pinned || Id::of(&fresh.read_blob(&blob).unwrap()) == blob);
            }
        }
        let links = Some(&TextLinks as &dyn hd_store::Links);
        let report = fresh.verify(&VerifyOptions { read_data: true, links }).unwrap();
        prop_assert_eq!(report.damages, vec![]);
    }
}
