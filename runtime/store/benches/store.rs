//! Micro benches of the store: `cargo bench -p hd-store`. Against peers: `cargo xtask bench store`.
#![expect(clippy::unwrap_used, reason = "a bench may end by a panic")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use hd_store::{Id, NodeKind, Store};

fn main() {
    divan::main();
}

/// Text that compresses about as source code does, different for each number.
fn text(number: u32, len: usize) -> Vec<u8> {
    let mut noise = number.wrapping_mul(0x9e37_79b9) | 1;
    let mut text = String::with_capacity(len + 64);
    while text.len() < len {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        text.push_str(&format!(
            "let value_{} = combine({number});\n",
            noise % 4096
        ));
    }
    text.truncate(len);
    text.into_bytes()
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("cas")).unwrap();
    (dir, store)
}

/// A store of 20,000 small blobs, and their ids.
fn filled() -> (tempfile::TempDir, Store, Vec<Id>) {
    let (dir, store) = store();
    let mut writer = store.writer().unwrap();
    let blobs = (0..20_000).map(|number| writer.put_blob(&text(number, 800)).unwrap());
    let ids = blobs.collect();
    writer.commit().unwrap();
    drop(writer);
    (dir, store, ids)
}

#[divan::bench(args = [1 << 10, 16 << 10, 64 << 10])]
fn name_a_blob(bencher: Bencher<'_, '_>, len: usize) {
    let bytes = text(1, len);
    bencher
        .counter(BytesCount::new(len))
        .bench(|| Id::of(black_box(&bytes)));
}

/// Cut, hash, compress and append 4 MiB; the commit is not in it.
#[divan::bench]
fn put_a_large_blob(bencher: Bencher<'_, '_>) {
    let (_dir, store) = store();
    let mut writer = store.writer().unwrap();
    let mut number = 0;
    bencher
        .counter(BytesCount::new(4_usize << 20))
        .with_inputs(|| {
            number += 1;
            text(number, 4 << 20)
        })
        .bench_local_values(|bytes| writer.put_blob(&bytes).unwrap());
}

/// One blob and its commit: two syncs.
#[divan::bench(max_time = 2)]
fn commit_a_small_blob(bencher: Bencher<'_, '_>) {
    let (_dir, store) = store();
    let mut writer = store.writer().unwrap();
    let mut number = 0;
    bencher.bench_local(|| {
        number += 1;
        writer.put_blob(&text(number, 800)).unwrap();
        writer.commit().unwrap();
    });
}

#[divan::bench]
fn look_up(bencher: Bencher<'_, '_>) {
    let (_dir, store, ids) = filled();
    let mut at = 0;
    bencher.bench_local(|| {
        at = (at + 7919) % ids.len();
        store.contains(&ids[at]).unwrap()
    });
}

/// Its frame is among the decoded ones.
#[divan::bench]
fn read_from_a_known_frame(bencher: Bencher<'_, '_>) {
    let (_dir, store, ids) = filled();
    bencher.bench_local(|| store.read_blob(&ids[17]).unwrap());
}

/// A node of each size that directories have.
#[divan::bench(args = [200, 4000])]
fn put_a_node(bencher: Bencher<'_, '_>, len: usize) {
    let (_dir, store) = store();
    let mut writer = store.writer().unwrap();
    let mut number = 0;
    bencher
        .with_inputs(|| {
            number += 1;
            text(number, len)
        })
        .bench_local_values(|bytes| writer.put_node(NodeKind::Tree, &bytes).unwrap());
}
