//! Looking up and listing.

use hd_store::Id;

use super::dir::below;
use crate::entry::Entry;
use crate::map::{MapIter, Seeker};
use crate::name::Name;
use crate::path::TreePath;
use crate::times::{Rooted, Stamp};
use crate::trees::{TreeError, Trees};

/// Returns what a path stands for; none when it, or a directory on the way, is not there.
///
/// Symbolic links are not followed. The root has no entry: none is returned for it.
pub fn get(trees: &dyn Trees, tree: &Id, path: &TreePath) -> Result<Option<Entry>, TreeError> {
    let mut dir = *tree;
    let mut rest = path.components().peekable();
    while let Some(name) = rest.next() {
        let Some(entry) = Seeker::<Entry>::new(trees, &dir)?.get(name)? else {
            return Ok(None);
        };
        if rest.peek().is_none() {
            return Ok(Some(entry));
        }
        match entry.tree() {
            Some(tree) => dir = *tree,
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// Returns what a path stands for together with its time.
pub fn get_stamped(
    trees: &dyn Trees,
    root: &Rooted,
    path: &TreePath,
) -> Result<Option<(Entry, Stamp)>, TreeError> {
    let mut dir = *root;
    let mut rest = path.components().peekable();
    while let Some(name) = rest.next() {
        let Some(entry) = Seeker::<Entry>::new(trees, &dir.tree)?.get(name)? else {
            return Ok(None);
        };
        let stamp = Seeker::<Stamp>::new(trees, &dir.times)?.get(name)?;
        let stamp = stamp.unwrap_or_default();
        match (rest.peek(), below(&entry, &stamp)) {
            (None, _) => return Ok(Some((entry, stamp))),
            (Some(_), Some(next)) => dir = next,
            (Some(_), None) => return Ok(None),
        }
    }
    Ok(None)
}

/// Returns the directory at a path as a tree of its own, none when there is no directory.
pub fn subtree(
    trees: &dyn Trees,
    root: &Rooted,
    path: &TreePath,
) -> Result<Option<Rooted>, TreeError> {
    if path.is_root() {
        return Ok(Some(*root));
    }
    let found = get_stamped(trees, root, path)?;
    Ok(found.and_then(|(entry, stamp)| below(&entry, &stamp)))
}

/// Iterates over the entries of one directory in the order of names.
#[derive(Debug)]
pub struct Entries<'t>(MapIter<'t, Entry>);

impl Iterator for Entries<'_> {
    type Item = Result<(Name, Entry), TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// Lists one directory, loading its parts as they are reached.
pub fn list<'t>(trees: &'t dyn Trees, tree: &Id) -> Result<Entries<'t>, TreeError> {
    MapIter::new(trees, tree).map(Entries)
}
