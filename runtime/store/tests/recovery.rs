//! Damaged and torn segments: what was committed stays, what is damaged is never served.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::fs;
use std::path::Path;

use common::{TextLinks, drop_indexes, noise, pin, segments, text};
use hd_store::{Error, Id, Link, NodeKind, Store, VerifyOptions};

/// Three commits with a blob and a node each; answers where each commit ends.
fn three_commits(cas: &Path) -> Vec<(u64, Id, Id)> {
    let store = Store::open(cas).unwrap();
    let mut writer = store.writer().unwrap();
    let mut commits = Vec::new();
    for round in 0..3 {
        let blob = writer.put_blob(&text(round, 200)).unwrap();
        let node = writer
            .put_node(NodeKind::Tree, format!("blob {blob}\n").as_bytes())
            .unwrap();
        writer.commit().unwrap();
        let len = fs::metadata(&segments(cas)[0]).unwrap().len();
        commits.push((len, blob, node));
    }
    commits
}

/// Says whether blob and node of a round are there; a wrong byte ends the test.
fn is_whole(store: &Store, round: u64, blob: &Id, node: &Id) -> bool {
    let (blob_is_there, node_is_there) = what_is_there(store, round, blob, node);
    assert!(blob_is_there || !node_is_there, "a node without its blob");
    node_is_there
}

fn what_is_there(store: &Store, round: u64, blob: &Id, node: &Id) -> (bool, bool) {
    let blob_is_there = match store.read_blob(blob) {
        Ok(bytes) => {
            assert_eq!(bytes, text(round, 200), "wrong bytes were served");
            true
        }
        Err(Error::NotFound { .. } | Error::Damaged { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    let node_is_there = match store.read_node(NodeKind::Tree, node) {
        Ok(bytes) => {
            assert_eq!(bytes, format!("blob {blob}\n").as_bytes());
            true
        }
        Err(Error::NotFound { .. } | Error::Damaged { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    (blob_is_there, node_is_there)
}

#[test]
fn a_segment_cut_at_any_byte_keeps_exactly_the_whole_commits() {
    let cas = tempfile::tempdir().unwrap();
    let commits = three_commits(cas.path());
    let path = segments(cas.path())[0].clone();
    let good = fs::read(&path).unwrap();
    for len in 0..=good.len() {
        fs::write(&path, &good[..len]).unwrap();
        let store = Store::open(cas.path()).unwrap();
        for (round, (end, blob, node)) in commits.iter().enumerate() {
            let expected = *end <= len as u64;
            assert_eq!(
                is_whole(&store, round as u64, blob, node),
                expected,
                "cut at {len}"
            );
        }
        // And the next writer goes on behind them.
        let mut writer = store.writer().unwrap();
        let id = writer.put_blob(b"afterwards").unwrap();
        writer.commit().unwrap();
        drop(writer);
        assert_eq!(segments(cas.path()).len(), 1);
        assert_eq!(
            Store::open(cas.path()).unwrap().read_blob(&id).unwrap(),
            b"afterwards"
        );
    }
}

#[test]
fn a_tail_of_zeros_or_garbage_is_cut() {
    for tail in [vec![0; 5000], noise(9, 5000)] {
        let cas = tempfile::tempdir().unwrap();
        let commits = three_commits(cas.path());
        let path = segments(cas.path())[0].clone();
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(tail);
        fs::write(&path, bytes).unwrap();
        let store = Store::open(cas.path()).unwrap();
        let mut writer = store.writer().unwrap();
        let id = writer.put_blob(b"more").unwrap();
        writer.commit().unwrap();
        let again = Store::open(cas.path()).unwrap();
        assert!(again.contains(&id).unwrap());
        for (round, (_, blob, node)) in commits.iter().enumerate() {
            assert!(is_whole(&again, round as u64, blob, node));
        }
        assert!(fs::metadata(&path).unwrap().len() < commits[2].0 + 1000);
    }
}

#[test]
fn a_flipped_bit_anywhere_costs_its_own_commit_at_most() {
    let cas = tempfile::tempdir().unwrap();
    let commits = three_commits(cas.path());
    let path = segments(cas.path())[0].clone();
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x04;
        fs::write(&path, &bad).unwrap();
        let store = Store::open(cas.path()).unwrap();
        let hit = commits
            .iter()
            .position(|(end, ..)| (at as u64) < *end)
            .unwrap();
        for (round, (_, blob, node)) in commits.iter().enumerate() {
            let whole = what_is_there(&store, round as u64, blob, node) == (true, true);
            assert!(
                whole || round == hit,
                "byte {at} took commit {round}, not {hit}"
            );
        }
    }
}

#[test]
fn what_is_put_again_heals_and_reads_say_which_id_is_damaged() {
    let cas = tempfile::tempdir().unwrap();
    let (blob, large, node) = {
        let store = Store::open(cas.path()).unwrap();
        let mut writer = store.writer().unwrap();
        let blob = writer.put_blob(&noise(1, 500)).unwrap();
        let large = writer.put_blob(&noise(2, 400_000)).unwrap();
        let node = writer.put_node(
            NodeKind::Tree,
            format!("blob {blob}\nblob {large}\n").as_bytes(),
        );
        writer.commit().unwrap();
        pin(
            &store,
            "root",
            &[Link::Node(NodeKind::Tree, *node.as_ref().unwrap())],
        );
        (blob, large, node.unwrap())
    };
    let path = segments(cas.path())[0].clone();
    let good = fs::read(&path).unwrap();
    // Raw payloads can be found in the file.
    let find = |needle: &[u8]| {
        good.windows(needle.len())
            .position(|w| w == needle)
            .unwrap()
    };
    let in_blob = find(&noise(1, 500)) + 100;
    let in_large = find(&noise(2, 400_000)[200_000..200_064]);
    for (at, id) in [(in_blob, blob), (in_large, large)] {
        let mut bad = good.clone();
        bad[at] ^= 0x80;
        fs::write(&path, &bad).unwrap();
        let store = Store::open(cas.path()).unwrap();
        let epoch = store.epoch().unwrap();
        for _ in 0..2 {
            let error = store.read_blob(&id).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
        }
        assert_ne!(store.epoch().unwrap(), epoch, "stat caches must ask again");

        let fresh = Store::open(cas.path()).unwrap();
        let quick = fresh
            .verify(&VerifyOptions {
                read_data: false,
                links: None,
            })
            .unwrap();
        assert_eq!(quick.damages, vec![], "headers are fine");
        let links = Some(&TextLinks as &dyn hd_store::Links);
        let report = fresh
            .verify(&VerifyOptions {
                read_data: true,
                links,
            })
            .unwrap();
        // The read has taken one piece out of sight; others that share its record lie there yet.
        let (damage, beside) = report.damages.split_first().unwrap();
        assert!(beside.iter().all(|one| one.offset == beside[0].offset));
        assert!(id == large || beside.is_empty(), "{:?}", report.damages);
        assert_eq!(damage.reached_by, ["root"]);
        assert!(!damage.has_good_copy && at as u64 > damage.offset);

        // Another process knows nothing of the damage, and heals it by putting the content.
        let healer = Store::open(cas.path()).unwrap();
        let mut writer = healer.writer().unwrap();
        assert_eq!(writer.put_blob(&noise(1, 500)).unwrap(), blob);
        assert_eq!(writer.put_blob(&noise(2, 400_000)).unwrap(), large);
        writer.commit().unwrap();
        drop(writer);
        for store in [&fresh, &store, &healer, &Store::open(cas.path()).unwrap()] {
            assert!(store.read_blob(&blob).unwrap() == noise(1, 500));
            assert!(store.read_blob(&large).unwrap() == noise(2, 400_000));
        }
        let healed = fresh
            .verify(&VerifyOptions {
                read_data: true,
                links,
            })
            .unwrap();
        assert!(
            healed.damages.iter().all(|damage| damage.has_good_copy),
            "{healed:?}"
        );
        assert!(fresh.contains(&node).unwrap());
        fs::write(&path, &good).unwrap();
    }
}

#[test]
fn a_missing_or_bad_index_is_made_again() {
    let cas = tempfile::tempdir().unwrap();
    let ids: Vec<Id> = {
        let store = Store::open(cas.path()).unwrap();
        let mut writer = store.writer().unwrap();
        let ids = (0..1500)
            .map(|seed| writer.put_blob(&noise(seed, 66_000)).unwrap())
            .collect();
        writer.commit().unwrap();
        ids
    };
    let index = segments(cas.path())[0].with_extension("idx");
    let good = fs::read(&index).unwrap();
    let all_there = || {
        let store = Store::open(cas.path()).unwrap();
        ids.iter().all(|id| store.contains(id).unwrap()) && store.read_blob(&ids[77]).is_ok()
    };
    assert!(all_there());
    drop_indexes(cas.path());
    assert!(all_there());
    assert_eq!(fs::read(&index).unwrap(), good, "opening wrote it again");
    for bad in [
        &b""[..],
        b"hdindx01",
        &good[..good.len() - 1],
        &noise(1, good.len()),
    ] {
        fs::write(&index, bad).unwrap();
        assert!(all_there());
        assert_eq!(fs::read(&index).unwrap(), good);
    }
}
