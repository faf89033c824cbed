//! Layers out: what one tree adds to another, as a tar archive that is the same bytes each time.

pub(crate) mod changes;
pub(crate) mod compress;
pub(crate) mod layer;
pub(crate) mod tar;

use std::sync::Arc;

use hd_dag::{Meta, TreeError, TreePath};

use crate::media::Compression;

/// Says whose the files below a directory are that are nobody's (0:0) in the trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The directory, itself one of them.
    pub at: TreePath,
    /// Their user.
    pub uid: u32,
    /// Their group.
    pub gid: u32,
}

/// Is how trees become layers.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    pub(crate) compression: Compression,
    /// Times after it (seconds since 1970) become that.
    pub(crate) latest: Option<i64>,
    /// The first that a path lies below holds.
    pub(crate) owners: Arc<[Owner]>,
}

impl Style {
    /// Gives user and group of what is at a path.
    pub(crate) fn owner(&self, path: &TreePath, meta: &Meta) -> (u32, u32) {
        let of = |owner: &&Owner| path.starts_with(&owner.at);
        match self.owners.iter().find(of) {
            Some(owner) if (meta.uid, meta.gid) == (0, 0) => (owner.uid, owner.gid),
            _ => (meta.uid, meta.gid),
        }
    }
}

/// Says why a layer cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A tree could not be read.
    #[error("cannot read the files of the image: {0}")]
    Tree(#[source] Box<TreeError>),
    /// The content of a file could not be read.
    #[error("cannot read `{path}` of the image: {source}")]
    Content {
        /// The file.
        path: String,
        /// What the store says.
        source: hd_store::Error,
    },
    /// The layer could not be written.
    #[error("cannot write a layer: {0}")]
    Write(#[from] std::io::Error),
    /// A layer cannot say what is there.
    #[error("a layer cannot hold `{path}`: {problem}")]
    Unsayable {
        /// The path.
        path: String,
        /// Why.
        problem: &'static str,
    },
}

impl From<TreeError> for PackError {
    fn from(error: TreeError) -> PackError {
        PackError::Tree(Box::new(error))
    }
}
