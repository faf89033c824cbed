//! Mount points in a live project: written down before they are made, removed when unused.
//!
//! A mount needs a directory to lie on. hd makes it empty, as the project owner's, and takes
//! away only what it made and what is still empty. Several instances of one directory may lie on the
//! same one: the last of them takes it away.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hd_dag::TreePath;

use super::view::host_path;
use crate::model::files::replace;
use crate::model::instance::InstancePaths;
use crate::shared::give;

/// The journal of one instance.
#[derive(Clone, Debug)]
pub struct Journal {
    paths: InstancePaths,
    project: PathBuf,
}

impl Journal {
    /// Opens the journal of an instance of a project directory.
    pub fn new(paths: InstancePaths, project: PathBuf) -> Self {
        Self { paths, project }
    }

    /// Gives the mount points written down.
    pub fn read(&self) -> Vec<TreePath> {
        read(&self.paths)
    }

    /// Gives those that other instances of the directory have written down.
    pub fn others(&self) -> BTreeSet<TreePath> {
        self.paths.siblings().iter().flat_map(read).collect()
    }

    /// Makes the mount points `wanted` and removes those no longer wanted.
    ///
    /// A directory the person made there in the meantime is used as it is and never removed.
    pub fn make(&self, wanted: &[TreePath], owner: (u32, u32)) -> io::Result<()> {
        let (known, others) = (self.read(), self.others());
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
        // One that another instance made is this one's too.
        let shared = wanted
            .iter()
            .filter(|path| others.contains(path) && !noted.contains(path));
        noted.extend(shared.cloned().collect::<Vec<_>>());
        for path in known.iter().rev().filter(|path| !wanted.contains(path)) {
            self.remove_one(path, &others)?;
        }
        self.write(&noted)?;
        for path in fresh {
            let host = self.host(path);
            let named = |e: io::Error| io::Error::new(e.kind(), format!("{path}: {e}"));
            fs::create_dir(&host).map_err(named)?;
            give(&host, owner).map_err(named)?;
        }
        Ok(())
    }

    /// Removes all mount points that are still empty, and the journal.
    pub fn clear(&self) -> io::Result<()> {
        // The inner ones first: they were made last.
        let (known, file) = (self.read(), self.paths.mount_points());
        if !known.is_empty() {
            let others = self.others();
            for path in known.iter().rev() {
                self.remove_one(path, &others)?;
            }
        }
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn remove_one(&self, path: &TreePath, others: &BTreeSet<TreePath>) -> io::Result<()> {
        if others.contains(path) {
            return Ok(());
        }
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
        replace(&self.paths.mount_points(), &serde_json::to_vec(&names)?)
    }

    fn host(&self, path: &TreePath) -> PathBuf {
        Path::new(&self.project).join(host_path(path))
    }
}

fn read(paths: &InstancePaths) -> Vec<TreePath> {
    let bytes = fs::read(paths.mount_points()).unwrap_or_default();
    let names: Vec<Vec<u8>> = serde_json::from_slice(&bytes).unwrap_or_default();
    let names = names.iter();
    names.filter_map(|name| TreePath::new(name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_instance_takes_away_what_several_lie_on() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("project");
        fs::create_dir(&project).unwrap();
        let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        let owner = crate::shared::owner_of(&project);
        let first = InstancePaths::new(dir.path(), &project);
        let journals = [first.clone(), first.clone().named("b"), first.named("c")]
            .map(|paths| Journal::new(paths, project.clone()));
        let [one, two, three] = &journals;
        one.make(&[path("venv"), path("own")], owner).unwrap();
        two.make(&[path("venv")], owner).unwrap();
        three.make(&[path("venv"), path("more")], owner).unwrap();
        let all = ["more", "own", "venv"].map(path);
        assert_eq!(two.others(), all.into());
        one.clear().unwrap();
        assert!(project.join("venv").exists() && !project.join("own").exists());
        three.make(&[path("more")], owner).unwrap();
        assert!(project.join("venv").exists());
        two.clear().unwrap();
        assert!(!project.join("venv").exists() && project.join("more").exists());
        three.clear().unwrap();
        assert!(!project.join("more").exists());
    }

    #[test]
    fn only_what_was_made_and_is_empty_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        let owner = crate::shared::owner_of(dir.path());
        let home = dir.path().join("home");
        let journal = Journal::new(
            InstancePaths::new(&home, dir.path()),
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
