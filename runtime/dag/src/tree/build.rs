//! A tree from scratch.

use super::dir::{Changed, DirHead, Stamped};
use crate::entry::{Entry, Meta, Target};
use crate::map::write;
use crate::name::Name;
use crate::path::TreePath;
use crate::times::{Rooted, Stamp};
use crate::trees::{TreeError, Trees};

/// A directory whose entries are still coming.
struct Open {
    /// Name within the parent; none for the root.
    place: Option<(Name, DirHead)>,
    entries: Vec<(Name, Entry)>,
    stamps: Vec<(Name, Stamp)>,
}

impl Open {
    fn new(place: Option<(Name, DirHead)>) -> Self {
        Self {
            place,
            entries: Vec::new(),
            stamps: Vec::new(),
        }
    }

    fn push(&mut self, name: Name, (entry, stamp): Stamped) {
        self.entries.push((name.clone(), entry));
        self.stamps.push((name, stamp));
    }

    fn write(self, trees: &dyn Trees) -> Result<(Option<(Name, DirHead)>, Changed), TreeError> {
        let written = write(trees, self.entries)?;
        let times = write(trees, self.stamps)?.id;
        let dir = Rooted {
            tree: written.id,
            times,
        };
        let marked = written.marked;
        Ok((self.place, Changed { dir, marked }))
    }
}

/// The directories from the root to where the next entry may go.
struct Builder<'t> {
    trees: &'t dyn Trees,
    path: TreePath,
    root: Open,
    open: Vec<Open>,
}

/// Builds a tree from `(path, entry, mtime in ns)` sorted by path.
///
/// Parents that are not given are made with mode 0755 and the epoch as time. The tree of a given
/// directory is ignored: its content is the entries below it. An entry for the root is accepted
/// if it is a directory, and has no effect.
pub fn build(
    trees: &dyn Trees,
    entries: impl IntoIterator<Item = (TreePath, Entry, i64)>,
) -> Result<Rooted, TreeError> {
    let mut builder = Builder {
        trees,
        path: TreePath::root(),
        root: Open::new(None),
        open: Vec::new(),
    };
    let mut last: Option<TreePath> = None;
    for (path, entry, mtime_ns) in entries {
        if last.as_ref().is_some_and(|last| *last >= path) {
            return Err(TreeError::Unsorted { path });
        }
        builder.add(&path, entry.normal(), mtime_ns)?;
        last = Some(path);
    }
    while builder.close()? {}
    let (_, content) = builder.root.write(trees)?;
    Ok(content.dir)
}

impl Builder<'_> {
    fn innermost(&mut self) -> &mut Open {
        self.open.last_mut().unwrap_or(&mut self.root)
    }

    fn add(&mut self, path: &TreePath, entry: Entry, mtime_ns: i64) -> Result<(), TreeError> {
        let (Some(parent), Some(name)) = (path.parent(), path.names().next_back()) else {
            return match entry.target {
                Target::Dir { .. } => Ok(()),
                _ => Err(TreeError::RootKind),
            };
        };
        self.enter(&parent)?;
        match entry.target {
            Target::Dir { opaque, .. } => {
                let meta = entry.meta;
                self.open_dir(
                    name,
                    DirHead {
                        meta,
                        opaque,
                        mtime_ns,
                    },
                );
            }
            _ => self.innermost().push(name, (entry, Stamp::leaf(mtime_ns))),
        }
        Ok(())
    }

    /// Closes and opens directories until `parent` is the innermost.
    fn enter(&mut self, parent: &TreePath) -> Result<(), TreeError> {
        while !parent.starts_with(&self.path) {
            self.close()?;
        }
        let depth = self.open.len();
        for name in parent.names().skip(depth) {
            let taken = self.innermost().entries.last();
            if taken.is_some_and(|(last, _)| *last == name) {
                let path = parent.clone();
                return Err(TreeError::BelowFile { path });
            }
            self.open_dir(
                name,
                DirHead {
                    meta: Meta::default_dir(),
                    opaque: false,
                    mtime_ns: 0,
                },
            );
        }
        Ok(())
    }

    fn open_dir(&mut self, name: Name, head: DirHead) {
        self.path.push(&name);
        self.open.push(Open::new(Some((name, head))));
    }

    /// Writes the innermost directory into its parent; says whether there was one.
    fn close(&mut self) -> Result<bool, TreeError> {
        let Some(open) = self.open.pop() else {
            return Ok(false);
        };
        self.path.pop();
        let (place, content) = open.write(self.trees)?;
        if let Some((name, head)) = place {
            self.innermost().push(name, head.over(content));
        }
        Ok(true)
    }
}
