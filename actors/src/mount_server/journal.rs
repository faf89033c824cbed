//! Mount points in a live project: written down before they are made, removed when unused.
//!
//! A mount needs a directory to lie on. hd makes it empty, as the project owner's, and takes
//! away only what it made and what is still empty.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hd_dag::TreePath;

use super::view::host_path;
use crate::model::files::replace;
use crate::shared::give;

/// The journal of one instance.
#[derive(Clone, Debug)]
pub struct Journal {
    file: PathBuf,
    project: PathBuf,
}

impl Journal {
    /// Opens the journal kept in `file` for a project directory.
    pub fn new(file: PathBuf, project: PathBuf) -> Self {
        Self { file, project }
    }

    /// Gives the mount points written down.
    pub fn read(&self) -> Vec<TreePath> {
        let bytes = fs::read(&self.file).unwrap_or_default();
        let names: Vec<Vec<u8>> = serde_json::from_slice(&bytes).unwrap_or_default();
        names
            .iter()
            .filter_map(|name| TreePath::new(name).ok())
            .collect()
    }

    /// Makes the mount points `wanted` and removes those no longer wanted.
    ///
    /// A directory the person made there in the meantime is used as it is and never removed.
    pub fn make(&self, wanted: &[TreePath], owner: (u32, u32)) -> io::Result<()> {
        let known = self.read();
        let fresh: Vec<&TreePath> = wanted
            .iter()
            .filter(|path| !self.host(path).is_dir())
            .collect();
        let mut noted: Vec<TreePath> = known
            .iter()
            .filter(|path| wanted.contains(path))
            .cloned()
            .collect();
        noted.extend(
            fresh
                .iter()
                .filter(|path| !known.contains(path))
                .map(|path| (*path).clone()),
        );
        for path in known.iter().rev().filter(|path| !wanted.contains(path)) {
            self.remove_one(path)?;
        }
        self.write(&noted)?;
        for path in fresh {
            let host = self.host(path);
            fs::create_dir(&host)?;
            give(&host, owner)?;
        }
        Ok(())
    }

    /// Removes all mount points that are still empty, and the journal.
    pub fn clear(&self) -> io::Result<()> {
        // The inner ones first: they were made last.
        for path in self.read().iter().rev() {
            self.remove_one(path)?;
        }
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn remove_one(&self, path: &TreePath) -> io::Result<()> {
        match fs::remove_dir(self.host(path)) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::DirectoryNotEmpty
                        | io::ErrorKind::NotADirectory
                ) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    fn write(&self, paths: &[TreePath]) -> io::Result<()> {
        let names: Vec<&[u8]> = paths.iter().map(TreePath::as_bytes).collect();
        replace(&self.file, &serde_json::to_vec(&names)?)
    }

    fn host(&self, path: &TreePath) -> PathBuf {
        Path::new(&self.project).join(host_path(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_and_is_empty_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        let owner = crate::shared::owner_of(dir.path());
        let journal = Journal::new(
            dir.path().join("state/mounts.json"),
            dir.path().to_path_buf(),
        );
        fs::create_dir(dir.path().join("theirs")).unwrap();
        journal
            .make(&[path("venv"), path("modules"), path("theirs")], owner)
            .unwrap();
        assert!(dir.path().join("venv").is_dir() && dir.path().join("modules").is_dir());
        fs::write(dir.path().join("modules/file"), "a person's").unwrap();
        journal.make(&[path("modules")], owner).unwrap();
        assert!(!dir.path().join("venv").exists());
        journal.clear().unwrap();
        assert!(dir.path().join("modules/file").exists() && dir.path().join("theirs").exists());
        assert_eq!(journal.read(), []);
        journal.clear().unwrap();
    }
}
