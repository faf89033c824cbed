//! Layers out: what one tree adds to another, as a tar archive that is the same bytes each time.

pub(crate) mod changes;
pub(crate) mod compress;
pub(crate) mod layer;
pub(crate) mod tar;

use hd_dag::TreeError;

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
