//! What a lower shows, said as observations: the same words when a step looks and when a stored
//! result is checked.

use std::cell::{RefCell, RefMut};

use hd_dag::trace::{Seen, World, list_digest};
use hd_dag::{Kind, Name, TreeError, TreePath};
use hd_store::Id;

use crate::composite::Composite;
use crate::error::ProjectionError;
use crate::host::{COMPILED_PYTHON, HostMemo};
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
    child_of(&dir.path, name)
}

fn child_of(dir: &TreePath, name: &[u8]) -> Result<TreePath, ProjectionError> {
    match Name::new(name) {
        Ok(name) => Ok(dir.join(&name)),
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
///
/// Quickest when asked in the order of paths, as a trace is: it keeps the way to the last one.
#[derive(Debug)]
pub struct CompositeWorld<'a> {
    lower: &'a Composite,
    host: &'a HostMemo,
    way: RefCell<Vec<Step>>,
}

/// A path on the way, and what is there.
#[derive(Debug)]
struct Step {
    path: TreePath,
    node: Option<Node>,
}

impl Step {
    fn directory(&self) -> Option<&Node> {
        self.node
            .as_ref()
            .filter(|node| node.attr.kind == Kind::Dir)
    }
}

impl<'a> CompositeWorld<'a> {
    /// Looks at a lower, on a host of which others may just have seen some.
    pub fn new(lower: &'a Composite, host: &'a HostMemo) -> Self {
        Self {
            lower,
            host,
            way: RefCell::default(),
        }
    }

    /// Makes the way lead to a path.
    fn go(&self, path: &TreePath) -> Result<RefMut<'_, Vec<Step>>, ProjectionError> {
        let mut way = self.way.borrow_mut();
        while way.last().is_some_and(|last| !path.starts_with(&last.path)) {
            way.pop();
        }
        if way.is_empty() {
            way.push(Step {
                path: TreePath::root(),
                node: Some(self.lower.root()?),
            });
        }
        for name in path.components().skip(way.len() - 1) {
            let Some(last) = way.last() else { break };
            let node = match last.directory() {
                Some(dir) => self
                    .lower
                    .lookup_by(dir, name, |path| self.host.stat(path))?,
                None => None,
            };
            let path = child_of(&last.path, name)?;
            way.push(Step { path, node });
        }
        Ok(way)
    }
}

impl World for CompositeWorld<'_> {
    fn lookup(&self, path: &TreePath) -> Result<Seen, TreeError> {
        let way = self.go(path).map_err(|e| unseen(path, e))?;
        let mut back = way.iter().rev();
        let (last, before) = (back.next(), back.next());
        let found = last.and_then(|step| step.node.as_ref());
        let parent = before.and_then(|step| step.node.as_ref());
        Ok(match (found, parent) {
            (_, Some(dir)) => seen(dir, found),
            (Some(node), None) => seen(node, Some(node)),
            (None, None) => Seen::Absent,
        })
    }

    fn list(&self, path: &TreePath) -> Result<Option<Id>, TreeError> {
        let way = self.go(path).map_err(|e| unseen(path, e))?;
        let Some(dir) = way.last().and_then(Step::directory) else {
            return Ok(None);
        };
        let look = || {
            let listing = self.lower.list(dir)?;
            Ok(list_digest(observed_names(&listing)))
        };
        let digest = match &dir.source {
            Source::Host { path, .. } => self.host.listing(path, look),
            Source::Tree { .. } => look(),
        };
        match digest {
            // It went a moment ago, or may no longer be read: what listed it would see that.
            Err(error) if matches!(error.errno(), libc::EACCES | libc::ENOENT | libc::ENOTDIR) => {
                Ok(None)
            }
            digest => digest.map(Some).map_err(|e| unseen(path, e)),
        }
    }
}

fn unseen(path: &TreePath, error: ProjectionError) -> TreeError {
    TreeError::Observe {
        path: path.clone(),
        source: std::io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use hd_dag::{MemoryTrees, NodeCache, Rooted};
    use hd_store::Store;

    use super::*;
    use crate::composite::Graft;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    /// An empty tree with a directory of the host at `host`.
    fn view(place: &std::path::Path) -> Composite {
        let store = Store::open(&place.join("cas")).unwrap();
        let nodes = NodeCache::new(Arc::new(MemoryTrees::new()), 1 << 20);
        let graft = Graft {
            at: path("host"),
            host: place.join("host"),
            observed: true,
        };
        Composite::new(store, Arc::new(nodes), Rooted::empty(), vec![graft])
    }

    #[test]
    fn answers_do_not_depend_on_the_order_of_the_questions() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("host/a/b")).unwrap();
        fs::write(place.path().join("host/a/b/file"), "x").unwrap();
        fs::write(place.path().join("host/ab"), "x").unwrap();
        let view = view(place.path());
        let asked = [
            "",
            "host",
            "host/a",
            "host/a/b",
            "host/a/b/file",
            "host/a/b/file/below",
            "host/a/none",
            "host/ab",
            "host/ab/below",
            "none",
            "none/below",
        ];
        let each = |path: &TreePath| {
            let host = HostMemo::default();
            let world = CompositeWorld::new(&view, &host);
            (world.lookup(path).unwrap(), world.list(path).unwrap())
        };
        let alone: Vec<_> = asked.iter().map(|text| each(&path(text))).collect();
        assert!(matches!(alone[4].0, Seen::HostFile { .. }));
        assert_eq!(alone[5].0, Seen::HostAbsent);
        assert_eq!(alone[10].0, Seen::Absent);
        for step in [1, 3, 7] {
            let host = HostMemo::default();
            let world = CompositeWorld::new(&view, &host);
            for index in (0..asked.len()).map(|at| at * step % asked.len()) {
                let at = path(asked[index]);
                let now = (world.lookup(&at).unwrap(), world.list(&at).unwrap());
                assert_eq!(now, alone[index], "{at} by steps of {step}");
            }
        }
    }

    #[test]
    fn what_the_host_holds_is_asked_once_until_it_is_forgotten() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("host")).unwrap();
        let (view, host) = (view(place.path()), HostMemo::default());
        let look = || {
            let world = CompositeWorld::new(&view, &host);
            let (name, dir) = (path("host/new"), path("host"));
            (world.lookup(&name).unwrap(), world.list(&dir).unwrap())
        };
        let before = look();
        assert_eq!(before.0, Seen::HostAbsent);
        fs::write(place.path().join("host/new"), "x").unwrap();
        assert_eq!(look(), before, "a check a moment later");
        host.forget();
        let after = look();
        assert!(matches!(after.0, Seen::HostFile { .. }));
        assert_ne!(after.1, before.1);
    }
}
