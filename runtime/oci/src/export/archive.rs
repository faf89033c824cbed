//! An image into an archive that `docker load` and `podman load` take (moby, "image/spec/v1.2.md").

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::assemble::Assembly;
use super::config::Documents;
use super::{ExportError, Exported, ExportedLayer, OnExport, Sent, Workshop, blobs};
use crate::pull::blocking;
use crate::source::Place;

pub(super) async fn write(
    workshop: &Workshop,
    image: Assembly,
    documents: Documents,
    place: &Place,
    report: OnExport,
) -> Result<Exported, ExportError> {
    let total = image.layers.iter().map(|layer| layer.descriptor.size).sum();
    let (mut files, mut layers, mut done) = (Vec::new(), Vec::new(), 0);
    for layer in &image.layers {
        let name = format!("{}.tar", layer.diff_id.hex());
        let path = workshop.directory.join(&name);
        let size = blobs::fetch_plain(workshop, layer, &path).await?;
        done += layer.descriptor.size;
        report(done, total);
        files.push((name, path, size));
        layers.push(ExportedLayer {
            // In the archive it is plain, and called by what it unpacks to.
            digest: layer.diff_id.clone(),
            size,
            made_by: layer.made_by.clone(),
            is_base: layer.is_base,
            sent: Sent::New,
        });
    }
    let id = documents.config_descriptor.digest.clone();
    let name = place.name.clone().map(full_name).transpose()?;
    let out = place.path.clone();
    let done = blocking("", move || {
        put(&out, &files, &documents, name.as_deref()).map_err(ExportError::write(&out))
    });
    done.await??;
    Ok(Exported {
        digest: id.clone(),
        id,
        layers,
        base_repacked: image.base_repacked,
    })
}

/// Docker wants a tag with every name, and its own defaults left out.
fn full_name(name: String) -> Result<String, ExportError> {
    let internal = |error: crate::ReferenceError| ExportError::Internal(error.to_string());
    let parsed: crate::Reference = name.parse().map_err(internal)?;
    Ok(match parsed.tag() {
        Some(tag) if !name.ends_with(&format!(":{tag}")) => format!("{name}:{tag}"),
        _ => name,
    })
}

fn put(
    out: &Path,
    layers: &[(String, PathBuf, u64)],
    documents: &Documents,
    name: Option<&str>,
) -> io::Result<()> {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(parent)?;
    let mut archive = Builder::new(BufWriter::new(file));
    let config = format!("{}.json", documents.config_descriptor.digest.hex());
    let names: Vec<&String> = layers.iter().map(|(name, ..)| name).collect();
    let manifest =
        json!([{ "Config": config, "RepoTags": name.map(|name| [name]), "Layers": names }]);
    // A layer that occurs twice is one file.
    let mut written = std::collections::BTreeSet::new();
    for (name, path, size) in layers {
        if written.insert(name) {
            member(&mut archive, name, *size, File::open(path)?)?;
            std::fs::remove_file(path)?;
        }
    }
    let bytes = &documents.config;
    member(&mut archive, &config, bytes.len() as u64, bytes.as_slice())?;
    let bytes = serde_json::to_vec(&manifest)?;
    member(
        &mut archive,
        "manifest.json",
        bytes.len() as u64,
        bytes.as_slice(),
    )?;
    archive.finish()?;
    let mut writer = archive.into_inner()?;
    writer.flush()?;
    let file = writer.into_inner().map_err(|error| error.into_error())?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    file.persist(out)?;
    Ok(())
}

fn member(
    archive: &mut Builder<impl Write>,
    name: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    archive.append(&header, content)
}
