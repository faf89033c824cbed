//! Why an image could not be pulled.

use hd_dag::TreeError;

use crate::digest::Digest;
use crate::known::RecordError;
use crate::layer::LayerError;
use crate::local::LocalError;
use crate::manifest::ManifestError;
use crate::platform::Platform;
use crate::registry::RegistryError;

/// Says why an image could not be pulled. What was pulled of it before is kept and not fetched again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The registry did not give what was asked for.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The directory, archive or engine does not have it.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// A layer of an archive is not the one promised.
    #[error("image {image}: a layer has digest {found}, wanted was {wanted}; nothing was stored")]
    WrongLayer {
        /// The image.
        image: String,
        /// Digest of what was read.
        found: Digest,
        /// Digest that the manifest names.
        wanted: Digest,
    },
    /// The manifest or configuration cannot be used.
    #[error("image {image}: the document {digest} {source}")]
    Manifest {
        /// The image.
        image: String,
        /// Digest of the document.
        digest: Digest,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// The image does not exist for this platform.
    #[error("image {image} is not made for {wanted}, only for {}", list(.offered))]
    NoPlatform {
        /// The image.
        image: String,
        /// The platform asked for.
        wanted: Platform,
        /// The platforms it is made for.
        offered: Vec<Platform>,
    },
    /// A document is not as long as the one that points to it says.
    #[error("image {image}: the document {digest} has {found} bytes, its index says {wanted}")]
    ManifestSize {
        /// The image.
        image: String,
        /// Digest of the document.
        digest: Digest,
        /// Its length in bytes.
        found: u64,
        /// The length promised.
        wanted: u64,
    },
    /// A layer cannot be unpacked.
    #[error("image {image}: layer {layer} {source}")]
    Layer {
        /// The image.
        image: String,
        /// Digest of the layer as it is transferred.
        layer: Digest,
        /// What is wrong with it.
        source: LayerError,
    },
    /// An unpacked layer is not the one that the configuration names.
    #[error(
        "image {image}: layer {layer} unpacks to {found}, its config says {wanted}; nothing was stored"
    )]
    WrongDiffId {
        /// The image.
        image: String,
        /// Digest of the layer as it is transferred.
        layer: Digest,
        /// Digest of what it unpacks to.
        found: Digest,
        /// Digest that the configuration names.
        wanted: Digest,
    },
    /// The composed image cannot be used.
    #[error("image {image} {source}")]
    Image {
        /// The image.
        image: String,
        /// What is wrong with it.
        source: LayerError,
    },
    /// The store failed.
    #[error("cannot store image {image}: {source}")]
    Store {
        /// The image.
        image: String,
        /// What the store says.
        source: hd_store::Error,
    },
    /// A tree could not be read or written.
    #[error("cannot store image {image}: {source}")]
    Tree {
        /// The image.
        image: String,
        /// What went wrong.
        source: Box<TreeError>,
    },
    /// A record could not be written, or a worker ended unexpectedly.
    #[error("cannot unpack image {image}: {problem}")]
    Internal {
        /// The image.
        image: String,
        /// What happened.
        problem: String,
    },
}

impl PullError {
    pub(crate) fn internal(image: &(impl ToString + ?Sized), problem: &str) -> PullError {
        let (image, problem) = (image.to_string(), problem.to_owned());
        PullError::Internal { image, problem }
    }

    pub(crate) fn of_record(image: &str, error: RecordError) -> PullError {
        let image = image.to_owned();
        match error {
            RecordError::Store(source) => PullError::Store { image, source },
            RecordError::Encode(problem) => PullError::Internal { image, problem },
        }
    }
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "none that is named".to_owned();
    }
    let texts: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    texts.join(", ")
}
