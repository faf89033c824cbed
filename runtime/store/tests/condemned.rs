//! What a collection is about to remove: not to be relied on while it runs, and as good as ever when it was killed.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{TextLinks, pin, put_tree, segments};
use hd_store::{GcOptions, Id, Link, NodeKind, Store};
use rustix::fs::{FlockOperation, flock};

/// Writes the list of a collection that condemned these segments whole (format: `locks/condemned.rs`).
fn condemn(cas: &Path, segments: &[PathBuf]) {
    let mut body = u32::try_from(segments.len())
        .unwrap()
        .to_le_bytes()
        .to_vec();
    for segment in segments {
        let id = format!("{:0<64}", segment.file_stem().unwrap().to_str().unwrap());
        let id: Id = id.parse().unwrap();
        body.extend_from_slice(&id.as_bytes()[..16]);
    }
    let mut list = b"hdcond01".to_vec();
    list.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    list.append(&mut body);
    fs::write(list_of(cas), list).unwrap();
}

fn list_of(cas: &Path) -> PathBuf {
    cas.join("lock/condemned")
}

/// Holds the lock of a collection.
fn collecting(cas: &Path) -> File {
    let lock = File::create(cas.join("lock/gc")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    lock
}

#[test]
fn a_killed_collection_hides_nothing() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let (tree, _) = put_tree(&store, 1, 3, 10_000);
    let root = [Link::Node(NodeKind::Tree, tree)];
    let key = Id::of(b"key");
    let mut writer = store.writer().unwrap();
    writer
        .append_history(&key, format!("tree {tree}").as_bytes())
        .unwrap();
    writer.commit().unwrap();
    drop(writer);
    pin(&store, "one", &root);
    condemn(cas.path(), &segments(cas.path()));

    let running = collecting(cas.path());
    let other = Store::open(cas.path()).unwrap();
    assert!(!other.contains(&tree).unwrap());
    assert!(!other.is_whole(&TextLinks, &root).unwrap());
    drop(running);
    other.refresh().unwrap();
    assert!(other.contains(&tree).unwrap());
    assert_eq!(other.history(&key).unwrap().len(), 1);
    assert!(other.is_whole(&TextLinks, &root).unwrap());

    // The next one does not take over what it finds, though it has nothing to remove itself.
    store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
    assert!(!list_of(cas.path()).exists());
}

#[test]
fn what_is_gone_is_not_found_again_by_a_look_that_failed() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let (tree, _) = put_tree(&store, 1, 3, 10_000);
    let all = segments(cas.path());
    condemn(cas.path(), &all);
    let running = collecting(cas.path());
    store.refresh().unwrap();
    assert!(!store.contains(&tree).unwrap());

    // It removes them and ends. The next look at the directory fails at what lies there since.
    all.iter().for_each(|path| fs::remove_file(path).unwrap());
    fs::remove_file(list_of(cas.path())).unwrap();
    drop(running);
    let unreadable = cas.path().join("objects/00").join("0".repeat(32));
    let unreadable = unreadable.with_extension("seg");
    fs::create_dir_all(unreadable.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&unreadable, &unreadable).unwrap();
    assert!(store.refresh().is_err());
    assert!(!matches!(store.contains(&tree), Ok(true)));
    fs::remove_file(&unreadable).unwrap();
    assert!(!store.contains(&tree).unwrap());
}

#[test]
fn what_was_called_whole_while_a_collection_waited_is_looked_at_again() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let (tree, _) = put_tree(&store, 1, 3, 10_000);
    let before = store.epoch().unwrap();
    // One that began before the collection has not seen its list.
    let older = store.hold().unwrap();
    let (waiting, after) = std::thread::scope(|scope| {
        let collection = scope.spawn(|| {
            let store = Store::open(cas.path()).unwrap();
            store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
        });
        let deadline = Instant::now() + Duration::from_secs(30);
        while store.epoch().unwrap() == before {
            assert!(Instant::now() < deadline && !collection.is_finished());
            std::thread::yield_now();
        }
        let waiting = store.epoch().unwrap();
        drop(older);
        collection.join().unwrap();
        (waiting, store.epoch().unwrap())
    });
    assert_ne!(waiting, after);
    let root = [Link::Node(NodeKind::Tree, tree)];
    assert!(!store.is_whole(&TextLinks, &root).unwrap());
}
