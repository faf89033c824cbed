//! A batch of edits, reduced to what it does to each path.

use std::collections::BTreeMap;

use super::dir::DirHead;
use crate::entry::{Entry, Meta, Target};
use crate::map::empty_tree;
use crate::name::Name;
use crate::path::TreePath;
use crate::times::{Rooted, Stamp};
use crate::trees::TreeError;

/// A change of one path. Edits of a batch count as made one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Makes a path stand for an entry. Parents that are missing, or no directories, become
    /// directories (mode 0755, root, epoch).
    ///
    /// A directory is put empty: where one is, it keeps its entries and takes over mode, owner,
    /// attributes and time.
    Put {
        /// Where.
        path: TreePath,
        /// What.
        entry: Entry,
        /// Modification time, nanoseconds since 1970.
        mtime_ns: i64,
    },
    /// Removes a path and what lies below; no effect when it is not there.
    Remove {
        /// Where.
        path: TreePath,
    },
    /// Replaces whatever a path stands for by a directory with this content.
    Graft {
        /// Where.
        path: TreePath,
        /// Mode, owner and attributes of the directory.
        meta: Meta,
        /// Modification time of the directory, nanoseconds since 1970.
        mtime_ns: i64,
        /// Its content.
        subtree: Rooted,
    },
}

impl Edit {
    /// Returns the path the edit is about.
    pub fn path(&self) -> &TreePath {
        match self {
            Self::Put { path, .. } | Self::Remove { path } | Self::Graft { path, .. } => path,
        }
    }
}

/// What a path shall stand for, whatever it stood for.
#[derive(Debug)]
pub(super) enum Put {
    Leaf(Entry, Stamp),
    Dir(DirHead),
    Graft(DirHead, Rooted),
}

/// What a batch does to one path.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What was there before the batch is gone.
    pub(super) cut: bool,
    /// Something is put there.
    pub(super) put: Option<Put>,
    /// It must be a directory, because something was put below.
    pub(super) ensure_dir: bool,
    /// Places of the plans for names below.
    pub(super) below: BTreeMap<Name, usize>,
}

/// The plans of a batch; the first is the root's.
#[derive(Debug)]
pub(super) struct Plans(pub(super) Vec<Plan>);

impl Plans {
    pub(super) fn of(edits: impl IntoIterator<Item = Edit>) -> Result<Self, TreeError> {
        let mut plans = Self(vec![Plan::default()]);
        for edit in edits {
            plans.add(edit)?;
        }
        Ok(plans)
    }

    fn add(&mut self, edit: Edit) -> Result<(), TreeError> {
        match edit {
            Edit::Remove { path } => {
                let plan = self.plan(&path, false);
                *plan = Plan {
                    cut: true,
                    ..Plan::default()
                };
            }
            Edit::Put {
                path,
                entry,
                mtime_ns,
            } => self.put(&path, entry.normal(), mtime_ns)?,
            Edit::Graft {
                path,
                meta,
                mtime_ns,
                subtree,
            } => {
                let meta = Entry::dir(meta).normal().meta;
                let head = DirHead {
                    meta,
                    opaque: false,
                    mtime_ns,
                };
                self.replace(&path, Put::Graft(head, subtree));
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &TreePath, entry: Entry, mtime_ns: i64) -> Result<(), TreeError> {
        let Target::Dir { tree, opaque, .. } = entry.target else {
            if path.is_root() {
                return Err(TreeError::RootKind);
            }
            self.replace(path, Put::Leaf(entry, Stamp::leaf(mtime_ns)));
            return Ok(());
        };
        if tree != empty_tree() {
            return Err(TreeError::PutTree { path: path.clone() });
        }
        let head = DirHead {
            meta: entry.meta,
            opaque,
            mtime_ns,
        };
        let plan = self.plan(path, true);
        plan.put = match plan.put.take() {
            Some(Put::Graft(_, subtree)) => Some(Put::Graft(head, subtree)),
            _ => Some(Put::Dir(head)),
        };
        Ok(())
    }

    fn replace(&mut self, path: &TreePath, put: Put) {
        let plan = self.plan(path, true);
        *plan = Plan {
            cut: true,
            put: Some(put),
            ..Plan::default()
        };
    }

    /// Returns the plan of a path; `ensure` makes what is above it directories.
    fn plan(&mut self, path: &TreePath, ensure: bool) -> &mut Plan {
        let mut at = 0;
        for name in path.names() {
            let next = self.0.len();
            let plan = &mut self.0[at];
            if ensure {
                plan.ensure_dir();
            }
            at = *plan.below.entry(name).or_insert(next);
            if at == next {
                self.0.push(Plan::default());
            }
        }
        &mut self.0[at]
    }
}

impl Plan {
    fn ensure_dir(&mut self) {
        if matches!(self.put, Some(Put::Leaf(..))) {
            self.put = None;
        }
        self.ensure_dir = true;
    }
}
