//! Objects hurt one by one: never served wrong, named by a check, healed by being put again, and
//! out of sight after a repair.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::fs;
use std::path::Path;

use common::{TextLinks, drop_indexes, noise, pin, segments, text};
use hd_store::{Error, Id, Link, NodeKind, Store, VerifyOptions};

/// Objects that are hurt, for each kind of damage.
fn objects() -> u64 {
    let told = std::env::var("HD_TEST_OBJECTS").ok();
    told.and_then(|count| count.parse().ok()).unwrap_or(12)
}

/// Content that cannot be compressed, so that it is found in its segment as it is.
fn content(number: u64) -> Vec<u8> {
    noise(number, 3000 + (number as usize % 7) * 20_000)
}

fn make(cas: &Path) -> (Id, Vec<Id>) {
    let store = Store::open(cas).unwrap();
    let mut writer = store.writer().unwrap();
    let ids: Vec<Id> = (0..objects())
        .map(|number| writer.put_blob(&content(number)).unwrap())
        .collect();
    let lines: String = ids.iter().map(|id| format!("blob {id}\n")).collect();
    let node = writer.put_node(NodeKind::Tree, lines.as_bytes()).unwrap();
    writer.commit().unwrap();
    pin(&store, "root", &[Link::Node(NodeKind::Tree, node)]);
    (node, ids)
}

type Hurt = fn(&mut Vec<u8>, usize);

const KINDS: [(&str, Hurt); 6] = [
    ("bit flip", |bytes, at| bytes[at] ^= 1),
    ("truncation", |bytes, at| bytes.truncate(at)),
    ("swap", |bytes, at| {
        let other = 64 + (at + bytes.len() / 2) % (bytes.len() - 700);
        for offset in 0..500.min(bytes.len() - at) {
            bytes.swap(at + offset, other + offset);
        }
    }),
    ("zero block", |bytes, at| {
        let end = (at + 512).min(bytes.len());
        bytes[at..end].fill(0);
    }),
    ("missing segment", |bytes, _| bytes.clear()),
    ("garbage", |bytes, at| {
        let end = (at + 2000).min(bytes.len());
        bytes[at..end].copy_from_slice(&text(5, end - at));
    }),
];

/// Reads an object; the right bytes or none.
fn read(store: &Store, id: &Id, number: u64) -> bool {
    match store.read_blob(id) {
        Ok(bytes) => {
            assert!(bytes == content(number), "wrong bytes were served");
            true
        }
        Err(Error::NotFound { .. } | Error::Damaged { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_object_hurt_in_every_way_is_noticed_and_healed() {
    let cas = tempfile::tempdir().unwrap();
    let (node, ids) = make(cas.path());
    let path = segments(cas.path())[0].clone();
    let good = fs::read(&path).unwrap();
    let links = Some(&TextLinks as &dyn hd_store::Links);
    let whole = VerifyOptions {
        read_data: true,
        links,
    };
    for (kind, hurt) in KINDS {
        for (number, id) in ids.iter().enumerate() {
            let number = number as u64;
            let needle = &content(number)[1000..1064];
            let at = good.windows(64).position(|w| w == needle).unwrap();
            let mut bad = good.clone();
            hurt(&mut bad, at);
            drop_indexes(cas.path());
            for other in segments(cas.path()) {
                fs::remove_file(other).unwrap();
            }
            if kind != "missing segment" {
                fs::write(&path, &bad).unwrap();
            }
            let when = format!("{kind} of object {number}");
            let store = Store::open(cas.path()).unwrap();
            assert!(!read(&store, id, number), "{when}: it is hurt");
            let report = store.verify(&whole).unwrap();
            // A piece of a large blob is named by itself.
            let needed = |damage: &hd_store::Damage| damage.reached_by == ["root"];
            let named = report.damages.iter().any(needed);
            assert!(named, "{when}: {report:?}");
            // Another process puts everything again: what is sound is kept, the rest is healed.
            let healer = Store::open(cas.path()).unwrap();
            let mut writer = healer.writer().unwrap();
            let mut lines = String::new();
            for number in 0..objects() {
                let id = writer.put_blob(&content(number)).unwrap();
                lines += &format!("blob {id}\n");
            }
            writer.put_node(NodeKind::Tree, lines.as_bytes()).unwrap();
            writer.commit().unwrap();
            drop(writer);
            let healed = Store::open(cas.path()).unwrap();
            assert!(
                healed
                    .is_whole(&TextLinks, &[Link::Node(NodeKind::Tree, node)])
                    .unwrap()
            );
            for (number, id) in ids.iter().enumerate() {
                assert!(read(&healed, id, number as u64), "{when}: not healed");
            }
            let repaired = healed.repair(&TextLinks).unwrap();
            assert_eq!(repaired.segments_left, 0, "{when}");
            let clean = Store::open(cas.path()).unwrap().verify(&whole).unwrap();
            assert_eq!(clean.damages, vec![], "{when}");
        }
    }
}
