//! What differs between two trees, at a cost that follows the difference.

use hd_store::Id;

use crate::entry::{Entry, Kind};
use crate::map::{Difference, difference};
use crate::path::TreePath;
use crate::trees::{TreeError, Trees};

/// A path that stands for something else than before.
///
/// A directory whose entries alone changed is no change; the entries are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: TreePath,
    /// What was there.
    pub old: Option<Entry>,
    /// What is there now.
    pub new: Option<Entry>,
}

impl Change {
    /// Says whether the name appeared, vanished or became another kind: what a listing shows.
    pub fn alters_listing(&self) -> bool {
        kind(self.old.as_ref()) != kind(self.new.as_ref())
    }
}

fn kind(entry: Option<&Entry>) -> Option<Kind> {
    entry.map(Entry::kind)
}

/// Iterates over the changes from one tree to another in the order of paths.
///
/// All that lies below an added or removed directory is listed too.
pub struct Diff<'t> {
    trees: &'t dyn Trees,
    path: TreePath,
    /// What is left per open directory; `path` names the innermost.
    open: Vec<std::vec::IntoIter<Difference<Entry>>>,
}

impl<'t> Diff<'t> {
    /// Starts to compare two trees.
    pub fn new(trees: &'t dyn Trees, old: &Id, new: &Id) -> Result<Self, TreeError> {
        let mut diff = Self {
            trees,
            path: TreePath::root(),
            open: Vec::new(),
        };
        diff.enter(Some(old), Some(new))?;
        Ok(diff)
    }

    /// Starts to compare what one path stood for with what it stands for.
    pub(super) fn between(
        trees: &'t dyn Trees,
        path: &TreePath,
        old: Option<Entry>,
        new: Option<Entry>,
    ) -> Self {
        let name = path.names().next_back();
        let first = name.map(|name| Difference { name, old, new });
        let first: Vec<_> = first.into_iter().collect();
        Self {
            trees,
            path: path.parent().unwrap_or_default(),
            open: vec![first.into_iter()],
        }
    }

    fn enter(&mut self, old: Option<&Id>, new: Option<&Id>) -> Result<(), TreeError> {
        let differences = difference(self.trees, old, new)?;
        self.open.push(differences.into_iter());
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Change>, TreeError> {
        while let Some(rest) = self.open.last_mut() {
            let Some(Difference { name, old, new }) = rest.next() else {
                self.open.pop();
                self.path.pop();
                continue;
            };
            let path = self.path.join(&name);
            let (tree_before, tree_now) = (tree(old.as_ref()), tree(new.as_ref()));
            if tree_before != tree_now {
                self.enter(tree_before.as_ref(), tree_now.as_ref())?;
                self.path.clone_from(&path);
            }
            let differs = match (&old, &new) {
                (Some(old), Some(new)) => old.differs_itself(new),
                _ => true,
            };
            if differs {
                return Ok(Some(Change { path, old, new }));
            }
        }
        Ok(None)
    }
}

fn tree(entry: Option<&Entry>) -> Option<Id> {
    entry.and_then(Entry::tree).copied()
}

impl Iterator for Diff<'_> {
    type Item = Result<Change, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance().transpose();
        if matches!(item, Some(Err(_))) {
            self.open.clear();
        }
        item
    }
}

impl std::fmt::Debug for Diff<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Diff")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Lists the changes from tree `old` to tree `new` in the order of paths.
pub fn diff(trees: &dyn Trees, old: &Id, new: &Id) -> Result<Vec<Change>, TreeError> {
    Diff::new(trees, old, new)?.collect()
}
