//! Collections beside writers and readers of many processes, any of them killed at any moment.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{TextLinks, noise, pin, text};
use hd_store::{Error, GcOptions, Id, Link, NodeKind, RefRecord, Store, VerifyOptions};

const CAS: &str = "HD_STORE_TEST_CAS";
const SEED: &str = "HD_STORE_TEST_SEED";
const WRITERS: u64 = 8;

/// Blobs that all processes put again and again: most find them dead, or about to go.
fn pool(number: u64) -> Vec<u8> {
    match number % 4 {
        0 => noise(number, 150_000),
        1 => text(number, 40_000),
        _ => text(number, 3_000),
    }
}

/// A small generator, so that each child does its own thing and the same each time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn rounds() -> u64 {
    let told = std::env::var("HD_TEST_GC_ROUNDS").ok();
    told.and_then(|rounds| rounds.parse().ok()).unwrap_or(12)
}

fn process(role: &str, cas: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", role, "--nocapture"])
        .env(CAS, cas)
        .env(SEED, seed.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn put_tree(store: &Store, dice: &mut Dice) -> (hd_store::Writer, Id, Vec<u64>) {
    let mut writer = store.writer().unwrap();
    let numbers: Vec<u64> = (0..=dice.throw(6)).map(|_| dice.throw(24)).collect();
    let mut lines = String::new();
    for number in &numbers {
        let blob = writer.put_blob(&pool(*number)).unwrap();
        lines += &format!("blob {blob}\n");
    }
    let leaf = writer.put_node(NodeKind::Tree, lines.as_bytes()).unwrap();
    let top = writer
        .put_node(NodeKind::Tree, format!("tree {leaf}\n").as_bytes())
        .unwrap();
    let key = Id::of(&[dice.throw(3) as u8]);
    writer
        .append_history(&key, format!("tree {top}\n").as_bytes())
        .unwrap();
    writer.commit().unwrap();
    (writer, top, numbers)
}

fn assert_whole(store: &Store, top: &Id, numbers: &[u64]) {
    let line = store.read_node(NodeKind::Tree, top).unwrap();
    let leaf: Id = std::str::from_utf8(&line[5..69]).unwrap().parse().unwrap();
    store.read_node(NodeKind::Tree, &leaf).unwrap();
    for number in numbers {
        let content = pool(*number);
        assert!(store.read_blob(&Id::of(&content)).unwrap() == content);
    }
}

/// Ends this child with its parent, whose end of the pipe closes.
fn end_with_parent() {
    std::thread::spawn(|| {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
        std::process::exit(0);
    });
}

/// Not a test of its own: puts, pins or leases, reads back, and begins anew.
#[test]
fn child_that_works() {
    let Ok(cas) = std::env::var(CAS) else { return };
    end_with_parent();
    let store = Store::open(Path::new(&cas)).unwrap();
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let mut dice = Dice(seed);
    let lease = store.lease().unwrap();
    loop {
        let (writer, top, numbers) = put_tree(&store, &mut dice);
        let links = [Link::Node(NodeKind::Tree, top)];
        if dice.throw(3) == 0 {
            let record = RefRecord {
                links: links.to_vec(),
                project: String::new(),
                at_unix_ms: 1,
            };
            lease.set(&record).unwrap();
        } else {
            pin(&store, &format!("{}", seed % WRITERS), &links);
        }
        drop(writer);
        for _ in 0..dice.throw(4) {
            assert_whole(&store, &top, &numbers);
        }
        // What a history says is whole is relied on as it is.
        let writer = store.writer().unwrap();
        let key = Id::of(&[dice.throw(3) as u8]);
        if let Some(entry) = store.history(&key).unwrap().into_iter().next() {
            let top: Id = std::str::from_utf8(&entry.payload[5..69])
                .unwrap()
                .parse()
                .unwrap();
            if store.contains(&top).unwrap() {
                pin(
                    &store,
                    &format!("h{}", seed % WRITERS),
                    &[Link::Node(NodeKind::Tree, top)],
                );
                drop(writer);
                let line = store.read_node(NodeKind::Tree, &top).unwrap();
                let leaf: Id = std::str::from_utf8(&line[5..69]).unwrap().parse().unwrap();
                let lines = store.read_node(NodeKind::Tree, &leaf).unwrap();
                for line in std::str::from_utf8(&lines).unwrap().lines() {
                    let blob: Id = line[5..].parse().unwrap();
                    assert_eq!(Id::of(&store.read_blob(&blob).unwrap()), blob);
                }
            }
        }
    }
}

/// Not a test of its own: collects without an end.
#[test]
fn child_that_collects() {
    let Ok(cas) = std::env::var(CAS) else { return };
    end_with_parent();
    let store = Store::open(Path::new(&cas)).unwrap();
    let options = GcOptions {
        history_per_key: 2,
        wait: Duration::from_secs(5),
        ..GcOptions::new(0)
    };
    loop {
        match store.gc(&TextLinks, &options) {
            Ok(_) | Err(Error::Busy { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        // Its turn is not the only one.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn assert_sound(store: &Store, when: &str) {
    let options = VerifyOptions {
        read_data: true,
        links: Some(&TextLinks),
    };
    let report = store.verify(&options).unwrap();
    assert_eq!(report.damages, vec![], "{when}");
}

#[test]
fn eight_processes_and_collections_at_once_lose_nothing() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    let mut dice = Dice(77);
    let mut seed = 0;
    let mut start = |role: &str| {
        seed += 1;
        process(role, place.path(), seed)
    };
    let mut workers: Vec<Child> = (0..WRITERS).map(|_| start("child_that_works")).collect();
    let mut collector = start("child_that_collects");
    let options = GcOptions {
        history_per_key: 2,
        ..GcOptions::new(0)
    };
    for round in 0..rounds() {
        // This process collects too, and kills whom it likes.
        let report = store.gc(&TextLinks, &options).unwrap();
        assert_eq!(report.missing, vec![], "round {round}");
        let number = dice.throw(WRITERS + 2) as usize;
        let (role, victim) = match workers.get_mut(number) {
            Some(worker) => ("child_that_works", worker),
            None => ("child_that_collects", &mut collector),
        };
        let ended = victim.try_wait().unwrap();
        assert_eq!(ended, None, "round {round}: a child saw a hole");
        victim.kill().unwrap();
        victim.wait().unwrap();
        *victim = start(role);
        assert_sound(&store, &format!("round {round}"));
    }
    for mut child in workers.into_iter().chain([collector]) {
        let ended = child.try_wait().unwrap();
        assert_eq!(ended, None, "a child saw a hole or a wrong byte");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_sound(&store, "at the end");
    let report = store.gc(&TextLinks, &options).unwrap();
    assert_eq!(report.missing, vec![]);
    assert_sound(&store, "after the last collection");
}
