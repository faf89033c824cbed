//! An image into a registry: only what is not there travels, the tag comes last.

use std::sync::atomic::{AtomicU64, Ordering};

use super::assemble::{Assembly, Bytes, Layer};
use super::config::Documents;
use super::{ExportError, Exported, ExportedLayer, OnExport, Sent, Workshop, blobs};
use crate::manifest::Descriptor;
use crate::reference::Reference;

pub(super) async fn push(
    workshop: &Workshop,
    image: Assembly,
    documents: Documents,
    to: &Reference,
    report: OnExport,
) -> Result<Exported, ExportError> {
    let total = image.layers.iter().map(|layer| layer.descriptor.size).sum();
    let done = AtomicU64::new(0);
    let came = |bytes| report(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
    let mut layers = Vec::new();
    for layer in &image.layers {
        let sent = send(workshop, layer, to, &came).await?;
        if sent != Sent::New {
            came(layer.descriptor.size);
        }
        layers.push(ExportedLayer {
            digest: layer.descriptor.digest.clone(),
            size: layer.descriptor.size,
            made_by: layer.made_by.clone(),
            is_base: layer.is_base,
            sent,
        });
    }
    send_document(
        workshop,
        &documents.config_descriptor,
        &documents.config,
        to,
    )
    .await?;
    let registry = workshop.client.registry();
    registry.push_manifest(to, documents.manifest).await?;
    Ok(Exported {
        digest: documents.manifest_descriptor.digest,
        id: documents.config_descriptor.digest,
        layers,
        base_repacked: image.base_repacked,
    })
}

async fn send(
    workshop: &Workshop,
    layer: &Layer,
    to: &Reference,
    came: &(dyn Fn(u64) + Sync),
) -> Result<Sent, ExportError> {
    let registry = workshop.client.registry();
    let digest = &layer.descriptor.digest;
    if registry.has_blob(to, digest).await? {
        return Ok(Sent::Kept);
    }
    if let Bytes::Registry(from) = &layer.bytes
        && from.registry() == to.registry()
        && registry.mount_blob(to, digest, from.repository()).await?
    {
        return Ok(Sent::Mounted);
    }
    let path = workshop.directory.join(digest.hex());
    blobs::fetch(workshop, layer, &path).await?;
    let file = std::fs::File::open(&path).map_err(ExportError::write(&path))?;
    let pushed = registry.push_blob(to, &layer.descriptor, &file, came).await;
    // The directory goes as a whole later; a big layer need not wait for that.
    let _ = std::fs::remove_file(&path);
    pushed?;
    Ok(Sent::New)
}

async fn send_document(
    workshop: &Workshop,
    descriptor: &Descriptor,
    bytes: &[u8],
    to: &Reference,
) -> Result<(), ExportError> {
    let registry = workshop.client.registry();
    if registry.has_blob(to, &descriptor.digest).await? {
        return Ok(());
    }
    let path = workshop.directory.join("config.json");
    std::fs::write(&path, bytes).map_err(ExportError::write(&path))?;
    let file = std::fs::File::open(&path).map_err(ExportError::write(&path))?;
    Ok(registry.push_blob(to, descriptor, &file, &|_| {}).await?)
}
