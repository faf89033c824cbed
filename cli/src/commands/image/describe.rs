//! Images in words and JSON.

use std::collections::BTreeSet;

use hd_dag::{StoreTrees, Target, walk};
use hd_oci::{Image, Inspected, Listed, Source};
use hd_store::Store;
use serde_json::{Value, json};

use crate::error::{CliError, exit};

/// Bytes of decoded directories kept while files are counted.
const NODE_CACHE: usize = 16 << 20;

/// Adds the files of an image up, each inode once, in bytes.
pub(super) fn size(store: &Store, image: &Image) -> Result<u64, CliError> {
    let trees = StoreTrees::read_only(store.clone(), NODE_CACHE);
    let failed = |e: hd_dag::TreeError| CliError::new("store", exit::INTERNAL, e);
    let (mut total, mut groups) = (0, BTreeSet::new());
    for item in walk(&trees, &image.rooted).map_err(failed)? {
        if let Target::Regular {
            size, link_group, ..
        } = item.map_err(failed)?.entry.target
            && link_group.is_none_or(|group| groups.insert(group))
        {
            total += size;
        }
    }
    Ok(total)
}

pub(super) fn listed(one: &Listed, size: u64) -> Value {
    json!({
        "name": one.name,
        "digest": one.image.digest.to_string(),
        "manifest": one.image.manifest.to_string(),
        "platform": one.platform.to_string(),
        "layers": one.image.config.diff_ids.len(),
        "bytes": size,
        "pulled_unix_ms": one.at_unix_ms,
    })
}

/// What is known of an image that was pulled.
pub(super) fn pulled(source: &Source, image: &Image, size: u64) -> Value {
    json!({
        "name": source.to_string(),
        "pulled": true,
        "digest": image.digest.to_string(),
        "manifest": image.manifest.to_string(),
        "tree": image.rooted.tree.to_string(),
        "bytes": size,
        "config": config(&image.config_json),
    })
}

/// What a registry or an archive says of an image.
pub(super) fn asked(source: &Source, image: &Inspected) -> Value {
    let layers = image.layers.iter().map(|layer| {
        json!({
            "mediaType": layer.media_type,
            "digest": layer.digest.to_string(),
            "size": layer.size,
        })
    });
    json!({
        "name": source.to_string(),
        "pulled": false,
        "digest": image.digest.to_string(),
        "manifest": image.manifest.to_string(),
        "layers": layers.collect::<Vec<_>>(),
        "config": config(&image.config),
    })
}

fn config(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
