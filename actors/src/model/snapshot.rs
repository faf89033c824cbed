//! Snapshots: what services wrote into their views and volumes, kept by name.
//!
//! A snapshot is a small file of the instance that names trees of the store, and a reference that keeps
//! those from being collected. It outlives `down`.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use hd_dag::Rooted;
use hd_store::{Link, NodeKind, RefRecord, Store};
use serde::{Deserialize, Serialize};

use super::files;
use super::instance::InstancePaths;
use crate::messages::BatchError;
use crate::session::links_of;

/// What is kept under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// What a person calls it.
    pub name: String,
    /// When it was taken, in milliseconds since the epoch.
    pub at_unix_ms: u64,
    /// Write layers of services, by name.
    pub services: BTreeMap<String, Layer>,
    /// Named volumes of these services, by name.
    pub volumes: BTreeMap<String, Layer>,
    /// Whose the volumes themselves are, by name; a tree says it only of what is in it.
    #[serde(default)]
    pub tops: BTreeMap<String, Top>,
    /// The project that services saw, where they saw one of its trees and not the host's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Rooted>,
}

/// Whose a directory is, and its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Top {
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permissions, 12 bits.
    pub mode: u32,
}

impl Top {
    /// Takes it from what the kernel says of the directory.
    pub fn of(status: &Metadata) -> Self {
        Self {
            uid: status.uid(),
            gid: status.gid(),
            mode: status.mode() & 0o7777,
        }
    }
}

/// One tree of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The tree.
    pub content: Rooted,
    /// Files, links and removals in it.
    pub entries: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Snapshot {
    /// Tells whether a name may be that of a snapshot: a part of a file name, and none of the verbs.
    pub fn is_name(name: &str) -> bool {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        begins && name.len() <= 64 && name.chars().all(fits) && !matches!(name, "ls" | "rm")
    }

    /// Lists the snapshots of an instance, the newest last.
    ///
    /// # Errors
    /// Those of the disk, and a file that is no snapshot.
    pub fn all(paths: &InstancePaths) -> Result<Vec<Self>, BatchError> {
        let dir = paths.snapshots();
        let failed = |e: io::Error| BatchError::new("io", e).at(dir.display().to_string());
        let listing = match fs::read_dir(&dir) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut found = Vec::new();
        for entry in listing {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|kind| kind == "json") {
                found.extend(read(&path)?);
            }
        }
        found.sort_by(|a, b| (a.at_unix_ms, &a.name).cmp(&(b.at_unix_ms, &b.name)));
        Ok(found)
    }

    /// Finds one by its name.
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn load(paths: &InstancePaths, name: &str) -> Result<Option<Self>, BatchError> {
        match Self::is_name(name) {
            true => read(&paths.snapshot(name)),
            false => Ok(None),
        }
    }

    /// Makes it durable, in the place of one with the same name. What it names must be committed, and held
    /// until this returns.
    ///
    /// # Errors
    /// Those of the store and of the disk.
    pub fn save(
        &self,
        store: &Store,
        paths: &InstancePaths,
        project: &str,
    ) -> Result<(), BatchError> {
        let path = paths.snapshot(&self.name);
        let io = |e: io::Error| BatchError::new("io", e).at(path.display().to_string());
        let failed = |e: hd_store::Error| BatchError::new("store", e);
        let reference = paths.snapshot_reference(&self.name);
        let record = RefRecord {
            links: self.links(),
            project: project.to_owned(),
            at_unix_ms: self.at_unix_ms,
        };
        // Until the file says otherwise the one before counts: killed or failed in between, it is still whole, or
        // something is kept that nobody names.
        let before = match store.get_ref(&reference) {
            // It keeps nothing.
            Err(hd_store::Error::DamagedRef { .. }) => None,
            found => found.map_err(failed)?,
        };
        let mut of_both = record.clone();
        let of_before = before.map(|record| record.links).unwrap_or_default();
        of_both.links.extend(of_before);
        match store.put_ref(&reference, &of_both) {
            // The one before is whole no more, so there is nothing to keep.
            Err(hd_store::Error::DanglingRef { .. }) => store.put_ref(&reference, &record),
            kept => kept,
        }
        .map_err(failed)?;
        let bytes = serde_json::to_vec(self).map_err(|e| BatchError::new("internal", e))?;
        files::private_dir(&paths.snapshots())
            .and_then(|()| files::replace(&path, &bytes))
            .map_err(io)?;
        if of_both.links.len() > record.links.len() {
            store.put_ref(&reference, &record).map_err(failed)?;
        }
        Ok(())
    }

    /// Removes one by its name, also one that cannot be read.
    ///
    /// # Errors
    /// Those of the store and of the disk.
    pub fn remove(store: &Store, paths: &InstancePaths, name: &str) -> Result<(), BatchError> {
        let path = paths.snapshot(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BatchError::new("io", error).at(path.display().to_string()));
            }
            _ => {}
        }
        let dropped = store.drop_ref(&paths.snapshot_reference(name));
        dropped.map_err(|e| BatchError::new("store", e))
    }

    fn links(&self) -> Vec<Link> {
        let layers = self.services.values().chain(self.volumes.values());
        let contents = layers.flat_map(|layer| links_of(layer.content));
        // Only what the project had where is asked for, no content of its files.
        let project = self.project.iter();
        let project = project.map(|project| Link::Skeleton(NodeKind::Tree, project.tree));
        contents.chain(project).collect()
    }
}

/// Names of the references of all snapshots of an instance; one that cannot be read is left out.
pub fn references(paths: &InstancePaths) -> Vec<String> {
    let all = Snapshot::all(paths).unwrap_or_default();
    let names = all.iter().map(|one| paths.snapshot_reference(&one.name));
    names.collect()
}

fn read(path: &PathBuf) -> Result<Option<Snapshot>, BatchError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(BatchError::new("io", error).at(path.display().to_string())),
    };
    let snapshot = serde_json::from_slice(&bytes).map_err(|e| {
        BatchError::new("io", format!("this is no snapshot of this hd: {e}"))
            .at(path.display().to_string())
            .hint("`hd snapshot rm NAME` removes it")
    })?;
    Ok(Some(snapshot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parts_of_file_names_and_no_verbs() {
        for good in ["a", "before-migration", "2026.11_x"] {
            assert!(Snapshot::is_name(good), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", ".", "..", "-x", "a/b", "ls", "rm", "ü", &long] {
            assert!(!Snapshot::is_name(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_saved_is_found_and_removed() {
        let home = tempfile::tempdir().unwrap();
        let paths = InstancePaths::new(home.path(), home.path());
        let store = Store::open(&paths.cas()).unwrap();
        let one = |name: &str, at_unix_ms| Snapshot {
            name: name.to_owned(),
            at_unix_ms,
            services: BTreeMap::new(),
            volumes: BTreeMap::new(),
            tops: BTreeMap::new(),
            project: None,
        };
        for (name, at) in [("b", 1), ("a", 2)] {
            one(name, at).save(&store, &paths, "/p").unwrap();
        }
        let names =
            |all: Vec<Snapshot>| -> Vec<String> { all.into_iter().map(|one| one.name).collect() };
        assert_eq!(names(Snapshot::all(&paths).unwrap()), ["b", "a"]);
        assert_eq!(references(&paths).len(), 2);
        let found = Snapshot::load(&paths, "b").unwrap().unwrap();
        assert_eq!(found, one("b", 1));
        Snapshot::remove(&store, &paths, "b").unwrap();
        assert_eq!(names(Snapshot::all(&paths).unwrap()), ["a"]);
        assert_eq!(store.refs().unwrap().len(), 1);
        assert_eq!(Snapshot::load(&paths, "../a").unwrap(), None);
    }
}
