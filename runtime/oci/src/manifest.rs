//! Image manifests and indexes, read strictly.

use serde::Deserialize;

use crate::digest::Digest;
use crate::media;
use crate::platform::Platform;

/// Says why a manifest, index or configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not JSON of the expected shape.
    #[error("is not a valid {what}: {source}")]
    Json {
        /// What it should have been.
        what: &'static str,
        /// What the JSON reader found.
        source: serde_json::Error,
    },
    /// The media type is none of an image manifest or index.
    #[error("has media type `{media_type}`, which is no image manifest{}", schema_1_hint(.media_type))]
    MediaType {
        /// The type as given.
        media_type: String,
    },
    /// The document names another type than the header or descriptor that led to it.
    #[error("says it is `{inside}` but was served as `{outside}`")]
    MediaTypeMismatch {
        /// Type within the document.
        inside: String,
        /// Type without.
        outside: String,
    },
    /// A manifest has fields of an index or the other way round (CVE-2021-41190).
    #[error("mixes an image manifest with an image index")]
    Ambiguous,
    /// Its schema version is not 2.
    #[error("has schema version {version}, only 2 can be read")]
    SchemaVersion {
        /// The version as given.
        version: u64,
    },
    /// A field that must be there is missing.
    #[error("lacks `{field}`")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// The configuration is not that of a container image.
    #[error("is no container image: its config has media type `{media_type}`")]
    ConfigType {
        /// The type as given.
        media_type: String,
    },
    /// A layer is of a kind that cannot be unpacked.
    #[error("has layer {digest} of media type `{media_type}`, which cannot be unpacked")]
    LayerType {
        /// The layer.
        digest: Digest,
        /// Its media type.
        media_type: String,
    },
    /// Manifest and configuration disagree about the layers.
    #[error("has {layers} layers but its config lists {diff_ids}")]
    LayerCount {
        /// Layers of the manifest.
        layers: usize,
        /// Layers of the configuration.
        diff_ids: usize,
    },
}

fn schema_1_hint(media_type: &str) -> &'static str {
    if media_type.contains("manifest.v1") && media_type.contains("docker") {
        " (Docker's schema 1: push the image again with a current tool)"
    } else {
        ""
    }
}

/// Points at a blob or manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of what it points at.
    pub media_type: String,
    /// Digest of the bytes.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// Platform, in an index.
    #[serde(default)]
    pub platform: Option<Platform>,
}

/// Is the manifest of one image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// Is a list of manifests for several platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The manifests in their order.
    pub manifests: Vec<Descriptor>,
}

/// Is what a reference leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Images for several platforms.
    Index(Index),
}

/// Takes every field either kind may have, so that a mixture is seen.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default, rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a document that was served, or pointed at, as `media_type`.
    ///
    /// # Errors
    /// Fails on anything that two readers could understand differently, see [`ManifestError`].
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Document, ManifestError> {
        let is_index = match media_type {
            media::OCI_INDEX | media::DOCKER_LIST => true,
            media::OCI_MANIFEST | media::DOCKER_MANIFEST => false,
            other => {
                return Err(ManifestError::MediaType {
                    media_type: other.to_owned(),
                });
            }
        };
        let raw: Raw = serde_json::from_slice(bytes).map_err(|source| ManifestError::Json {
            what: if is_index {
                "image index"
            } else {
                "image manifest"
            },
            source,
        })?;
        if raw.schema_version != 2 {
            return Err(ManifestError::SchemaVersion {
                version: raw.schema_version,
            });
        }
        if let Some(inside) = raw.media_type.filter(|inside| inside != media_type) {
            return Err(ManifestError::MediaTypeMismatch {
                inside,
                outside: media_type.to_owned(),
            });
        }
        let image_fields = raw.config.is_some() || raw.layers.is_some();
        if raw.fs_layers.is_some() || (image_fields && raw.manifests.is_some()) {
            return Err(ManifestError::Ambiguous);
        }
        if is_index {
            let manifests = raw
                .manifests
                .ok_or(ManifestError::Missing { field: "manifests" })?;
            return Ok(Document::Index(Index { manifests }));
        }
        let config = raw
            .config
            .ok_or(ManifestError::Missing { field: "config" })?;
        let layers = raw
            .layers
            .ok_or(ManifestError::Missing { field: "layers" })?;
        Manifest { config, layers }
            .checked()
            .map(Document::Manifest)
    }
}

impl Manifest {
    fn checked(self) -> Result<Manifest, ManifestError> {
        if !matches!(
            self.config.media_type.as_str(),
            media::OCI_CONFIG | media::DOCKER_CONFIG
        ) {
            return Err(ManifestError::ConfigType {
                media_type: self.config.media_type,
            });
        }
        let unknown = |layer: &&Descriptor| media::layer_compression(&layer.media_type).is_none();
        match self.layers.iter().find(unknown) {
            Some(layer) => Err(ManifestError::LayerType {
                digest: layer.digest.clone(),
                media_type: layer.media_type.clone(),
            }),
            None => Ok(self),
        }
    }
}

impl Index {
    /// Chooses the manifest that runs best on `platform`; the first of equals wins.
    pub fn choose(&self, platform: &Platform) -> Option<&Descriptor> {
        let is_manifest = |d: &&Descriptor| {
            matches!(
                d.media_type.as_str(),
                media::OCI_MANIFEST | media::DOCKER_MANIFEST
            )
        };
        let ranked = self
            .manifests
            .iter()
            .filter(is_manifest)
            .filter_map(|descriptor| {
                let rank = platform.rank(descriptor.platform.as_ref()?)?;
                Some((rank, descriptor))
            });
        ranked
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, descriptor)| descriptor)
    }

    /// Lists the platforms on offer, without attestations and the like.
    pub fn platforms(&self) -> Vec<Platform> {
        let known = self.manifests.iter().filter_map(|d| d.platform.clone());
        known.filter(|platform| platform.os != "unknown").collect()
    }
}
