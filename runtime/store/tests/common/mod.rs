//! What the tests of the store share.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

pub mod project;

use std::fs;
use std::path::{Path, PathBuf};

use hd_store::{Id, Link, Links, NodeKind, RefRecord, Store};

/// Bytes that look random and are the same everywhere.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Text that compresses as source code does.
pub fn text(seed: u64, len: usize) -> Vec<u8> {
    let words = [
        "let ", "fn ", "return ", "value", "self.", "(", ");\n", "    ", "match ",
    ];
    let picks = noise(seed, len);
    let mut out: Vec<u8> = picks
        .iter()
        .flat_map(|pick| words[*pick as usize % words.len()].bytes())
        .collect();
    out.truncate(len);
    out
}

/// Every segment file of a store, sorted.
pub fn segments(cas: &Path) -> Vec<PathBuf> {
    files_below(&cas.join("objects"), "seg")
}

/// Removes every index file, so that the next opening reads the segments themselves.
pub fn drop_indexes(cas: &Path) {
    for index in files_below(&cas.join("objects"), "idx") {
        fs::remove_file(index).unwrap();
    }
}

fn files_below(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_below(&entry.path(), extension));
        } else if entry.path().extension().is_some_and(|e| e == extension) {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Nodes of the tests: one link per line, `blob <id>`, `tree <id>` or `skeleton <id>`.
pub struct TextLinks;

impl Links for TextLinks {
    fn links(&self, _kind: NodeKind, bytes: &[u8]) -> Result<Vec<Link>, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (kind, id) = line.split_once(' ').ok_or("no link")?;
                let id = id.parse().map_err(|error| format!("{error}"))?;
                match kind {
                    "blob" => Ok(Link::Blob(id)),
                    "tree" => Ok(Link::Node(NodeKind::Tree, id)),
                    "skeleton" => Ok(Link::Skeleton(NodeKind::Tree, id)),
                    other => Err(format!("unknown link {other}")),
                }
            })
            .collect()
    }

    fn history_links(&self, payload: &[u8]) -> Result<Vec<Link>, String> {
        self.links(NodeKind::Node, payload)
    }
}

/// Puts a reference to the given links.
pub fn pin(store: &Store, name: &str, links: &[Link]) {
    let record = RefRecord {
        links: links.to_vec(),
        project: "/p".into(),
        at_unix_ms: 1,
    };
    store.put_ref(name, &record).unwrap();
}

/// Bytes of all segment files.
pub fn disk(cas: &Path) -> u64 {
    segments(cas)
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum()
}

/// A tree of one level: `count` blobs of the seed.
pub fn put_tree(store: &Store, seed: u64, count: u64, len: usize) -> (Id, Vec<Id>) {
    let mut writer = store.writer().unwrap();
    let blobs: Vec<Id> = (0..count)
        .map(|number| writer.put_blob(&noise(seed * 1000 + number, len)).unwrap())
        .collect();
    let lines: String = blobs.iter().map(|blob| format!("blob {blob}\n")).collect();
    let node = writer.put_node(NodeKind::Tree, lines.as_bytes()).unwrap();
    writer.commit().unwrap();
    (node, blobs)
}

/// Reads a tree of [`put_tree`] and all its blobs.
pub fn assert_whole(store: &Store, seed: u64, node: &Id, blobs: &[Id], len: usize) {
    assert!(store.read_node(NodeKind::Tree, node).is_ok());
    for (number, blob) in blobs.iter().enumerate() {
        assert!(store.read_blob(blob).unwrap() == noise(seed * 1000 + number as u64, len));
    }
}
