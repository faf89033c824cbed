//! Ignore files remembered per directory, so that any path can be judged at any time.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::ignore_file::IgnoreRules;
use super::{DirFilter, FileFilter, Verdict};
use crate::path::is_at_or_below;

/// The filter together with the ignore files seen so far: filled by the walk of the project, then
/// asked by the watcher. Shared by threads.
#[derive(Debug)]
pub struct FilterStack {
    filter: FileFilter,
    rules: RwLock<BTreeMap<Vec<u8>, Arc<IgnoreRules>>>,
}

impl FilterStack {
    /// Starts with no ignore file known.
    #[must_use]
    pub fn new(filter: FileFilter) -> Self {
        Self {
            filter,
            rules: RwLock::default(),
        }
    }

    /// The filter without ignore files.
    #[must_use]
    pub fn filter(&self) -> &FileFilter {
        &self.filter
    }

    /// Remembers the ignore files of a directory in place of what was known of it, and gives the
    /// filter of its entries. Directories above must have been entered before.
    #[must_use]
    pub fn enter(&self, dir: &[u8], ignore_files: &[(String, Vec<u8>)]) -> DirFilter {
        let names = self.filter.ignore_file_names();
        let rules = IgnoreRules::read(names, dir, ignore_files).map(Arc::new);
        let mut all = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        match rules {
            Some(rules) => drop(all.insert(dir.to_vec(), rules)),
            None => drop(all.remove(dir)),
        }
        drop(all);
        self.dir(dir)
    }

    /// Forgets what was known of a directory and of all below it: it was removed or renamed.
    pub fn forget(&self, dir: &[u8]) {
        let mut all = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known, _| !is_at_or_below(known, dir));
    }

    /// Gives the filter of a directory's entries from what is known.
    #[must_use]
    pub fn dir(&self, dir: &[u8]) -> DirFilter {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let mut filter = DirFilter::at_root(self.filter.clone(), rules.get(&[][..]).cloned());
        for name in components(dir) {
            let path = filter.path(name);
            let own = rules.get(&path).cloned();
            filter = filter.descend(path, own);
        }
        filter
    }

    /// Judges any path, relative to the project: hidden when it or a directory above it is. The
    /// project itself is kept.
    #[must_use]
    pub fn verdict(&self, path: &[u8], is_dir: bool) -> Verdict {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let mut filter = DirFilter::at_root(self.filter.clone(), rules.get(&[][..]).cloned());
        let mut names = components(path).peekable();
        while let Some(name) = names.next() {
            let is_last = names.peek().is_none();
            let verdict = filter.verdict(name, is_dir || !is_last);
            if is_last || !verdict.is_keep() {
                return verdict;
            }
            let dir = filter.path(name);
            let own = rules.get(&dir).cloned();
            filter = filter.descend(dir, own);
        }
        Verdict::Keep
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
}
