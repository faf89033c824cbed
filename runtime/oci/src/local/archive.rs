//! Archives as `docker save` and `podman save` write them: `manifest.json`, a configuration, a tar per layer
//! (moby, "image/spec/v1.2.md").

use std::io::Read;

use serde::Deserialize;

use super::members::{Files, compression_of};
use super::{Local, LocalError, LocalLayer};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::manifest::{Descriptor, ManifestError};
use crate::media::{self, Compression};
use crate::reference::Reference;

const WHAT: &str = "archive of `docker save`";
const MANIFEST: &str = "manifest.json";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Item {
    fn names(&self) -> &[String] {
        self.repo_tags.as_deref().unwrap_or_default()
    }

    fn is(&self, name: &str) -> bool {
        let same = |a: &str, b: &str| match (a.parse::<Reference>(), b.parse::<Reference>()) {
            (Ok(a), Ok(b)) => a == b,
            _ => a == b,
        };
        self.names().iter().any(|own| same(own, name))
    }
}

/// Finds an image by its name, or the only one.
pub(super) fn find(files: Files, name: Option<&str>) -> Result<Local, LocalError> {
    let bytes = files.read(MANIFEST, WHAT)?;
    let items: Vec<Item> = serde_json::from_slice(&bytes).map_err(|source| {
        let what = "list of images";
        document(&files, MANIFEST, ManifestError::Json { what, source })
    })?;
    let item = choose(&files, items, name)?;
    let config = files.read(&item.config, WHAT)?;
    let parsed =
        ImageConfig::parse(&config).map_err(|source| document(&files, &item.config, source))?;
    let (layers, diff_ids) = (item.layers.len(), parsed.diff_ids.len());
    if layers != diff_ids {
        let source = ManifestError::LayerCount { layers, diff_ids };
        return Err(document(&files, &item.config, source));
    }
    let pairs = item.layers.into_iter().zip(parsed.diff_ids);
    let layers = pairs
        .map(|(member, diff_id)| layer(&files, member, diff_id))
        .collect::<Result<_, _>>()?;
    // What Docker calls the id of an image.
    let digest = Digest::of(&config);
    Ok(Local {
        manifest: digest.clone(),
        digest,
        config,
        layers,
        files,
    })
}

fn choose(files: &Files, items: Vec<Item>, name: Option<&str>) -> Result<Item, LocalError> {
    let known: Vec<String> = items.iter().flat_map(Item::names).cloned().collect();
    let path = files.path.clone();
    let count = items.len();
    let mut items = items.into_iter();
    match name {
        Some(name) => {
            let found = items.find(|item| item.is(name));
            found.ok_or_else(|| LocalError::NoSuchImage {
                path,
                name: name.to_owned(),
                known,
            })
        }
        None if count > 1 => Err(LocalError::Several { path, known }),
        None => items.next().ok_or_else(|| LocalError::Missing {
            path,
            member: "image".to_owned(),
            what: WHAT,
        }),
    }
}

fn layer(files: &Files, member: String, diff_id: Digest) -> Result<LocalLayer, LocalError> {
    let (mut reader, size) = files.open(&member, WHAT)?;
    let mut head = Vec::new();
    let read = reader.by_ref().take(4).read_to_end(&mut head);
    read.map_err(|source| LocalError::Read {
        path: files.path.join(&member),
        source,
    })?;
    let compression = compression_of(&head);
    Ok(LocalLayer {
        descriptor: Descriptor {
            media_type: media::layer_type(compression).to_owned(),
            digest: diff_id,
            size,
            platform: None,
        },
        is_exact: compression == Compression::None,
        compression,
        member,
    })
}

fn document(files: &Files, member: &str, source: ManifestError) -> LocalError {
    LocalError::Document {
        path: files.path.clone(),
        member: member.to_owned(),
        source,
    }
}
