//! Visiting every entry of a tree.

use super::dir::{DirIter, below};
use crate::entry::Entry;
use crate::path::TreePath;
use crate::times::Rooted;
use crate::trees::{TreeError, Trees};

/// One visited entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkItem {
    /// Where it is.
    pub path: TreePath,
    /// What it is.
    pub entry: Entry,
    /// Its modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// Iterates over a tree in the order of paths, parents before children; the root is left out.
pub struct Walk<'t> {
    trees: &'t dyn Trees,
    path: TreePath,
    /// The open directories; `path` names the innermost.
    open: Vec<DirIter<'t>>,
}

/// Starts a walk over all entries below the root.
pub fn walk<'t>(trees: &'t dyn Trees, root: &Rooted) -> Result<Walk<'t>, TreeError> {
    let open = vec![DirIter::new(trees, root)?];
    let path = TreePath::root();
    Ok(Walk { trees, path, open })
}

impl Walk<'_> {
    fn advance(&mut self) -> Result<Option<WalkItem>, TreeError> {
        while let Some(dir) = self.open.last_mut() {
            let Some(item) = dir.next().transpose()? else {
                self.open.pop();
                self.path.pop();
                continue;
            };
            let (name, (entry, stamp)) = item;
            let path = self.path.join(&name);
            if let Some(content) = below(&entry, &stamp) {
                self.open.push(DirIter::new(self.trees, &content)?);
                self.path.clone_from(&path);
            }
            let mtime_ns = stamp.mtime_ns;
            return Ok(Some(WalkItem {
                path,
                entry,
                mtime_ns,
            }));
        }
        Ok(None)
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<WalkItem, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance().transpose();
        if matches!(item, Some(Err(_))) {
            self.open.clear();
        }
        item
    }
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Walk")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
