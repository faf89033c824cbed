//! OCI image layouts ("image-layout.md"): `oci-layout`, `index.json`, `blobs/ALGORITHM/HEX`.

use serde::Deserialize;

use super::members::Files;
use super::{Local, LocalError, LocalLayer};
use crate::digest::Digest;
use crate::manifest::{Descriptor, Document, Index, Manifest, ManifestError};
use crate::media;
use crate::platform::Platform;

const WHAT: &str = "OCI image layout";
/// Indexes within indexes followed.
const MAX_DEPTH: usize = 4;

#[derive(Deserialize)]
struct RawIndex {
    manifests: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

impl Named {
    fn name(&self) -> Option<&String> {
        self.annotations.get(media::REF_NAME)
    }
}

/// Finds an image by its tag, or the only one.
pub(super) fn find(
    files: Files,
    name: Option<&str>,
    platform: &Platform,
) -> Result<Local, LocalError> {
    files.read("oci-layout", WHAT)?;
    let bytes = files.read("index.json", WHAT)?;
    let index: RawIndex = serde_json::from_slice(&bytes)
        .map_err(|source| document(&files, "index.json", json(source)))?;
    let chosen = choose(&files, index.manifests, name)?;
    let (digest, manifest) = follow(&files, &chosen, platform)?;
    let member = blob(&manifest.config.digest);
    let config = files.read_checked(&member, &manifest.config.digest, WHAT)?;
    let layers = manifest.layers.into_iter().map(|descriptor| LocalLayer {
        member: blob(&descriptor.digest),
        compression: media::layer_compression(&descriptor.media_type)
            .unwrap_or(media::Compression::None),
        is_exact: true,
        descriptor,
    });
    Ok(Local {
        digest: chosen.digest,
        manifest: digest,
        config,
        layers: layers.collect(),
        files,
    })
}

fn choose(
    files: &Files,
    manifests: Vec<Named>,
    name: Option<&str>,
) -> Result<Descriptor, LocalError> {
    let known: Vec<String> = manifests.iter().filter_map(Named::name).cloned().collect();
    let path = files.path.clone();
    let Some(name) = name else {
        let count = manifests.len();
        let mut all = manifests.into_iter();
        return match (count, all.next()) {
            (1, Some(only)) => Ok(only.descriptor),
            (0, _) => Err(LocalError::NoSuchImage {
                path,
                name: "latest".to_owned(),
                known,
            }),
            _ => Err(LocalError::Several { path, known }),
        };
    };
    let mut named = manifests.into_iter();
    let found = named.find(|one| one.name().map(String::as_str) == Some(name));
    found
        .map(|one| one.descriptor)
        .ok_or_else(|| LocalError::NoSuchImage {
            path,
            name: name.to_owned(),
            known,
        })
}

/// Goes from a descriptor to the manifest for the platform.
fn follow(
    files: &Files,
    from: &Descriptor,
    platform: &Platform,
) -> Result<(Digest, Manifest), LocalError> {
    let mut descriptor = from.clone();
    for _ in 0..MAX_DEPTH {
        let member = blob(&descriptor.digest);
        let bytes = files.read_checked(&member, &descriptor.digest, WHAT)?;
        let parsed = Document::parse(&bytes, &descriptor.media_type)
            .map_err(|source| document(files, &member, source))?;
        descriptor = match parsed {
            Document::Manifest(manifest) => return Ok((descriptor.digest, manifest)),
            Document::Index(index) => next(files, &index, platform)?,
        };
    }
    Err(document(
        files,
        &blob(&descriptor.digest),
        ManifestError::Ambiguous,
    ))
}

fn next(files: &Files, index: &Index, platform: &Platform) -> Result<Descriptor, LocalError> {
    let chosen = index.choose(platform).cloned();
    chosen.ok_or_else(|| LocalError::NoPlatform {
        path: files.path.clone(),
        wanted: platform.clone(),
        offered: index.platforms(),
    })
}

/// Names the file of a blob; a digest holds nothing but hex digits.
fn blob(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn json(source: serde_json::Error) -> ManifestError {
    ManifestError::Json {
        what: "image index",
        source,
    }
}

fn document(files: &Files, member: &str, source: ManifestError) -> LocalError {
    LocalError::Document {
        path: files.path.clone(),
        member: member.to_owned(),
        source,
    }
}
