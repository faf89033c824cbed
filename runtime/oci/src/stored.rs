//! Which images the store remembers, and which records of its history are about each.

use std::collections::BTreeSet;

use hd_dag::StepResult;
use hd_store::{HistoryEntry, Id, Store};

use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::known::{ImageNotes, layer_key};

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// What its reference led to: an index or a manifest.
    pub digest: Digest,
    /// Keys of the histories about the image, its names and its layers.
    pub keys: BTreeSet<Id>,
}

/// Finds the images among all histories of a store; what cannot be read is none.
///
/// # Errors
/// I/O errors of the store.
pub fn stored_images(
    store: &Store,
    histories: &[(Id, HistoryEntry)],
) -> Result<Vec<StoredImage>, hd_store::Error> {
    let mut images: Vec<StoredImage> = Vec::new();
    for (key, entry) in histories {
        let Some(notes) = image_notes(store, entry)? else {
            continue;
        };
        let layers = ImageConfig::parse(notes.config.as_bytes())
            .map(|config| config.diff_ids)
            .unwrap_or_default();
        let keys = layers.iter().map(layer_key).chain([*key]);
        match images.iter_mut().find(|image| image.digest == notes.digest) {
            Some(image) => image.keys.extend(keys),
            None => images.push(StoredImage {
                digest: notes.digest,
                keys: keys.collect(),
            }),
        }
    }
    Ok(images)
}

fn image_notes(store: &Store, entry: &HistoryEntry) -> Result<Option<ImageNotes>, hd_store::Error> {
    let log = StepResult::decode(&entry.payload).ok().and_then(|result| {
        // Steps run on a tree; what was unpacked stands on none.
        (result.made_on == hd_dag::Rooted::empty()).then_some(result.log)?
    });
    let Some(log) = log else {
        return Ok(None);
    };
    match store.read_blob(&log) {
        Ok(notes) => Ok(serde_json::from_slice(&notes).ok()),
        Err(hd_store::Error::NotFound { .. } | hd_store::Error::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
