//! OCI images: references, a registry client, and layers into the store.
//!
//! [`Client::pull`] goes from a [`Reference`] to an [`Image`]: the manifest for the platform, the configuration, and
//! the files as one tree. Layers stream from the network through decompression into the store in one pass; digest,
//! length and diff id are checked before anything becomes visible. No path of the host is ever touched: the tar
//! archives become trees, never files.

mod client;
mod config;
mod digest;
mod error;
mod known;
mod layer;
mod manifest;
mod media;
mod platform;
mod progress;
mod pull;
mod reference;
mod registry;
mod stack;
mod stored;
#[cfg(test)]
#[path = "../tests/common/tarball.rs"]
mod tarball;
mod unpack;

pub use client::{Client, ClientOptions, Image};
pub use config::{Healthcheck, ImageConfig};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error::PullError;
pub use layer::draft::{Draft, Layer, Open};
pub use layer::entry::{TarEntry, TarKind};
pub use layer::tar::{Content, TarReader};
pub use layer::{LayerError, Limits};
pub use manifest::{Descriptor, Document, Index, Manifest, ManifestError};
pub use media::{Compression, layer_compression};
pub use platform::Platform;
pub use progress::{OnProgress, Progress};
pub use reference::{Reference, ReferenceError};
pub use registry::{CredentialError, Credentials, RegistryError, Retry};
pub use stored::{StoredImage, stored_images};
