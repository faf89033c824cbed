//! Blobs, nodes and history: what is put is what is read, once.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{noise, segments, text};
use hd_store::{Error, Id, NodeKind, Store};
use proptest::prelude::*;

fn file_bytes(cas: &Path) -> u64 {
    segments(cas)
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum()
}

#[test]
fn nothing_is_visible_before_the_commit_and_everything_after() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let other = Store::open(cas.path()).unwrap();
    let mut writer = store.writer().unwrap();
    let small = writer.put_blob(b"small").unwrap();
    let (large, len) = writer
        .put_blob_from(&mut text(1, 3_000_000).as_slice())
        .unwrap();
    let node = writer.put_node(NodeKind::Tree, b"tree").unwrap();
    assert_eq!((large, len), (Id::of(&text(1, 3_000_000)), 3_000_000));
    assert_eq!(node, Id::derive("hd 2026 tree v1", b"tree"));
    for id in [small, large, node] {
        assert!(!store.contains(&id).unwrap() && !other.contains(&id).unwrap());
        assert!(writer.contains(&id).unwrap());
    }
    writer.commit().unwrap();
    for store in [&store, &other, &Store::open(cas.path()).unwrap()] {
        assert_eq!(store.read_blob(&small).unwrap(), b"small");
        assert!(store.read_blob(&large).unwrap() == text(1, 3_000_000));
        assert_eq!(store.blob_len(&large).unwrap(), Some(3_000_000));
        assert_eq!(store.read_node(NodeKind::Tree, &node).unwrap(), b"tree");
        assert!(matches!(
            store.read_node(NodeKind::Times, &node),
            Err(Error::NotFound { .. })
        ));
        assert!(matches!(
            store.read_blob(&node),
            Err(Error::NotFound { .. })
        ));
    }
}

#[test]
fn a_writer_reads_its_own_pending_nodes() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let mut writer = store.writer().unwrap();
    let nodes: Vec<Vec<u8>> = (0..300).map(|seed| text(seed, 1000)).collect();
    let ids: Vec<Id> = nodes
        .iter()
        .map(|node| writer.put_node(NodeKind::Tree, node).unwrap())
        .collect();
    for (id, node) in ids.iter().zip(&nodes) {
        assert_eq!(&writer.read_node(NodeKind::Tree, id).unwrap(), node);
        assert!(matches!(
            writer.read_node(NodeKind::Times, id),
            Err(Error::NotFound { .. })
        ));
    }
    writer.commit().unwrap();
    assert_eq!(writer.read_node(NodeKind::Tree, &ids[7]).unwrap(), nodes[7]);
}

#[test]
fn an_abandoned_writer_leaves_nothing() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let mut writer = store.writer().unwrap();
    let kept = writer.put_blob(b"kept").unwrap();
    writer.commit().unwrap();
    let before = file_bytes(cas.path());
    let lost = writer.put_blob(&noise(1, 5_000_000)).unwrap();
    drop(writer);
    assert_eq!(file_bytes(cas.path()), before);
    assert!(store.contains(&kept).unwrap() && !store.contains(&lost).unwrap());
}

#[test]
fn equal_content_is_stored_once() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let large = noise(3, 4_000_000);
    let put = |store: &Store| {
        let mut writer = store.writer().unwrap();
        for seed in 0..50 {
            writer.put_blob(&text(seed, 2000)).unwrap();
            writer.put_node(NodeKind::Node, &text(seed, 300)).unwrap();
        }
        writer.put_blob(&large).unwrap();
        writer.commit().unwrap();
    };
    put(&store);
    let once = file_bytes(cas.path());
    put(&store);
    put(&Store::open(cas.path()).unwrap());
    assert_eq!(file_bytes(cas.path()), once);
    // A thousand bytes inserted in the middle cost a chunk or two.
    let mut edited = large.clone();
    edited.splice(2_000_000..2_000_000, noise(4, 1000));
    let mut writer = store.writer().unwrap();
    let id = writer.put_blob(&edited).unwrap();
    writer.commit().unwrap();
    let grown = file_bytes(cas.path()) - once;
    assert!(grown < 300_000, "{grown} bytes for an insertion");
    assert!(store.read_blob(&id).unwrap() == edited);
}

#[test]
fn small_files_share_frames_and_noise_stays_raw() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let mut writer = store.writer().unwrap();
    for seed in 0..500 {
        writer.put_blob(&text(seed, 1000)).unwrap();
    }
    writer.commit().unwrap();
    let stats = store.stats().unwrap();
    assert_eq!(
        (stats.chunks, stats.blobs, stats.raw_bytes),
        (500, 500, 500_000)
    );
    assert_eq!(stats.frames, 500_000_u64.div_ceil(65_000));
    assert!(stats.stored_bytes * 2 < stats.raw_bytes);
    writer.put_blob(&noise(1, 60_000)).unwrap();
    writer.commit().unwrap();
    let more = store.stats().unwrap();
    assert_eq!(more.stored_bytes - stats.stored_bytes, 60_000);
    assert_eq!((more.segments, more.nodes, more.live_bytes), (1, 0, None));
}

#[test]
fn history_is_answered_newest_first_even_within_a_millisecond() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let (key, other) = (Id::of(b"key"), Id::of(b"other"));
    for round in 0..4_u8 {
        let mut writer = store.writer().unwrap();
        for step in 0..5 {
            writer.append_history(&key, &[round, step]).unwrap();
        }
        writer.append_history(&other, b"else").unwrap();
        assert_eq!(store.history(&key).unwrap().len(), usize::from(round) * 5);
        writer.commit().unwrap();
    }
    let payloads: Vec<_> = store
        .history(&key)
        .unwrap()
        .into_iter()
        .map(|entry| entry.payload)
        .collect();
    let expected: Vec<_> = (0..4)
        .rev()
        .flat_map(|round| (0..5).rev().map(move |step| vec![round, step]))
        .collect();
    assert_eq!(payloads, expected);
    assert_eq!(store.history(&Id::of(b"none")).unwrap(), []);
}

#[test]
fn everything_is_private_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let cas = dir.path().join("deep/cas");
    let store = Store::open(&cas).unwrap();
    let mut writer = store.writer().unwrap();
    for seed in 0..3000 {
        writer.put_blob(&noise(seed, 70_000)[..66_000]).unwrap();
        if seed % 1500 == 0 {
            writer.commit().unwrap();
        }
    }
    let id = writer.put_blob(b"x").unwrap();
    writer.commit().unwrap();
    common::pin(&store, "a ref", &[hd_store::Link::Blob(id)]);
    let mut waiting = vec![cas];
    let mut files = 0;
    while let Some(path) = waiting.pop() {
        let meta = fs::metadata(&path).unwrap();
        let expected = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(
            meta.permissions().mode() & 0o7777,
            expected,
            "{}",
            path.display()
        );
        if meta.is_dir() {
            waiting.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            files += 1;
        }
    }
    assert!(
        files >= 4,
        "a format, a segment with its index, a reference, a lock: {files}"
    );
}

#[test]
fn a_stream_that_fails_costs_nothing_else() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("broken"))
        }
    }
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let mut writer = store.writer().unwrap();
    let head = noise(1, 2_000_000);
    let mut source = std::io::Read::chain(head.as_slice(), Broken);
    assert!(matches!(
        writer.put_blob_from(&mut source),
        Err(Error::Source { .. })
    ));
    let id = writer.put_blob(b"still usable").unwrap();
    writer.commit().unwrap();
    assert!(store.contains(&id).unwrap());
    let limit = vec![0; 1 << 24];
    assert!(matches!(
        writer.put_node(NodeKind::Tree, &limit),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn a_full_segment_is_followed_by_another() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let mut writer = store.writer().unwrap();
    let (id, len) = writer.put_blob_from(&mut Endless(1, 280 << 20)).unwrap();
    writer.commit().unwrap();
    assert_eq!(segments(cas.path()).len(), 2);
    for segment in segments(cas.path()) {
        assert!(fs::metadata(segment).unwrap().len() <= 256 << 20);
    }
    let again = Store::open(cas.path()).unwrap();
    assert_eq!(again.blob_len(&id).unwrap(), Some(len));
    let middle = again.read_blob_at(&id, 100 << 20, 100_000).unwrap();
    assert!(again.read_blob_at(&id, (100 << 20) + 50_000, 100).unwrap() == middle[50_000..50_100]);
    assert_eq!(Id::of(&again.read_blob(&id).unwrap()), id);
    assert_eq!(again.read_blob_at(&id, len - 10, 100).unwrap().len(), 10);
    assert!(again.stats().unwrap().blobs == 1);
}

/// A stream of noise: a xorshift state and the bytes left.
struct Endless(u64, usize);

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = buffer.len().min(self.1);
        for bytes in buffer[..len].chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.copy_from_slice(&self.0.to_le_bytes()[..bytes.len()]);
        }
        self.1 -= len;
        Ok(len)
    }
}

#[test]
fn refs_are_kept_under_any_name() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let mut writer = store.writer().unwrap();
    let id = writer.put_blob(b"target").unwrap();
    writer.commit().unwrap();
    let long = "é/".repeat(300);
    for name in ["instance/1", "", "..", &long] {
        common::pin(&store, name, &[hd_store::Link::Blob(id)]);
    }
    let names: Vec<_> = store
        .refs()
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["", "..", "instance/1", &long]);
    store.drop_ref("..").unwrap();
    store.drop_ref("never there").unwrap();
    assert_eq!(store.refs().unwrap().len(), 3);
    let record = store.get_ref("instance/1").unwrap().unwrap();
    assert_eq!(
        (record.links.as_slice(), record.project.as_str()),
        (&[hd_store::Link::Blob(id)][..], "/p")
    );
    let dangling = hd_store::RefRecord {
        links: vec![hd_store::Link::Blob(Id::of(b"no"))],
        ..record
    };
    let error = store.put_ref("bad", &dangling).unwrap_err();
    assert!(error.to_string().contains("`bad`"), "{error}");
    // One flipped bit in one of them is an error that names the file.
    let path = fs::read_dir(cas.path().join("refs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = store.refs().unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_is_put_is_read(
        blobs in prop::collection::vec((any::<u64>(), 0_usize..300_000, any::<bool>()), 1..12),
        commits in prop::collection::vec(any::<bool>(), 12),
        ranges in prop::collection::vec((0_u64..320_000, 0_usize..200_000), 4),
        reopen: bool,
    ) {
        let cas = tempfile::tempdir().unwrap();
        let mut store = Store::open(cas.path()).unwrap();
        let mut writer = store.writer().unwrap();
        let mut expected = BTreeMap::new();
        for ((seed, len, dense), commit) in blobs.into_iter().zip(commits) {
            let content = if dense { noise(seed, len) } else { text(seed, len) };
            let (id, size) = writer.put_blob_from(&mut content.as_slice()).unwrap();
            prop_assert_eq!(id, Id::of(&content));
            prop_assert_eq!(size, content.len() as u64);
            prop_assert_eq!(writer.put_blob(&content).unwrap(), id);
            expected.insert(id, content);
            if commit {
                writer.commit().unwrap();
            }
        }
        writer.commit().unwrap();
        drop(writer);
        if reopen {
            common::drop_indexes(cas.path());
            store = Store::open(cas.path()).unwrap();
        }
        for (id, content) in &expected {
            prop_assert_eq!(store.blob_len(id).unwrap(), Some(content.len() as u64));
            prop_assert!(&store.read_blob(id).unwrap() == content);
            for (offset, len) in &ranges {
                let start = (*offset as usize).min(content.len());
                let end = (start + len).min(content.len());
                prop_assert!(store.read_blob_at(id, *offset, *len).unwrap() == content[start..end]);
            }
        }
        let report = store.verify(&hd_store::VerifyOptions { read_data: true, links: None }).unwrap();
        prop_assert_eq!(report.damages, vec![]);
    }
}

#[test]
fn a_store_may_be_named_relative_to_the_working_directory() {
    let here = std::env::current_dir().unwrap();
    let dir = tempfile::tempdir_in(&here).unwrap();
    let relative = dir.path().strip_prefix(&here).unwrap().join("cas");
    let store = Store::open(&relative).unwrap();
    assert!(store.path().is_absolute());
    let mut writer = store.writer().unwrap();
    let id = writer.put_blob(b"x").unwrap();
    writer.commit().unwrap();
    assert!(
        Store::open(&here.join(relative))
            .unwrap()
            .contains(&id)
            .unwrap()
    );
}
