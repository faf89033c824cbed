//! The encodings, byte for byte: a change here changes every id there is.
//!
//! To write the file anew after a deliberate change of format:
//! `UPDATE_VECTORS=1 cargo test -p hd-dag --test vectors`.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use common::*;
use hd_dag::node::{BuildStep, DirNode, Env, FileNode, Node, Package};
use hd_dag::trace::{Observation, Seen, Trace, list_digest};
use hd_dag::*;
use hd_store::{Id, Link, Links, NodeKind};

fn id(number: u8) -> Id {
    Id::from_bytes([number; 32])
}

fn name(bytes: &[u8]) -> Name {
    Name::new(bytes).unwrap()
}

fn leaf() -> TreeNode {
    let mut meta = Meta::owned(0o4755, 1000, 70_000);
    meta.xattrs.insert(b"user.long".to_vec(), vec![0, 255]);
    meta.xattrs.insert(b"user.z".to_vec(), vec![]);
    let (blob, size, link_group) = (id(1), 1 << 40, Some(7));
    let linked = Target::Regular {
        blob,
        size,
        link_group,
    };
    let marked = Target::Dir {
        tree: id(2),
        opaque: true,
        marked: true,
    };
    let entry = |target| Entry {
        meta: Meta::new(0o600),
        target,
    };
    TreeNode::Leaf(vec![
        (name(b"block"), entry(Target::Block { rdev: 0x801 })),
        (name(b"char"), entry(Target::Char { rdev: 259 })),
        (name(b"dir"), Entry::dir_of(Meta::new(0o755), id(3))),
        (name(b"fifo"), entry(Target::Fifo)),
        (name(b"file"), Entry::regular(Meta::new(0o644), id(4), 23)),
        (name(b"gone"), Entry::whiteout()),
        (
            name(b"layer"),
            Entry {
                meta: Meta::default(),
                target: marked,
            },
        ),
        (name(b"link"), Entry::symlink(0, 0, "../target")),
        (
            name(b"linked"),
            Entry {
                meta,
                target: linked,
            },
        ),
        (name(b"\xff\xfe"), Entry::regular(Meta::new(0), id(5), 0)),
    ])
}

fn index() -> TreeNode {
    let child = |last: &[u8], marked| Child {
        last: name(last),
        id: id(6),
        count: 300,
        marked,
    };
    TreeNode::Index {
        level: 1,
        children: vec![child(b"a", false), child(b"b", true)],
    }
}

fn times() -> TimesNode {
    TimesNode::Leaf(vec![
        (name(b"dir"), Stamp::dir(1_700_000_000_123_456_789, id(7))),
        (name(b"old"), Stamp::leaf(-1)),
    ])
}

fn trace() -> Trace {
    let mut trace = Trace::new();
    let xattrs = Some(id(8));
    let (dev, ino, size, mtime_ns, ctime_ns) = (1, 2, 3, -4, 5);
    for (at, seen) in [
        (
            "a",
            Seen::Dir {
                mode: 0o755,
                uid: 0,
                gid: 1,
                xattrs: None,
            },
        ),
        (
            "a/b",
            Seen::Dir {
                mode: 0o700,
                uid: 0,
                gid: 0,
                xattrs,
            },
        ),
        ("a/bc", Seen::Entry { id: id(9) }),
        ("a/none", Seen::Absent),
        (
            "etc",
            Seen::HostDir {
                mode: 0o755,
                uid: 0,
                gid: 0,
            },
        ),
        ("etc/none", Seen::HostAbsent),
        (
            "etc/passwd",
            Seen::HostFile {
                dev,
                ino,
                size,
                mtime_ns,
                ctime_ns,
            },
        ),
    ] {
        trace.record(path(at), Observation::Lookup(seen));
    }
    trace.record(TreePath::root(), Observation::List(id(10)));
    trace.record(path("a"), Observation::List(id(11)));
    trace
}

fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

fn package() -> Package {
    let [provider, name, version] = ["pip", "flask", "3.0.2"].map(str::to_owned);
    Package {
        provider,
        name,
        version,
        artefact: Some(id(12)),
        tree: None,
    }
}

fn step() -> BuildStep {
    BuildStep {
        name: "install".to_owned(),
        command: ["sh", "-c", "npm ci"].map(str::to_owned).to_vec(),
        environment: strings(&[("LONG_NAME", "1"), ("B", "2")]),
        settings: strings(&[("network", "host")]),
        order: 0,
    }
}

fn result(host: bool) -> StepResult {
    let rooted = |n| Rooted {
        tree: id(n),
        times: id(n + 1),
    };
    StepResult {
        key: id(20),
        trace: id(21),
        output: rooted(22),
        touched: None,
        made_on: rooted(24),
        log: Some(id(26)),
        made_at_unix_ms: 1_700_000_000_000,
        ms: 1500,
        host,
    }
}

fn env() -> Env {
    let (name, children) = ("demo".to_owned(), vec![id(13), id(14)]);
    Env {
        name,
        children,
        environment: strings(&[("PORT", "5000")]),
    }
}

/// Name, kind and bytes of everything that is stored.
fn cases() -> Vec<(&'static str, NodeKind, Vec<u8>)> {
    let node = |node: Node| node.encode().unwrap();
    let (blob, size, mode) = (id(1), 5, 0o644);
    vec![
        ("tree empty", NodeKind::Tree, TreeNode::empty().encode()),
        ("tree leaf", NodeKind::Tree, leaf().encode()),
        ("tree index", NodeKind::Tree, index().encode()),
        ("times empty", NodeKind::Times, TimesNode::empty().encode()),
        ("times leaf", NodeKind::Times, times().encode()),
        ("trace empty", NodeKind::Trace, Trace::new().encode()),
        ("trace", NodeKind::Trace, trace().encode()),
        ("result", NodeKind::Result, result(true).encode().unwrap()),
        (
            "result trees only",
            NodeKind::Result,
            result(false).encode().unwrap(),
        ),
        (
            "node file",
            NodeKind::Node,
            node(Node::File(FileNode { blob, size, mode })),
        ),
        (
            "node dir",
            NodeKind::Node,
            node(Node::Dir(DirNode { tree: id(2) })),
        ),
        (
            "node package",
            NodeKind::Node,
            node(Node::Package(package())),
        ),
        (
            "node build step",
            NodeKind::Node,
            node(Node::BuildStep(step())),
        ),
        ("node env", NodeKind::Node, node(Node::Env(env()))),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn described() -> String {
    let mut out = String::new();
    for (name, kind, bytes) in cases() {
        let id = kind.id_of(&bytes);
        writeln!(out, "{name}\nbytes {}\nid {id}", hex(&bytes)).unwrap();
    }
    if let MapNode::Leaf(items) = leaf() {
        for (name, entry) in items {
            writeln!(out, "entry {name}\nid {}", entry.id()).unwrap();
        }
    }
    let listing = list_digest([(&b"a"[..], Kind::Dir), (&b"b"[..], Kind::Regular)]);
    writeln!(out, "listing of dir a, regular b\nid {listing}").unwrap();
    let mut model = Model::new();
    for n in 0..1000 {
        let big = put(&format!("big/{n}"), file(&n.to_string()), n);
        edit_model(&mut model, &big);
    }
    let split = from_model(&MemoryTrees::new(), &model);
    let (tree, times) = (split.tree, split.times);
    writeln!(out, "directory of 1000\nid {tree}\nid {times}").unwrap();
    let environment = Environment {
        name: "demo".to_owned(),
        base: None,
        packages: vec![package()],
        project: Some(id(2)),
        steps: vec![step()],
        environment: strings(&[("PORT", "5000")]),
    };
    let root = environment_root(&environment).unwrap().root;
    writeln!(out, "environment\nid {root}").unwrap();
    out
}

#[test]
fn encodings_are_those_checked_in() {
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors.txt");
        std::fs::write(file, described()).unwrap();
        return;
    }
    let expected = include_str!("vectors.txt");
    for (found, expected) in described().lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(described().lines().count(), expected.lines().count());
}

#[test]
fn what_is_encoded_is_decoded() {
    for node in [TreeNode::empty(), leaf(), index()] {
        assert_eq!(TreeNode::decode(&node.encode()), Ok(node));
    }
    assert_eq!(TimesNode::decode(&times().encode()), Ok(times()));
    assert_eq!(Trace::decode(&trace().encode()), Ok(trace()));
    assert_eq!(
        StepResult::decode(&result(true).encode().unwrap()),
        Ok(result(true))
    );
    for node in [
        Node::Package(package()),
        Node::BuildStep(step()),
        Node::Env(env()),
    ] {
        assert_eq!(Node::decode(&node.encode().unwrap()), Ok(node));
    }
}

#[test]
fn map_keys_are_sorted_by_their_encoding() {
    // {"env": {"name": ..}}: within the map `name` (4 bytes) comes before `children` (8).
    let text = String::from_utf8_lossy(&Node::Env(env()).encode().unwrap()).into_owned();
    let place = |key| text.find(key).unwrap();
    assert!(place("name") < place("children") && place("children") < place("environment"));
}

#[test]
fn unknown_fields_and_types_are_refused() {
    let dir = Node::Dir(DirNode { tree: id(2) }).encode().unwrap();
    let swap = |from: &str, to: &str| {
        let at = dir
            .windows(from.len())
            .position(|part| part == from.as_bytes())
            .unwrap();
        let mut bytes = dir.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    assert!(Node::decode(&dir).is_ok());
    for bytes in [swap("tree", "twig"), swap("dir", "din")] {
        let error = Node::decode(&bytes).unwrap_err().to_string();
        assert!(error.contains("unknown"), "{error}");
    }
}

#[test]
fn links_reach_everything_that_is_needed() {
    let links = |kind, bytes: &[u8]| StoreLinks.links(kind, bytes).unwrap();
    let (blob, tree) = (Link::Blob, |n| Link::Node(NodeKind::Tree, n));
    let found = links(NodeKind::Tree, &leaf().encode());
    let expected = [
        tree(id(3)),
        blob(id(4)),
        tree(id(2)),
        blob(id(1)),
        blob(id(5)),
    ];
    assert_eq!(found, expected);
    let found = links(NodeKind::Tree, &index().encode());
    assert_eq!(found, [tree(id(6)), tree(id(6))]);
    let found = links(NodeKind::Times, &times().encode());
    assert_eq!(found, [Link::Node(NodeKind::Times, id(7))]);
    assert!(links(NodeKind::Trace, &trace().encode()).is_empty());
    let env = Node::Env(env()).encode().unwrap();
    assert_eq!(links(NodeKind::Node, &env).len(), 2);
    let empty = TreeNode::Leaf(vec![(name(b"d"), Entry::dir(Meta::new(0o755)))]);
    assert!(links(NodeKind::Tree, &empty.encode()).is_empty());
    let history = result(true).encode().unwrap();
    let history = StoreLinks.history_links(&history).unwrap();
    let expected = [
        tree(id(22)),
        Link::Node(NodeKind::Times, id(23)),
        Link::Node(NodeKind::Trace, id(21)),
        blob(id(26)),
        Link::Skeleton(NodeKind::Tree, id(24)),
    ];
    assert_eq!(history, expected);
}

#[test]
fn the_root_covers_what_is_asked_for() {
    let base = Environment {
        name: "demo".to_owned(),
        ..Environment::default()
    };
    let with = |change: &dyn Fn(&mut Environment)| {
        let mut environment = base.clone();
        change(&mut environment);
        environment_root(&environment).unwrap().root
    };
    let roots = [
        with(&|_| {}),
        with(&|e| e.base = Some(package())),
        with(&|e| e.packages = vec![package(), package()]),
        with(&|e| e.project = Some(id(1))),
        with(&|e| e.steps = vec![step()]),
        with(&|e| e.environment = strings(&[("A", "1")])),
    ];
    let different: BTreeSet<_> = roots.iter().collect();
    assert_eq!(different.len(), roots.len());
    let trees = MemoryTrees::new();
    let nodes = environment_root(&base).unwrap();
    assert_eq!(nodes.save(&trees).unwrap(), roots[0]);
    assert!(trees.load(NodeKind::Node, &nodes.root).is_ok());
}
