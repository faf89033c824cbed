//! The one lower in use: a content-addressed tree with host directories grafted in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hd_dag::{Entry, Meta, Name, NodeCache, Rooted, Stamp, Target, TreePath};
use hd_store::Store;

use hd_dag::Kind;

use crate::attr::{Attr, attr_of, link_group};
use crate::error::ProjectionError;
use crate::host::{self, COMPILED_PYTHON, OpenFiles, Status};
use crate::ids::ShownIds;
use crate::lower::{Content, HostStamp, Listed, Lower, Node, Source};

/// Prefix of the attributes by which overlayfs speaks to itself; a lower must never show them.
const OVERLAY_XATTRS: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// Tells whether an extended attribute of a tree is shown to its readers.
pub(crate) fn is_shown_xattr(name: &[u8]) -> bool {
    !OVERLAY_XATTRS.iter().any(|prefix| name.starts_with(prefix))
}

/// A host directory or file shown at a path of the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graft {
    /// Where it shows.
    pub at: TreePath,
    /// What shows there: an absolute host path.
    pub host: PathBuf,
    /// Whether what is read there is an observation (false: /etc/resolv.conf and its like).
    pub observed: bool,
}

/// Shows the files below a path that belong to nobody in particular (0:0) as somebody's.
///
/// Project files and outputs in the project are stored without an owner, so that the same
/// project has the same root whoever checked it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The directory below which it holds.
    pub at: TreePath,
    /// Owner to show.
    pub uid: u32,
    /// Group to show.
    pub gid: u32,
}

/// A composed tree, ready to be projected.
#[derive(Debug)]
pub struct Composite {
    store: Store,
    nodes: Arc<NodeCache>,
    root: Rooted,
    grafts: BTreeMap<TreePath, Graft>,
    /// Directories that lead to a graft, with the names they must show.
    leading: BTreeMap<TreePath, BTreeSet<Name>>,
    owners: Vec<Owner>,
    ids: Option<ShownIds>,
    open: Arc<OpenFiles>,
}

impl Composite {
    /// Puts a composed tree and host grafts together.
    ///
    /// A graft hides what the tree has at its path; directories that lead to it appear by
    /// themselves (0755, root).
    pub fn new(store: Store, nodes: Arc<NodeCache>, root: Rooted, grafts: Vec<Graft>) -> Self {
        let mut leading: BTreeMap<TreePath, BTreeSet<Name>> = BTreeMap::new();
        for graft in &grafts {
            let mut path = graft.at.clone();
            while let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
                if let Ok(name) = Name::new(name) {
                    leading.entry(parent.clone()).or_default().insert(name);
                }
                path = parent;
            }
        }
        let grafts = grafts
            .into_iter()
            .map(|graft| (graft.at.clone(), graft))
            .collect();
        Self {
            store,
            nodes,
            root,
            grafts,
            leading,
            owners: Vec::new(),
            ids: None,
            open: Arc::default(),
        }
    }

    /// Shows unowned files below some paths as somebody's.
    #[must_use]
    pub fn owned(mut self, owners: Vec<Owner>) -> Self {
        self.owners = owners;
        self
    }

    /// Reads files of the host through these, which others read through too.
    #[must_use]
    pub fn reading_through(mut self, open: Arc<OpenFiles>) -> Self {
        self.open = open;
        self
    }

    /// Shows no owner but these.
    #[must_use]
    pub fn shown_as(mut self, ids: Option<ShownIds>) -> Self {
        self.ids = ids;
        self
    }

    /// Gives the owners it shows, when not all.
    pub(crate) fn ids(&self) -> Option<&ShownIds> {
        self.ids.as_ref()
    }

    fn shown(&self, attr: Attr) -> Attr {
        self.ids.as_ref().map_or(attr, |ids| Attr {
            uid: ids.user(attr.uid),
            gid: ids.group(attr.gid),
            ..attr
        })
    }

    /// Resolves a path name by name, following no link.
    pub fn resolve(&self, path: &TreePath) -> Result<Option<Node>, ProjectionError> {
        let mut node = self.root()?;
        for name in path.components() {
            if node.attr.kind != Kind::Dir {
                return Ok(None);
            }
            match self.lookup(&node, name)? {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    fn graft_node(&self, graft: &Graft) -> Result<Option<Node>, ProjectionError> {
        // What is grafted is the thing itself: a link at the host path is followed once, here.
        let host = std::fs::canonicalize(&graft.host).unwrap_or_else(|_| graft.host.clone());
        Ok(host::stat(&host)?.map(|(attr, stamp)| {
            self.host_node(graft.at.clone(), host, attr, stamp, graft.observed)
        }))
    }

    fn host_node(
        &self,
        path: TreePath,
        host: PathBuf,
        attr: Attr,
        stamp: HostStamp,
        observed: bool,
    ) -> Node {
        Node {
            path,
            attr: self.shown(attr),
            source: Source::Host { path: host, stamp },
            observed,
        }
    }

    fn tree_node(&self, path: TreePath, entry: Entry, stamp: Stamp) -> Node {
        let mut attr = attr_of(&entry, stamp.mtime_ns);
        if (entry.meta.uid, entry.meta.gid) == (0, 0)
            && let Some(owner) = self.owners.iter().find(|owner| path.starts_with(&owner.at))
        {
            (attr.uid, attr.gid) = (owner.uid, owner.gid);
        }
        Node {
            path,
            attr: self.shown(attr),
            source: Source::Tree {
                entry,
                times: stamp.child,
            },
            observed: true,
        }
    }

    fn leading_node(&self, path: TreePath) -> Node {
        self.tree_node(path, Entry::dir(Meta::default_dir()), Stamp::default())
    }

    /// Looks a name up, asking `stat` about paths of the host.
    pub(crate) fn lookup_by(
        &self,
        parent: &Node,
        name: &[u8],
        stat: impl Fn(&Path) -> Result<Status, ProjectionError>,
    ) -> Result<Option<Node>, ProjectionError> {
        let Ok(valid) = Name::new(name) else {
            return Ok(None);
        };
        let path = parent.path.join(&valid);
        if let Some(graft) = self.grafts.get(&path) {
            return self.graft_node(graft);
        }
        if let Source::Host { path: dir, .. } = &parent.source {
            let host = host::child(dir, name);
            let observed = parent.observed && name != COMPILED_PYTHON;
            return Ok(
                stat(&host)?.map(|(attr, stamp)| self.host_node(path, host, attr, stamp, observed))
            );
        }
        match self.in_tree(parent, name, &path)? {
            Some(node) => Ok(Some(node)),
            None if self.leading.contains_key(&path) => Ok(Some(self.leading_node(path))),
            None => Ok(None),
        }
    }

    fn in_tree(
        &self,
        parent: &Node,
        name: &[u8],
        path: &TreePath,
    ) -> Result<Option<Node>, ProjectionError> {
        let Source::Tree { entry, times } = &parent.source else {
            return Ok(None);
        };
        let tree = entry.tree().ok_or_else(|| not_a(parent, "directory"))?;
        let Some(found) = self
            .nodes
            .lookup(tree, name)
            .map_err(|e| content(path, e))?
        else {
            return Ok(None);
        };
        let stamp = match times {
            Some(times) => self
                .nodes
                .stamp(times, name)
                .map_err(|e| content(path, e))?,
            None => Stamp::default(),
        };
        Ok(Some(self.tree_node(path.clone(), found, stamp)))
    }
}

impl Lower for Composite {
    fn root(&self) -> Result<Node, ProjectionError> {
        let entry = Entry::dir_of(Meta::default_dir(), self.root.tree);
        Ok(self.tree_node(TreePath::root(), entry, Stamp::dir(0, self.root.times)))
    }

    fn lookup(&self, parent: &Node, name: &[u8]) -> Result<Option<Node>, ProjectionError> {
        self.lookup_by(parent, name, host::stat)
    }

    fn list(&self, dir: &Node) -> Result<Vec<Listed>, ProjectionError> {
        if let Source::Host { path, .. } = &dir.source {
            return host::list(path);
        }
        let Source::Tree { entry, .. } = &dir.source else {
            return Ok(Vec::new());
        };
        let tree = entry.tree().ok_or_else(|| not_a(dir, "directory"))?;
        let mut names = BTreeMap::new();
        for (name, entry) in self
            .nodes
            .directory(tree)
            .map_err(|e| content(&dir.path, e))?
            .iter()
        {
            names.insert(name.as_bytes().to_vec(), (entry.kind(), link_group(entry)));
        }
        for name in self.leading.get(&dir.path).into_iter().flatten() {
            let path = dir.path.join(name);
            let kind = match self.grafts.get(&path) {
                Some(graft) => self.graft_node(graft)?.map(|node| node.attr.kind),
                None => Some(Kind::Dir),
            };
            match kind {
                Some(kind) => names.insert(name.as_bytes().to_vec(), (kind, None)),
                None => names.remove(name.as_bytes()),
            };
        }
        Ok(names
            .into_iter()
            .map(|(name, (kind, link_group))| Listed {
                name,
                kind,
                observed: true,
                link_group,
            })
            .collect())
    }

    fn read(&self, file: &Node, offset: u64, len: usize) -> Result<Content, ProjectionError> {
        match &file.source {
            Source::Host { path, stamp } => self.open.read(path, *stamp, offset, len),
            Source::Tree {
                entry:
                    Entry {
                        target: Target::Regular { blob, .. },
                        ..
                    },
                ..
            } => self
                .store
                .read_blob_at(blob, offset, len)
                .map(Content::own)
                .map_err(|e| content(&file.path, e)),
            Source::Tree { .. } => Err(not_a(file, "regular file")),
        }
    }

    fn store(&self) -> Option<&Store> {
        Some(&self.store)
    }

    fn read_link(&self, link: &Node) -> Result<Content, ProjectionError> {
        match &link.source {
            Source::Host { path, stamp } => host::read_link(path, *stamp),
            Source::Tree {
                entry:
                    Entry {
                        target: Target::Symlink { target },
                        ..
                    },
                ..
            } => Ok(Content::own(target.clone())),
            Source::Tree { .. } => Err(not_a(link, "symbolic link")),
        }
    }

    fn xattr(&self, node: &Node, name: &[u8]) -> Option<Vec<u8>> {
        let Source::Tree { entry, .. } = &node.source else {
            return None;
        };
        if !is_shown_xattr(name) {
            return None;
        }
        entry.meta.xattrs.get(name).cloned()
    }

    fn xattrs(&self, node: &Node) -> Vec<Vec<u8>> {
        let Source::Tree { entry, .. } = &node.source else {
            return Vec::new();
        };
        entry
            .meta
            .xattrs
            .keys()
            .filter(|name| is_shown_xattr(name))
            .cloned()
            .collect()
    }

    fn has_xattrs(&self, stop: &dyn Fn() -> bool) -> Result<Option<bool>, ProjectionError> {
        // Files of the host are shown without attributes.
        self.nodes
            .has_xattrs(&self.root.tree, stop)
            .map_err(|e| content(&TreePath::root(), e))
    }
}

fn content(path: &TreePath, reason: impl std::fmt::Display) -> ProjectionError {
    ProjectionError::Content {
        path: path.to_string(),
        reason: reason.to_string(),
    }
}

fn not_a(node: &Node, wanted: &'static str) -> ProjectionError {
    ProjectionError::Kind {
        path: node.path.to_string(),
        wanted,
    }
}
