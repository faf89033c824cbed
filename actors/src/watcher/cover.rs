//! Sets the watches of whole subtrees: every directory that counts, and none that does not.
//!
//! A directory is watched before it is listed, so that what appears in it meanwhile is either listed
//! or reported. Runs in a pool: it reads directories and waits for notify's thread.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use hd_dag::TreePath;

use super::look::topmost;
use super::sight::Sight;
use super::watches::{Refusal, Watches};

/// Bytes of an ignore file that are read; longer ones are cut, as the scan cuts them.
const IGNORE_FILE_LIMIT: u64 = 1 << 20;

/// One job on the watches.
pub(super) struct Cover<'a> {
    sight: &'a Sight,
    watches: &'a mut dyn Watches,
    stop: &'a AtomicBool,
    outcome: Outcome,
}

/// What came of a job.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Directories in which something may have happened unseen.
    pub(super) touched: BTreeSet<TreePath>,
    /// Why not all directories are watched.
    pub(super) lack: Option<Refusal>,
}

impl<'a> Cover<'a> {
    pub(super) fn new(
        sight: &'a Sight,
        watches: &'a mut dyn Watches,
        stop: &'a AtomicBool,
    ) -> Self {
        Self {
            sight,
            watches,
            stop,
            outcome: Outcome::default(),
        }
    }

    /// Sets the watches at and below paths anew, whatever was watched there.
    pub(super) fn renew(&mut self, paths: BTreeSet<TreePath>) {
        let tops = topmost(paths);
        let mut inodes = HashSet::new();
        for top in &tops {
            let old = self.sight.registry().subtree(top);
            for (path, inode) in old {
                self.unwatch(&path);
                inodes.insert(inode);
            }
            self.sight.rules.forget(top);
        }
        let twins = self.sight.registry().twins(&inodes);
        for twin in twins {
            self.watches.remove(&self.sight.place(&twin));
            if self.watch(&twin) {
                self.outcome.touched.insert(twin);
            }
        }
        for top in tops {
            if let Some(inode) = self.wanted(&top) {
                self.walk(&top, inode);
                self.outcome.touched.insert(top);
            }
        }
    }

    /// Asks the rules again at and below directories whose ignore files have changed.
    pub(super) fn refilter(&mut self, dirs: BTreeSet<TreePath>) {
        for top in topmost(dirs) {
            let old = self.sight.registry().subtree(&top);
            let Some((_, inode)) = old.first().filter(|(first, _)| *first == top) else {
                continue;
            };
            let seen = self.walk(&top, *inode);
            if self.is_over() {
                continue;
            }
            for (path, _) in old.into_iter().filter(|(path, _)| !seen.contains(path)) {
                self.unwatch(&path);
                self.sight.rules.forget(&path);
            }
            self.outcome.touched.insert(top);
        }
    }

    pub(super) fn finish(self) -> Outcome {
        self.outcome
    }

    fn is_over(&self) -> bool {
        self.outcome.lack == Some(Refusal::Limit) || self.stop.load(Ordering::Relaxed)
    }

    /// Gives the inode number of a directory that is there and counts.
    fn wanted(&self, path: &TreePath) -> Option<u64> {
        let meta = fs::symlink_metadata(self.sight.place(path))
            .ok()
            .filter(fs::Metadata::is_dir)?;
        let counts = match path.parent() {
            None => true,
            Some(parent) => {
                self.sight.registry().contains(&parent) && self.sight.rules.keeps(path, true)
            }
        };
        counts.then(|| meta.ino())
    }

    /// Watches a directory and all below it that are not watched yet; gives those that are now.
    fn walk(&mut self, at: &TreePath, inode: u64) -> HashSet<TreePath> {
        let mut seen = HashSet::new();
        let mut ahead = vec![(at.clone(), inode)];
        while let Some((dir, inode)) = ahead.pop() {
            if self.is_over() {
                break;
            }
            // Known before it is watched: its first events must find it.
            let is_new = self.sight.registry().insert(dir.clone(), inode);
            if !is_new || self.watch(&dir) {
                ahead.extend(self.enter(&dir));
                seen.insert(dir);
            }
        }
        seen
    }

    fn watch(&mut self, dir: &TreePath) -> bool {
        let Err(refusal) = self.watches.add(&self.sight.place(dir)) else {
            return true;
        };
        self.sight.registry().remove(dir);
        match refusal {
            Refusal::Gone => {}
            Refusal::Denied => tracing::debug!(%dir, "{refusal}"),
            Refusal::Limit => self.outcome.lack = Some(refusal),
            Refusal::Failed(_) => {
                tracing::warn!(%dir, "cannot watch: {refusal}");
                self.outcome.lack.get_or_insert(refusal);
            }
        }
        false
    }

    fn unwatch(&mut self, dir: &TreePath) {
        self.watches.remove(&self.sight.place(dir));
        self.sight.registry().remove(dir);
    }

    /// Reads a directory: its ignore files, and the directories in it that count.
    fn enter(&self, dir: &TreePath) -> Vec<(TreePath, u64)> {
        let place = self.sight.place(dir);
        let names = self.sight.rules.ignore_file_names();
        let mut ignore_files = Vec::new();
        let mut dirs = Vec::new();
        // A directory that is gone again is reported as such; one that cannot be read is noted by the scan.
        let entries = fs::read_dir(&place).into_iter().flatten();
        for entry in entries.flatten() {
            let name = entry.file_name();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                dirs.push((name, entry.ino()));
            } else if let Some(name) = names
                .iter()
                .find(|ignore| name.as_bytes() == ignore.as_bytes())
                && let Some(bytes) = read_ignore_file(&entry.path())
            {
                ignore_files.push((name.clone(), bytes));
            }
        }
        let rules = self.sight.rules.enter(dir, &ignore_files);
        let kept = dirs
            .into_iter()
            .map(|(name, inode)| Some((rules.kept(name.as_bytes(), true)?, inode)));
        kept.flatten().collect()
    }
}

/// Reads a regular file; never waits, not even if it is a FIFO.
fn read_ignore_file(place: &Path) -> Option<Vec<u8>> {
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(place)
        .ok()?;
    file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut bytes = Vec::new();
    file.take(IGNORE_FILE_LIMIT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
#[path = "cover_tests.rs"]
mod tests;
