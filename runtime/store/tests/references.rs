//! Damaged references: told, replaced by a put, removed by a repair; nothing is collected while one is there.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::fs;

use common::{TextLinks, assert_whole, pin, put_tree};
use hd_store::{Error, GcOptions, Link, NodeKind, Store, VerifyOptions};

#[test]
fn a_damaged_reference_is_listed_replaced_by_a_put_and_removed_by_a_repair() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let (node, blobs) = put_tree(&store, 1, 3, 1000);
    for name in ["one", "two"] {
        pin(&store, name, &[Link::Node(NodeKind::Tree, node)]);
    }
    for file in fs::read_dir(cas.path().join("refs")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let verify = || {
        let links = Some(&TextLinks as &dyn hd_store::Links);
        let read_data = false;
        store.verify(&VerifyOptions { read_data, links }).unwrap()
    };
    let collected = || store.gc(&TextLinks, &GcOptions::new(0));
    assert!(matches!(collected(), Err(Error::DamagedRef { .. })));
    let report = verify();
    assert_eq!((report.bad_refs.len(), report.is_clean()), (2, false));
    assert_eq!(report.bad_refs[0].reason, "its checksum is wrong");
    assert_eq!(store.sound_refs().unwrap(), []);

    pin(&store, "one", &[Link::Node(NodeKind::Tree, node)]);
    assert_eq!(store.repair(&TextLinks).unwrap().refs_removed, 1);
    assert!(verify().is_clean());
    let names: Vec<_> = store.refs().unwrap().into_iter().map(|one| one.0).collect();
    assert_eq!(names, ["one"]);
    collected().unwrap();
    assert_whole(&store, 1, &node, &blobs, 1000);
}
