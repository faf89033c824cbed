//! Damaged or hostile bytes are refused and never bring the program down.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::*;
use hd_dag::*;
use hd_store::{Links, NodeKind};
use proptest::prelude::*;

const VECTORS: &str = include_str!("vectors.txt");

fn vectors() -> Vec<Vec<u8>> {
    let hex = VECTORS
        .lines()
        .filter_map(|line| line.strip_prefix("bytes "));
    hex.map(|hex| {
        let digits = hex.as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    })
    .collect()
}

#[derive(Clone, Debug)]
enum Damage {
    Set(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, to)| Damage::Set(at, to)),
        any::<usize>().prop_map(Damage::Cut),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..10))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ]
}

fn damage(bytes: &mut Vec<u8>, damage: &Damage) {
    let place = |at: &usize| at % (bytes.len() + 1);
    match damage {
        Damage::Set(at, to) => {
            let at = place(at);
            bytes.get_mut(at).into_iter().for_each(|byte| *byte = *to);
        }
        Damage::Cut(at) => bytes.truncate(place(at)),
        Damage::Insert(at, more) => drop(bytes.splice(place(at)..place(at), more.iter().copied())),
    }
}

/// Whatever decodes must be what its decoding encodes to: one value, one id.
fn decode_all(bytes: &[u8]) {
    if let Ok(node) = TreeNode::decode(bytes) {
        assert_eq!(node.encode(), bytes);
    }
    if let Ok(node) = TimesNode::decode(bytes) {
        assert_eq!(node.encode(), bytes);
    }
    if let Ok(trace) = trace::Trace::decode(bytes) {
        assert_eq!(trace.encode(), bytes);
    }
    if let Ok(node) = node::Node::decode(bytes) {
        assert_eq!(node.encode().unwrap(), bytes);
    }
    if let Ok(result) = StepResult::decode(bytes) {
        assert_eq!(result.encode().unwrap(), bytes);
    }
    for kind in NodeKind::ALL {
        drop(StoreLinks.links(kind, bytes));
    }
    drop(StoreLinks.history_links(bytes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn damaged_vectors_never_panic(
        which in any::<prop::sample::Index>(),
        damages in prop::collection::vec(any_damage(), 1..4),
    ) {
        let vectors = vectors();
        let mut bytes = vectors[which.index(vectors.len())].clone();
        damages.iter().for_each(|one| damage(&mut bytes, one));
        decode_all(&bytes);
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
        decode_all(&[&[1], bytes.as_slice()].concat());
    }
}

#[test]
fn nesting_and_lengths_beyond_reason_are_refused() {
    let nested = [vec![1], vec![0x81; 100_000]].concat();
    decode_all(&nested);
    for head in [0x9b, 0x5b, 0x7b, 0xbb] {
        let long = [&[1, head][..], &[0x7f; 8]].concat();
        decode_all(&long);
    }
    let versions = TreeNode::decode(&[2, 0x82, 0, 0x80]).unwrap_err();
    assert!(versions.to_string().contains("format version 2"));
}

#[test]
fn an_index_over_a_node_of_its_own_level_is_refused() {
    let trees = MemoryTrees::new();
    let leaf = tree(&trees, &[("a", file("1"))]);
    let last = Name::new(b"a").unwrap();
    let child = |id| Child {
        last: last.clone(),
        id,
        count: 1,
        marked: false,
    };
    let index = |level, id| TreeNode::Index {
        level,
        children: vec![child(id)],
    };
    let good = trees.save_tree_node(index(1, leaf.tree)).unwrap();
    let at = path("a");
    assert!(get(&trees, &good, &at).unwrap().is_some());
    for bad in [index(2, leaf.tree), index(1, good), index(3, good)] {
        let bad = trees.save_tree_node(bad).unwrap();
        let root = Rooted { tree: bad, ..leaf };
        assert!(get(&trees, &bad, &at).is_err());
        assert!(walk(&trees, &root).unwrap().any(|item| item.is_err()));
        assert!(Directory::load(&trees, &bad).is_err());
        assert!(diff(&trees, &leaf.tree, &bad).is_err());
        assert!(apply(&trees, &root, [remove("a")]).is_err());
    }
}

#[test]
fn missing_nodes_are_errors_and_missing_times_are_the_epoch() {
    let trees = MemoryTrees::new();
    let root = tree(&trees, &[("a", file("1"))]);
    let other = MemoryTrees::new();
    let error = get(&other, &root.tree, &path("a")).unwrap_err();
    assert!(matches!(
        error,
        TreeError::Missing {
            kind: NodeKind::Tree,
            ..
        }
    ));
    let timeless = Rooted {
        times: empty_times(),
        ..root
    };
    let (_, stamp) = get_stamped(&trees, &timeless, &path("a")).unwrap().unwrap();
    assert_eq!(stamp, Stamp::default());
}
