//! Pulls from a real registry, named by `HD_TEST_REGISTRY` (`host:port` on loopback), with the images that
//! `integration` publishes there; `HD_TEST_FIXTURES_TSV` is the table of what `fixtures/layers` must unpack to.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there")]
#![expect(
    clippy::print_stdout,
    reason = "what was left out and what was measured is to be seen"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use hd_dag::{Entry, Kind, StoreTrees, Target, get, walk};
use hd_oci::{Client, ClientOptions, Digest, Image, PullError, Reference};
use hd_store::Store;

/// Returns a variable, or says loudly that the test is left out.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        println!("SKIPPED: {name} is not set, so nothing was pulled from a real registry");
    }
    value
}

struct Bench {
    client: Client,
    store: Store,
    registry: String,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Option<Bench> {
        let registry = variable("HD_TEST_REGISTRY")?;
        let dir = tempfile::tempdir().expect("directory");
        let store = Store::open(dir.path()).expect("store");
        let client = Client::new(ClientOptions::default()).expect("client");
        Some(Bench {
            client,
            store,
            registry,
            _dir: dir,
        })
    }

    fn reference(&self, name: &str) -> Reference {
        format!("{}/{name}", self.registry)
            .parse()
            .expect("reference")
    }

    async fn pull(&self, name: &str) -> Result<Image, PullError> {
        self.client
            .pull(&self.reference(name).into(), &self.store, Arc::new(|_| {}))
            .await
    }

    fn trees(&self) -> StoreTrees {
        StoreTrees::read_only(self.store.clone(), 16 << 20)
    }

    fn entry(&self, image: &Image, path: &str) -> Option<Entry> {
        get(
            &self.trees(),
            &image.rooted.tree,
            &path.parse().expect("path"),
        )
        .expect("tree")
    }
}

/// The rows of the table for an image, by path: type, mode, uid, gid, size, mtime, what, first of links, xattrs.
fn rows(bench: &Bench, image: &Image) -> BTreeMap<String, Vec<String>> {
    let trees = bench.trees();
    let items = walk(&trees, &image.rooted).expect("walk");
    let items: Vec<_> = items.map(|item| item.expect("item")).collect();
    let group = |entry: &Entry| match entry.target {
        Target::Regular { link_group, .. } => link_group,
        _ => None,
    };
    let mut groups: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    for item in &items {
        if let Some(number) = group(&item.entry) {
            groups
                .entry(number)
                .or_default()
                .push(item.path.as_bytes().to_vec());
        }
    }
    let rows = items.iter().map(|item| {
        let members = group(&item.entry).and_then(|number| groups.get(&number));
        let first = members
            .filter(|members| members.len() > 1)
            .and_then(|members| members.iter().min());
        let (kind, size, what) = content(bench, &item.entry);
        let meta = &item.entry.meta;
        let row = vec![
            kind.to_owned(),
            format!("{:04o}", meta.mode),
            meta.uid.to_string(),
            meta.gid.to_string(),
            size,
            item.mtime_ns.to_string(),
            what,
            first.map_or("-".to_owned(), |first| quoted(first)),
            xattrs(&meta.xattrs),
        ];
        (quoted(item.path.as_bytes()), row)
    });
    rows.collect()
}

fn content(bench: &Bench, entry: &Entry) -> (&'static str, String, String) {
    let none = || "-".to_owned();
    match &entry.target {
        Target::Regular { blob, size, .. } => {
            let bytes = bench.store.read_blob(blob).expect("content");
            ("f", size.to_string(), Digest::of(&bytes).hex().to_owned())
        }
        Target::Symlink { target } => ("l", none(), quoted(target)),
        Target::Char { rdev } => (
            "c",
            none(),
            format!("{}:{}", rdev >> 8 & 0xfff, rdev & 0xff),
        ),
        Target::Dir { .. } => ("d", none(), none()),
        Target::Fifo => ("p", none(), none()),
        other => panic!("{other:?} in an image"),
    }
}

fn quoted(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"/._-+:,@~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string");
        }
        text
    })
}

fn xattrs(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> String {
    if xattrs.is_empty() {
        return "-".to_owned();
    }
    let hex = |value: &[u8]| {
        value
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let pairs = xattrs
        .iter()
        .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), hex(value)));
    pairs.collect::<Vec<_>>().join(";")
}

#[tokio::test]
async fn the_fixture_unpacks_entry_for_entry() {
    let (Some(bench), Some(table)) = (Bench::new(), variable("HD_TEST_FIXTURES_TSV")) else {
        return;
    };
    let table = std::fs::read_to_string(table).expect("the table");
    let wanted: BTreeMap<String, Vec<String>> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            (fields.next().expect("path"), fields.collect())
        })
        .collect();
    assert!(wanted.len() > 100, "the table is there");
    let mut trees = Vec::new();
    for tag in ["1", "zstd", "v2s2"] {
        let image = bench
            .pull(&format!("fixtures/layers:{tag}"))
            .await
            .expect("pulled");
        let found = rows(&bench, &image);
        let paths: Vec<&String> = found.keys().collect();
        assert_eq!(paths, wanted.keys().collect::<Vec<_>>(), "{tag}");
        for (path, row) in &wanted {
            let same = row
                .iter()
                .zip(&found[path])
                .all(|(wanted, found)| wanted == "*" || wanted == found);
            assert!(
                same,
                "{tag} {path}: wanted {row:?}, found {:?}",
                found[path]
            );
        }
        let config = &image.config;
        assert_eq!(config.user.as_deref(), Some("app:extra"));
        assert_eq!(
            (config.entrypoint.as_slice(), config.cmd.len()),
            (&["/home/app/run".to_owned()][..], 2)
        );
        assert_eq!(
            (config.exposed.len(), config.volumes.len(), config.env.len()),
            (1, 1, 3)
        );
        trees.push(image.rooted);
    }
    assert!(
        trees.iter().all(|rooted| *rooted == trees[0]),
        "one tree, however it is packed"
    );
}

#[tokio::test]
async fn the_platform_is_chosen_from_an_index() {
    let Some(bench) = Bench::new() else {
        return;
    };
    let image = bench.pull("fixtures/multi:1").await.expect("pulled");
    let arch = image.config.labels.get("arch").map(String::as_str);
    assert_eq!(arch, Some(image.config.platform.architecture.as_str()));
    assert_ne!(image.digest, image.manifest);
    let options = ClientOptions {
        platform: "linux/s390x".parse().expect("platform"),
        ..ClientOptions::default()
    };
    let other = Client::new(options).expect("client");
    let reference = bench.reference("fixtures/multi:1");
    let error = other
        .pull(&reference.clone().into(), &bench.store, Arc::new(|_| {}))
        .await
        .expect_err("absent");
    assert!(error.to_string().contains("only for linux/"), "{error}");
}

#[tokio::test]
async fn busybox_is_pulled_with_its_hard_links() {
    let Some(bench) = Bench::new() else {
        return;
    };
    let image = bench.pull("busybox:1").await.expect("pulled");
    let links = rows(&bench, &image);
    let of_busybox = links
        .values()
        .filter(|row| row[7].starts_with("bin/"))
        .count();
    assert!(of_busybox > 100, "{of_busybox} names");
}

#[tokio::test]
async fn python_is_pulled_once() {
    let Some(bench) = Bench::new() else {
        return;
    };
    let started = Instant::now();
    let image = bench.pull("python:3.11-slim").await.expect("pulled");
    println!(
        "pull of python:3.11-slim into an empty store: {:?}",
        started.elapsed()
    );
    for (path, kind) in [
        ("usr/bin/python3.11", Kind::Regular),
        ("bin", Kind::Symlink),
        ("proc", Kind::Dir),
    ] {
        assert_eq!(
            bench.entry(&image, path).map(|entry| entry.kind()),
            Some(kind),
            "{path}"
        );
    }
    assert!(image.config.env.iter().any(|(name, _)| name == "PATH"));
    let digest = bench
        .client
        .resolve(&bench.reference("python:3.11-slim"))
        .await
        .expect("resolved");
    assert_eq!(digest, image.digest);
    let started = Instant::now();
    assert_eq!(bench.pull("python:3.11-slim").await.expect("known"), image);
    println!(
        "pull of python:3.11-slim when it is known: {:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let Some(bench) = Bench::new() else {
        return;
    };
    for name in ["no/such:1", "busybox:no-such-tag"] {
        let error = bench.pull(name).await.expect_err("absent").to_string();
        assert!(error.contains(name) && error.contains("404"), "{error}");
    }
}
