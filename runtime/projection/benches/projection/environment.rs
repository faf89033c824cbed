//! The environment to project: a directory on disk, and the same as a tree in a store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hd_dag::{Entry, Meta, NodeCache, Rooted, StoreTrees, TreePath};
use hd_projection::capture::{CaptureRules, capture};
use hd_projection::{Composite, Graft};
use hd_store::Store;

use crate::Failure;

/// Bytes of decoded tree nodes and of decoded directories kept, as `hd` itself has them.
const NODE_BYTES: usize = 64 << 20;

/// An environment ready to be mounted.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The files as they lie on ext4.
    pub(crate) directory: PathBuf,
    /// The store that holds them.
    pub(crate) cas: PathBuf,
    /// Their tree.
    pub(crate) rooted: Rooted,
    /// A file with the path of every regular file, one a line.
    pub(crate) list: PathBuf,
    /// Regular files.
    pub(crate) files: usize,
    /// All entries.
    pub(crate) entries: usize,
    /// Bytes in regular files.
    pub(crate) bytes: u64,
    /// The largest regular file.
    pub(crate) largest: String,
}

/// Ingests a directory into a new store below `scratch`.
pub(crate) fn prepare(directory: &Path, scratch: &Path) -> Result<Environment, Failure> {
    let cas = scratch.join("cas");
    if cas.exists() {
        fs::remove_dir_all(&cas)?;
    }
    fs::create_dir_all(&cas)?;
    let store = Store::open(&cas)?;
    let (rooted, entries) = ingest(directory, &store)?;
    let mut environment = Environment {
        directory: directory.to_path_buf(),
        cas,
        rooted,
        list: scratch.join("files"),
        files: 0,
        entries,
        bytes: 0,
        largest: String::new(),
    };
    environment.list_files()?;
    Ok(environment)
}

impl Environment {
    fn list_files(&mut self) -> Result<(), Failure> {
        let mut lines = Vec::new();
        let mut largest = 0;
        let mut pending = vec![self.directory.clone()];
        while let Some(dir) = pending.pop() {
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    pending.push(entry.path());
                } else if kind.is_file() {
                    let path = entry.path();
                    let name = path
                        .strip_prefix(&self.directory)?
                        .to_string_lossy()
                        .into_owned();
                    let size = entry.metadata()?.len();
                    if size > largest {
                        (largest, self.largest) = (size, name.clone());
                    }
                    self.bytes += size;
                    lines.push(name);
                }
            }
        }
        lines.sort();
        self.files = lines.len();
        fs::write(&self.list, lines.join("\n"))?;
        Ok(())
    }
}

/// Stores a directory as `hd` captures a write layer; gives the tree and the number of entries.
pub(crate) fn ingest(directory: &Path, store: &Store) -> Result<(Rooted, usize), Failure> {
    let nothing = lower(store, Rooted::empty());
    let rules = CaptureRules {
        lower: &nothing,
        skip: &[],
        owners: &[],
        project: &TreePath::new(b"none")?,
    };
    let mut writer = store.writer()?;
    let captured = capture(directory, store, &mut writer, &rules)?.changes;
    let entries = captured.len();
    let trees = StoreTrees::new(store.clone(), writer, NODE_BYTES);
    let rooted = hd_dag::build(
        &trees,
        captured
            .into_iter()
            .map(|found| (found.path, found.entry, found.mtime_ns)),
    )?;
    trees.commit()?;
    Ok((rooted, entries))
}

/// A tree of `files` small files in one store, for the question what mounting it costs.
pub(crate) fn synthetic(store: &Store, files: usize) -> Result<Rooted, Failure> {
    let mut writer = store.writer()?;
    let blob = writer.put_blob(b"one small file\n")?;
    let trees = StoreTrees::new(store.clone(), writer, NODE_BYTES);
    let mut entries = Vec::with_capacity(files);
    for number in 0..files {
        let path = format!(
            "d{:03}/e{:02}/f{number:06}",
            number / 1000,
            number / 100 % 10
        );
        let entry = Entry::regular(Meta::new(0o644), blob, 15);
        entries.push((TreePath::new(path.as_bytes())?, entry, 1_000_000_000));
    }
    let rooted = hd_dag::build(&trees, entries)?;
    trees.commit()?;
    Ok(rooted)
}

/// Puts a tree of a store together for serving.
pub(crate) fn lower(store: &Store, rooted: Rooted) -> Composite {
    let trees = StoreTrees::read_only(store.clone(), NODE_BYTES);
    let nodes = Arc::new(NodeCache::new(Arc::new(trees), NODE_BYTES));
    Composite::new(store.clone(), nodes, rooted, Vec::<Graft>::new())
}
