//! An image into an OCI image layout ("image-layout.md"); other images in it stay.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::assemble::Assembly;
use super::config::{Documents, shown};
use super::{ExportError, Exported, ExportedLayer, OnExport, Sent, Workshop, blobs};
use crate::digest::Digest;
use crate::media;
use crate::source::Place;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The tag when none is given, as skopeo has it for images without one.
const TAG: &str = "latest";
/// How often it is looked whether somebody else's export into the same layout is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn write(
    workshop: &Workshop,
    image: Assembly,
    documents: Documents,
    place: &Place,
    report: OnExport,
) -> Result<Exported, ExportError> {
    let root = &place.path;
    std::fs::create_dir_all(root).map_err(ExportError::write(root))?;
    let _alone = alone(root).await?;
    let index = prepare(root)?;
    let total = image.layers.iter().map(|layer| layer.descriptor.size).sum();
    let (mut layers, mut done) = (Vec::new(), 0);
    for layer in &image.layers {
        let path = blob(root, &layer.descriptor.digest);
        let sent = match path.exists() {
            true => Sent::Kept,
            false => {
                make_parent(&path)?;
                blobs::fetch(workshop, layer, &path).await?;
                Sent::New
            }
        };
        done += layer.descriptor.size;
        report(done, total);
        layers.push(ExportedLayer {
            digest: layer.descriptor.digest.clone(),
            size: layer.descriptor.size,
            made_by: layer.made_by.clone(),
            is_base: layer.is_base,
            sent,
        });
    }
    for (descriptor, bytes) in [
        (&documents.config_descriptor, &documents.config),
        (&documents.manifest_descriptor, &documents.manifest),
    ] {
        let path = blob(root, &descriptor.digest);
        make_parent(&path)?;
        replace(&path, bytes).map_err(ExportError::write(&path))?;
    }
    let tag = place.name.as_deref().unwrap_or(TAG);
    let index = with(index, tag, &documents)?;
    // Last: only now does the tag stand for the new image.
    for (name, bytes) in [("oci-layout", LAYOUT), ("index.json", &index)] {
        let path = root.join(name);
        replace(&path, bytes).map_err(ExportError::write(&path))?;
    }
    Ok(Exported {
        digest: documents.manifest_descriptor.digest,
        id: documents.config_descriptor.digest,
        layers,
        base_repacked: image.base_repacked,
    })
}

/// Waits until nobody else exports into a layout: its index is read and written anew, and layers have one name
/// while they come.
async fn alone(root: &Path) -> Result<File, ExportError> {
    let dir = File::open(root).map_err(ExportError::write(root))?;
    loop {
        match dir.try_lock() {
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK_EVERY).await,
            // Where there are no locks it goes without.
            Ok(()) | Err(_) => return Ok(dir),
        }
    }
}

/// Reads the index of the layout that a directory is, or is to be.
fn prepare(root: &Path) -> Result<Value, ExportError> {
    let io = ExportError::write;
    let path = root.join("index.json");
    if root.join("oci-layout").exists()
        && let Some(bytes) = blobs::read(&path).map_err(io(&path))?
    {
        let what = "index of the layout that is there";
        return serde_json::from_slice(&bytes).map_err(|source| ExportError::Json { what, source });
    }
    let mut entries = std::fs::read_dir(root).map_err(io(root))?;
    // What an interrupted export left is no reason to refuse.
    let of_ours = |name: OsString| name == "blobs" || name == "oci-layout";
    if entries.any(|entry| entry.is_ok_and(|entry| !of_ours(entry.file_name()))) {
        return Err(ExportError::Occupied {
            path: root.to_owned(),
        });
    }
    Ok(json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [] }))
}

/// Lets a tag stand for the image; what other tags stand for stays.
fn with(mut index: Value, tag: &str, documents: &Documents) -> Result<Vec<u8>, ExportError> {
    let mut manifests = match index.get_mut("manifests").map(Value::take) {
        Some(Value::Array(manifests)) => manifests,
        _ => Vec::new(),
    };
    let named = |one: &Value| one["annotations"][media::REF_NAME] == tag;
    manifests.retain(|one| !named(one));
    let mut entry = shown(&documents.manifest_descriptor);
    entry["annotations"] = json!({ media::REF_NAME: tag });
    manifests.push(entry);
    index["manifests"] = Value::Array(manifests);
    let what = "index";
    serde_json::to_vec(&index).map_err(|source| ExportError::Json { what, source })
}

fn blob(root: &Path, digest: &Digest) -> PathBuf {
    root.join("blobs")
        .join(digest.algorithm().name())
        .join(digest.hex())
}

fn make_parent(path: &Path) -> Result<(), ExportError> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).map_err(ExportError::write(parent))
}

/// Writes a file that is whole whenever it is seen.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(path))?;
    file.write_all(bytes)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
