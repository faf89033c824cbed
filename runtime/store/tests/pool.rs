//! Raw copies: whole or not there, within bounds, gone with what is not stored any more.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use common::{TextLinks, noise, pin};
use hd_store::{Error, GcOptions, Id, Link, Pool, Store};

fn copy_of(pool: &Pool, id: &Id) -> PathBuf {
    pool.copies().join(id.to_string())
}

fn put(store: &Store, bytes: &[u8]) -> Id {
    let mut writer = store.writer().unwrap();
    let id = writer.put_blob(bytes).unwrap();
    writer.commit().unwrap();
    id
}

#[test]
fn a_copy_is_the_blob_read_only_with_holes_where_it_is_zero() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let pool = store.pool().unwrap();
    let mut sparse = vec![0; 8 << 20];
    sparse[5_000_000] = 7;
    sparse.extend_from_slice(b"end");
    for bytes in [&b"small"[..], &vec![9; 3_000_001], &sparse, &[0; 4096]] {
        let id = put(&store, bytes);
        assert!(pool.fill(&id).unwrap());
        assert!(!pool.fill(&id).unwrap(), "it is there");
        let copy = copy_of(&pool, &id);
        assert_eq!(fs::read(&copy).unwrap(), bytes);
        assert_eq!(
            fs::metadata(&copy).unwrap().permissions().mode() & 0o7777,
            0o444
        );
    }
    let sparse = fs::metadata(copy_of(&pool, &Id::of(&sparse))).unwrap();
    assert!(sparse.blocks() * 512 < 100_000, "{}", sparse.blocks());
}

#[test]
fn what_is_not_stored_has_no_copy_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let pool = store.pool().unwrap();
    let id = Id::of(b"never put");
    assert!(matches!(pool.fill(&id), Err(Error::NotFound { .. })));
    let left: Vec<_> = fs::read_dir(pool.copies()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_collection_takes_copies_and_images_of_what_it_took_and_of_other_boots() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let pool = store.pool().unwrap();
    let kept = put(&store, b"kept");
    pin(&store, "root", &[Link::Blob(kept)]);
    let lost = put(&store, b"lost");
    for id in [&kept, &lost] {
        pool.fill(id).unwrap();
        pool.put_view(&format!("{id}-1.erofs"), b"an image")
            .unwrap();
    }
    let other = dir.path().join("blobs/another-boot/ab");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("short"), "").unwrap();
    let report = store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
    assert!(report.raw_freed_bytes >= 2 * 4096, "{report:?}");
    let is_there = |id: &Id| {
        (
            copy_of(&pool, id).exists(),
            pool.view(&format!("{id}-1.erofs")).is_some(),
        )
    };
    assert_eq!(
        (is_there(&kept), is_there(&lost)),
        ((true, true), (false, false))
    );
    assert!(!other.exists());
}

#[test]
fn raw_copies_are_a_row_of_their_own_and_every_byte_is_in_one_row() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let before = store.usage(&TextLinks, &[]).unwrap();
    assert_eq!(before.raw, 0);
    let bytes = noise(1, 1 << 20);
    let id = put(&store, &bytes);
    store.pool().unwrap().fill(&id).unwrap();
    let usage = store.usage(&TextLinks, &[]).unwrap();
    assert!(
        (1 << 20..(1 << 20) + 100_000).contains(&usage.raw),
        "{usage:?}"
    );
    let sum = usage.unowned + usage.raw + usage.bookkeeping;
    assert_eq!(sum, usage.total, "{usage:?}");
}
