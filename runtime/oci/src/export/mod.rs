//! An environment as an image: layers, configuration and manifest made the same each time, and taken where they
//! belong.

mod archive;
mod assemble;
mod blobs;
mod config;
mod layout;
mod push;
mod target;

use std::path::PathBuf;
use std::sync::Arc;

use hd_dag::{Rooted, Trees};
use hd_store::Store;

pub use config::RunConfig;
pub use target::{Target, TargetError};

use crate::client::{Client, Image};
use crate::digest::Digest;
use crate::error::PullError;
use crate::local::LocalError;
use crate::media::Compression;
use crate::pack::{Owner, PackError};
use crate::registry::RegistryError;
use crate::source::Source;

/// Says why an image was not exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A layer cannot be made.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The base cannot be had.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// A registry does not give or take what it should.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An archive cannot be read.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The directory is in use for something else.
    #[error("{} is not empty and no OCI image layout", path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// A document cannot be written.
    #[error("cannot write the {what}: {source}")]
    Json {
        /// Which.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A worker ended unexpectedly.
    #[error("the export failed: {0}")]
    Internal(String),
}

impl ExportError {
    pub(crate) fn write(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> ExportError {
        let path = path.to_owned();
        move |source| ExportError::Write { path, source }
    }
}

/// Is the base of what is exported.
#[derive(Debug, Clone)]
pub struct Base {
    /// Where it was pulled from.
    pub source: Source,
    /// What was pulled.
    pub image: Image,
}

impl Base {
    /// Names it by words that are the same on every machine: a path of this one would make another image of it.
    fn called(&self) -> String {
        match self.source.reference() {
            Some(reference) => format!("base {reference}"),
            None => format!("base {}", self.image.manifest),
        }
    }
}

/// Is one layer to be: a tree and what made it of the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// For people, in the image's history.
    pub made_by: String,
    /// Everything up to here.
    pub tree: Rooted,
}

/// Says what an image is to be made of.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The base.
    pub base: Base,
    /// What is laid upon it, lowest first.
    pub stages: Vec<Stage>,
    /// Whose what is nobody's in the stages is; the first that a path lies below holds.
    pub owners: Vec<Owner>,
    /// What a container made of it does by default.
    pub run: RunConfig,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970: no time in the new layers and the configuration is later.
    pub epoch: Option<i64>,
    /// How the new layers are compressed.
    pub compression: Compression,
}

/// Is the place where an export works.
#[derive(Clone)]
pub struct Workshop {
    /// Talks to registries.
    pub client: Client,
    /// Holds the files.
    pub store: Store,
    /// Holds the trees.
    pub trees: Arc<dyn Trees + Send + Sync>,
    /// A directory for files that are needed for a moment.
    pub directory: PathBuf,
}

impl std::fmt::Debug for Workshop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workshop")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// What became of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was there.
    Kept,
    /// The registry took it over from another of its repositories.
    Mounted,
    /// It was written or sent.
    New,
}

/// Is a layer of an exported image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedLayer {
    /// Digest of the layer as it is transferred.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What made it.
    pub made_by: String,
    /// It is one of the base's own.
    pub is_base: bool,
    /// What became of it.
    pub sent: Sent,
}

/// Is an exported image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Digest of the manifest; for a Docker archive, which has none, that of the configuration.
    pub digest: Digest,
    /// Digest of the configuration: what Docker shows as the image's id.
    pub id: Digest,
    /// The layers, lowest first.
    pub layers: Vec<ExportedLayer>,
    /// Why the base's own layers could not be used and it is one new layer instead.
    pub base_repacked: Option<String>,
}

/// Tells of bytes: those that are done, and all that are known of.
pub type OnExport = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Makes an image and takes it where it belongs. Dropping the future leaves at most complete blobs behind.
///
/// # Errors
/// See [`ExportError`]; the name then stands for what it stood for before.
pub async fn export(
    workshop: &Workshop,
    recipe: &Recipe,
    target: &Target,
    report: OnExport,
) -> Result<Exported, ExportError> {
    let mut image = assemble::Assembly::of_base(workshop, recipe, target).await?;
    image.add_stages(workshop, recipe, target).await?;
    let documents = config::documents(&image, recipe)?;
    match target {
        Target::Layout(place) => layout::write(workshop, image, documents, place, report).await,
        Target::DockerArchive(place) => {
            archive::write(workshop, image, documents, place, report).await
        }
        Target::Registry(reference) => {
            push::push(workshop, image, documents, reference, report).await
        }
    }
}
