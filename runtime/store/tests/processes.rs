//! Several processes at one store; one of them killed at any moment.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{TextLinks, noise, pin, segments, text};
use hd_store::{GcOptions, Id, Link, NodeKind, RefRecord, Store, VerifyOptions};

const CAS: &str = "HD_STORE_TEST_CAS";
const SEED: &str = "HD_STORE_TEST_SEED";

/// Starts this test binary again as a writer.
fn writer_process(cas: &Path, seed: u64) -> Child {
    process("child_that_writes", cas, seed)
}

fn process(role: &str, cas: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", role, "--nocapture"])
        .env(CAS, cas)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn blobs_of(seed: u64, round: u64) -> Vec<Vec<u8>> {
    let shared = text(round, 3000);
    let own = seed * 1_000_000 + round * 10;
    vec![
        shared,
        text(own, 500),
        noise(own + 1, 90_000),
        text(own + 2, 200_000),
    ]
}

/// Not a test of its own: does nothing unless it was started by one.
#[test]
fn child_that_writes() {
    let Ok(cas) = std::env::var(CAS) else { return };
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let store = Store::open(Path::new(&cas)).unwrap();
    for round in 0..40 {
        let mut writer = store.writer().unwrap();
        let mut node = String::new();
        for blob in blobs_of(seed, round) {
            node += &format!("blob {}\n", writer.put_blob(&blob).unwrap());
        }
        let node = writer.put_node(NodeKind::Tree, node.as_bytes()).unwrap();
        writer
            .append_history(&Id::of(&seed.to_le_bytes()), node.to_string().as_bytes())
            .unwrap();
        writer.commit().unwrap();
        println!("\ncommitted {round} {node}");
    }
}

fn committed(line: &str) -> Option<(u64, Id)> {
    let (round, node) = line.strip_prefix("committed ")?.split_once(' ')?;
    Some((round.parse().unwrap(), node.parse().unwrap()))
}

fn assert_round_is_there(store: &Store, seed: u64, round: u64, node: &Id) {
    let bytes = store.read_node(NodeKind::Tree, node).unwrap();
    let expected: String = blobs_of(seed, round)
        .iter()
        .map(|blob| format!("blob {}\n", Id::of(blob)))
        .collect();
    assert_eq!(bytes, expected.as_bytes());
    for blob in blobs_of(seed, round) {
        assert!(store.read_blob(&Id::of(&blob)).unwrap() == blob);
    }
}

#[test]
fn a_killed_writer_loses_nothing_it_had_committed() {
    // The child is killed after it said `stop_after` commits, at whatever it is doing then.
    for stop_after in [0, 1, 2, 3, 5, 8, 13] {
        let cas = tempfile::tempdir().unwrap();
        let store = Store::open(cas.path()).unwrap();
        let mut child = writer_process(cas.path(), 1);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        let mut lines = lines.map_while(Result::ok);
        while said.len() < stop_after {
            said.extend(committed(&lines.next().unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still said before it died counts as well.
        said.extend(lines.filter_map(|line| committed(&line)));
        for store in [&store, &Store::open(cas.path()).unwrap()] {
            for (round, node) in &said {
                assert_round_is_there(store, 1, *round, node);
            }
            let nodes = store.history(&Id::of(&1_u64.to_le_bytes())).unwrap();
            assert!(
                nodes.len() >= said.len(),
                "history is committed with the rest"
            );
            for entry in nodes {
                let node: Id = String::from_utf8(entry.payload).unwrap().parse().unwrap();
                assert!(
                    store.read_node(NodeKind::Tree, &node).is_ok(),
                    "a commit is whole"
                );
            }
        }
        let report = store
            .verify(&VerifyOptions {
                read_data: true,
                links: None,
            })
            .unwrap();
        assert_eq!(report.damages, vec![]);
        // The lock went with the process: the next writer continues the same segment.
        let mut writer = store.writer().unwrap();
        writer.put_blob(b"next").unwrap();
        writer.commit().unwrap();
        assert_eq!(segments(cas.path()).len(), 1);
    }
}

#[test]
fn two_writers_and_a_reader_at_once() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let mut children = [2, 3].map(|seed| (seed, writer_process(cas.path(), seed)));
    for (seed, child) in &mut children {
        let lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut rounds = 0;
        for (round, node) in lines.filter_map(|line| committed(&line)) {
            assert_round_is_there(&store, *seed, round, &node);
            rounds += 1;
        }
        assert_eq!(rounds, 40);
        assert!(child.wait().unwrap().success());
    }
    let report = store
        .verify(&VerifyOptions {
            read_data: true,
            links: None,
        })
        .unwrap();
    assert_eq!(report.damages, vec![]);
    assert!(
        segments(cas.path()).len() <= 2,
        "a segment for each writer at most"
    );
}

/// Not a test of its own: pins trees, drops pins and collects, for as long as it is let.
#[test]
fn child_that_collects() {
    let Ok(cas) = std::env::var(CAS) else { return };
    let store = Store::open(Path::new(&cas)).unwrap();
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    for round in 0..100 {
        let mut writer = store.writer().unwrap();
        let mut node = String::new();
        for blob in blobs_of(seed, round) {
            node += &format!("blob {}\n", writer.put_blob(&blob).unwrap());
        }
        let node = writer.put_node(NodeKind::Tree, node.as_bytes()).unwrap();
        writer.commit().unwrap();
        pin(
            &store,
            &format!("{seed}/{}", round % 3),
            &[Link::Node(NodeKind::Tree, node)],
        );
        drop(writer);
        println!("\npinned {round}");
        if round % 2 == 0 {
            store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
            println!("\ncollected {round}");
        }
    }
}

#[test]
fn a_killed_collection_loses_nothing_that_is_pinned() {
    let cas = tempfile::tempdir().unwrap();
    let links = Some(&TextLinks as &dyn hd_store::Links);
    for (seed, lines_before) in [1, 2, 3, 4, 6, 7, 9, 10, 12, 15].into_iter().enumerate() {
        let mut child = process("child_that_collects", cas.path(), seed as u64 + 10);
        let lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let said = lines.filter(|line| line.contains("pinned") || line.contains("collected"));
        assert_eq!(said.take(lines_before).count(), lines_before);
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(cas.path()).unwrap();
        let report = store
            .verify(&VerifyOptions {
                read_data: true,
                links,
            })
            .unwrap();
        assert_eq!(report.damages, vec![], "killed after {lines_before} lines");
        assert!(!store.refs().unwrap().is_empty());
    }
    let store = Store::open(cas.path()).unwrap();
    store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
    let report = store
        .verify(&VerifyOptions {
            read_data: true,
            links,
        })
        .unwrap();
    assert_eq!(report.damages, vec![]);
}

/// Not a test of its own: holds a lease for the tree named by the seed until its input ends.
#[test]
fn child_that_leases() {
    let Ok(cas) = std::env::var(CAS) else { return };
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let store = Store::open(Path::new(&cas)).unwrap();
    let (tree, _) = common::put_tree(&store, seed, 1, 10_000);
    let lease = store.lease().unwrap();
    let links = vec![Link::Node(NodeKind::Tree, tree)];
    let record = RefRecord {
        links,
        project: "/p".into(),
        at_unix_ms: 1,
    };
    lease.set(&record).unwrap();
    println!("\nleased {tree}");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn processes_of_one_number_in_two_containers_do_not_take_each_others_leases() {
    let cas = tempfile::tempdir().unwrap();
    let store = Store::open(cas.path()).unwrap();
    let in_own_pids = |seed: u64| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--pid", "--fork", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_leases", "--nocapture"])
            .env(CAS, cas.path())
            .env(SEED, seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut children = [7, 8].map(in_own_pids);
    let mut trees: Vec<Id> = Vec::new();
    for child in &mut children {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let leased = lines.find_map(|line| line.strip_prefix("leased ").map(str::to_owned));
        let Some(leased) = leased else {
            eprintln!("SKIPPED: no pid namespace can be made here");
            return;
        };
        trees.push(leased.parse().unwrap());
    }
    store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
    for tree in &trees {
        assert!(store.contains(tree).unwrap());
    }
    for mut child in children {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
