//! What a lower shows, said as observations: the same words when a step looks and when a stored
//! result is checked.

use std::cell::RefCell;
use std::collections::HashMap;

use hd_dag::trace::{Seen, World, list_digest};
use hd_dag::{Kind, Name, TreeError, TreePath};
use hd_store::Id;

use crate::composite::Composite;
use crate::error::ProjectionError;
use crate::host::COMPILED_PYTHON;
use crate::lower::{Listed, Lower, Node, Source};

/// Says what a look-up in `dir` found.
pub(crate) fn seen(dir: &Node, found: Option<&Node>) -> Seen {
    let Some(node) = found else {
        return match dir.source {
            Source::Host { .. } => Seen::HostAbsent,
            Source::Tree { .. } => Seen::Absent,
        };
    };
    match &node.source {
        Source::Tree { entry, .. } => Seen::of(Some(entry)),
        Source::Host { .. } if node.attr.kind == Kind::Dir => Seen::HostDir {
            mode: node.attr.mode,
            uid: node.attr.uid,
            gid: node.attr.gid,
        },
        Source::Host { stamp, .. } => Seen::HostFile {
            dev: stamp.dev,
            ino: stamp.ino,
            size: stamp.size,
            mtime_ns: stamp.mtime_ns,
            ctime_ns: stamp.ctime_ns,
        },
    }
}

/// Tells whether the absence of a name in `dir` counts.
pub(crate) fn observes_absence(dir: &Node, name: &[u8]) -> bool {
    dir.observed && !(matches!(dir.source, Source::Host { .. }) && name == COMPILED_PYTHON)
}

/// Gives the path of a child.
pub(crate) fn child_path(dir: &Node, name: &[u8]) -> Result<TreePath, ProjectionError> {
    match Name::new(name) {
        Ok(name) => Ok(dir.path.join(&name)),
        Err(_) => Err(ProjectionError::Kind {
            path: String::from_utf8_lossy(name).into_owned(),
            wanted: "file name",
        }),
    }
}

/// Gives the names and kinds of a listing that count as its observation.
pub(crate) fn observed_names(listing: &[Listed]) -> impl Iterator<Item = (&[u8], Kind)> {
    listing
        .iter()
        .filter(|listed| listed.observed)
        .map(|listed| (listed.name.as_slice(), listed.kind))
}

/// The present state of a lower, asked by stored observations.
#[derive(Debug)]
pub struct CompositeWorld<'a> {
    lower: &'a Composite,
    known: RefCell<HashMap<TreePath, Option<Node>>>,
}

impl<'a> CompositeWorld<'a> {
    /// Looks at a lower; answers are remembered, so use it for one check.
    pub fn new(lower: &'a Composite) -> Self {
        Self {
            lower,
            known: RefCell::default(),
        }
    }

    fn node(&self, path: &TreePath) -> Result<Option<Node>, ProjectionError> {
        if let Some(known) = self.known.borrow().get(path) {
            return Ok(known.clone());
        }
        let node = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => match self.node(&parent)? {
                Some(dir) if dir.attr.kind == Kind::Dir => self.lower.lookup(&dir, name)?,
                _ => None,
            },
            _ => Some(self.lower.root()?),
        };
        self.known.borrow_mut().insert(path.clone(), node.clone());
        Ok(node)
    }
}

impl World for CompositeWorld<'_> {
    fn lookup(&self, path: &TreePath) -> Result<Seen, TreeError> {
        let found = self.node(path).map_err(|e| unseen(path, e))?;
        let parent = match path.parent() {
            Some(parent) => self.node(&parent).map_err(|e| unseen(path, e))?,
            None => None,
        };
        Ok(match (&found, &parent) {
            (_, Some(dir)) => seen(dir, found.as_ref()),
            (Some(node), None) => seen(node, Some(node)),
            (None, None) => Seen::Absent,
        })
    }

    fn list(&self, path: &TreePath) -> Result<Option<Id>, TreeError> {
        let Some(dir) = self.node(path).map_err(|e| unseen(path, e))? else {
            return Ok(None);
        };
        if dir.attr.kind != Kind::Dir {
            return Ok(None);
        }
        let listing = self.lower.list(&dir).map_err(|e| unseen(path, e))?;
        Ok(Some(list_digest(observed_names(&listing))))
    }
}

fn unseen(path: &TreePath, error: ProjectionError) -> TreeError {
    TreeError::Observe {
        path: path.clone(),
        source: std::io::Error::other(error),
    }
}
