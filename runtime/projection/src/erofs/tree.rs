//! A tree as the writer wants it: inodes in the order in which they stand, those of a directory
//! together.

use std::collections::{BTreeMap, HashMap};

use hd_dag::{Kind, Target};
use hd_store::Id;

use super::{ErofsError, object_path};
use crate::attr::Attr;
use crate::error::ProjectionError;
use crate::lower::{Lower, Node, Source};

/// Attributes by which overlayfs finds the content of a file in a data-only layer.
const METACOPY: &[u8] = b"trusted.overlay.metacopy";
const REDIRECT: &[u8] = b"trusted.overlay.redirect";

/// What an inode holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing that is stored: empty files, pipes, sockets, devices; and files whose content is
    /// elsewhere, of the size that the attributes say.
    Nothing,
    /// The target of a symbolic link.
    Link(Vec<u8>),
    /// Sorted names with the positions of their inodes; without `.` and `..`.
    Dir(Vec<(Vec<u8>, usize)>),
}

/// One inode of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// What `stat` shows.
    pub attr: Attr,
    /// Names that lead to it; of a directory two and one for each directory in it.
    pub links: u32,
    /// Extended attributes by raw name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What it holds.
    pub content: Content,
    /// The directory it was found in first; its own position for the root.
    pub parent: usize,
}

/// A whole tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// All inodes; the root is the first.
    pub inodes: Vec<Inode>,
}

/// Gives the attributes that say where the content of a file is, below the layer that has its name.
pub fn elsewhere(object: &Id) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let path = format!("/{}", object_path(object));
    BTreeMap::from([
        (METACOPY.to_vec(), Vec::new()),
        (REDIRECT.to_vec(), path.into_bytes()),
    ])
}

/// Describes all of a lower. Reads every directory, and no content of a file.
///
/// # Errors
/// A directory that cannot be read, and files of the host, which no object stands for.
pub fn describe(lower: &impl Lower) -> Result<Description, ErofsError> {
    let unreadable = |e: ProjectionError| ErofsError::Unreadable(e.to_string());
    let root = lower.root().map_err(unreadable)?;
    let mut inodes = vec![inode(lower, &root, 0)?];
    let mut groups: HashMap<u64, usize> = HashMap::new();
    let mut pending = std::collections::VecDeque::from([(0, root)]);
    while let Some((at, dir)) = pending.pop_front() {
        let listed = lower.list(&dir).map_err(unreadable)?;
        let mut names = Vec::with_capacity(listed.len());
        for listed in listed {
            let Some(node) = lower.lookup(&dir, &listed.name).map_err(unreadable)? else {
                continue;
            };
            let known = node.attr.link_group.and_then(|group| groups.get(&group));
            if let Some(&known) = known {
                inodes[known].links += 1;
                names.push((listed.name, known));
                continue;
            }
            let child = inodes.len();
            groups.extend(node.attr.link_group.map(|group| (group, child)));
            inodes.push(inode(lower, &node, at)?);
            names.push((listed.name, child));
            if node.attr.kind == Kind::Dir {
                inodes[at].links += 1;
                pending.push_back((child, node));
            }
        }
        inodes[at].content = Content::Dir(names);
    }
    Ok(Description { inodes })
}

fn inode(lower: &impl Lower, node: &Node, parent: usize) -> Result<Inode, ErofsError> {
    let Source::Tree { entry, .. } = &node.source else {
        return Err(ErofsError::Beyond {
            path: node.path.to_string(),
            what: "a file of the host",
        });
    };
    let (mut xattrs, mut links) = (entry.meta.xattrs.clone(), 1);
    xattrs.retain(|name, _| crate::composite::is_shown_xattr(name));
    let content = match &entry.target {
        Target::Symlink { .. } => {
            let target = lower.read_link(node);
            Content::Link(
                target
                    .map_err(|e| ErofsError::Unreadable(e.to_string()))?
                    .bytes,
            )
        }
        Target::Dir { .. } => {
            links = 2;
            Content::Dir(Vec::new())
        }
        Target::Regular { blob, size, .. } if *size > 0 => {
            xattrs.extend(elsewhere(blob));
            Content::Nothing
        }
        _ => Content::Nothing,
    };
    Ok(Inode {
        attr: node.attr,
        links,
        xattrs,
        content,
        parent,
    })
}
