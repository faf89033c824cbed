//! OCI images: references, a registry client, layers into the store, and environments out as images.
//!
//! [`Client::pull`] goes from a [`Reference`] to an [`Image`]: the manifest for the platform, the configuration, and
//! the files as one tree. Layers stream from the network through decompression into the store in one pass; digest,
//! length and diff id are checked before anything becomes visible. No path of the host is ever touched: the tar
//! archives become trees, never files. [`Source`] names what is in no registry: layouts, archives, another engine.
//! [`export()`] goes the other way.

mod catalogue;
mod client;
mod config;
mod digest;
mod error;
mod export;
mod known;
mod layer;
mod local;
mod manifest;
mod media;
mod pack;
mod platform;
mod progress;
mod pull;
mod reference;
mod registry;
mod source;
mod stack;
mod stored;
#[cfg(test)]
#[path = "../tests/common/tarball.rs"]
mod tarball;
mod unpack;

pub use catalogue::{Listed, forget_voided, images, remove, voided};
pub use client::{Client, ClientOptions, Image, Inspected, remembered};
pub use config::{Healthcheck, ImageConfig};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error::PullError;
pub use export::{
    Base, ExportError, Exported, ExportedLayer, OnExport, Recipe, RunConfig, Sent, Stage, Target,
    TargetError, Workshop, export,
};
pub use layer::draft::{Draft, Layer, Open};
pub use layer::entry::{TarEntry, TarKind};
pub use layer::tar::{Content, TarReader};
pub use layer::{LayerError, Limits};
pub use local::LocalError;
pub use manifest::{Descriptor, Document, Index, Manifest, ManifestError};
pub use media::{Compression, layer_compression};
pub use pack::{Owner, PackError};
pub use platform::Platform;
pub use progress::{OnProgress, Progress};
pub use reference::{Reference, ReferenceError};
pub use registry::{
    CredentialError, Credentials, Mirror, RegistryError, RegistrySettings, Retry, Rule,
    SettingsError,
};
pub use source::{Place, Source, SourceError};
pub use stored::{StoredImage, stored_images};
