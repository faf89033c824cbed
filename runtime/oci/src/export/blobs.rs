//! The bytes of a layer in a file, wherever they come from.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::assemble::{Bytes, Layer, make};
use super::{ExportError, Workshop};
use crate::digest::{Digest, Hasher};
use crate::layer::decompress::decompressor;
use crate::manifest::Descriptor;
use crate::media::{self, Compression};
use crate::pull::blocking;
use crate::registry::{RegistryError, Sink};

/// Puts the bytes of a layer as they are transferred into `path`, which appears only when they are right.
pub(super) async fn fetch(
    workshop: &Workshop,
    layer: &Layer,
    path: &Path,
) -> Result<(), ExportError> {
    let part = part(path);
    let written = write(workshop, layer, &part).await;
    let settled = written.and_then(|found| {
        if found != layer.descriptor.digest {
            return Err(wrong(layer, found));
        }
        std::fs::rename(&part, path).map_err(ExportError::write(path))
    });
    if settled.is_err() {
        // What failed has been told; the rest is only in the way.
        let _ = std::fs::remove_file(&part);
    }
    settled
}

fn part(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".part-");
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

fn wrong(layer: &Layer, found: Digest) -> ExportError {
    match &layer.bytes {
        Bytes::Registry(image) => ExportError::Registry(RegistryError::WrongDigest {
            host: image.api_host().to_owned(),
            what: format!("a layer of {image}"),
            found,
            wanted: layer.descriptor.digest.clone(),
        }),
        _ => ExportError::Internal(format!(
            "a layer has digest {found}, wanted was {}",
            layer.descriptor.digest
        )),
    }
}

async fn write(workshop: &Workshop, layer: &Layer, path: &Path) -> Result<Digest, ExportError> {
    match &layer.bytes {
        Bytes::Registry(image) => {
            let file = File::create(path).map_err(ExportError::write(path))?;
            let mut sink = Hashed {
                file: BufWriter::new(file),
                hasher: Hasher::new(layer.descriptor.digest.algorithm()),
                failed: None,
            };
            let original = Descriptor {
                media_type: String::new(),
                ..layer.descriptor.clone()
            };
            let registry = workshop.client.registry();
            registry.blob(image, &original, &mut sink).await?;
            sink.finish().map_err(ExportError::write(path))
        }
        Bytes::Local(local, member) => {
            let (mut source, path) = (local.layer(member)?, path.to_owned());
            let algorithm = layer.descriptor.digest.algorithm();
            let done = blocking("", move || {
                let file = File::create(&path)?;
                let mut out = Hashed {
                    file: BufWriter::new(file),
                    hasher: Hasher::new(algorithm),
                    failed: None,
                };
                io::copy(&mut source, &mut out)?;
                out.finish()
            });
            done.await?.map_err(ExportError::write(&workshop.directory))
        }
        Bytes::Trees { .. } => {
            let (store, trees) = (workshop.store.clone(), Arc::clone(&workshop.trees));
            let (bytes, path) = (layer.bytes.clone(), path.to_owned());
            let made = blocking("", move || make(&*trees, &store, &bytes, &path)).await??;
            let nothing = || ExportError::Internal("a layer is nowhere".to_owned());
            Ok(made.ok_or_else(nothing)?.digest)
        }
    }
}

/// Puts the archive of a layer, not compressed, into `path`; returns its length in bytes.
pub(super) async fn fetch_plain(
    workshop: &Workshop,
    layer: &Layer,
    path: &Path,
) -> Result<u64, ExportError> {
    let compression = media::layer_compression(&layer.descriptor.media_type);
    let compression = compression.unwrap_or(Compression::None);
    let packed = workshop.directory.join("packed");
    fetch(workshop, layer, &packed).await?;
    let (layer, path) = (layer.clone(), path.to_owned());
    let done = blocking("", move || {
        let plain = || -> io::Result<(Digest, u64)> {
            let source = BufReader::new(File::open(&packed)?);
            let mut out = Hashed {
                file: BufWriter::new(File::create(&path)?),
                hasher: Hasher::new(layer.diff_id.algorithm()),
                failed: None,
            };
            let size = io::copy(&mut decompressor(source, compression)?, &mut out)?;
            std::fs::remove_file(&packed)?;
            Ok((out.finish()?, size))
        };
        let (found, size) = plain().map_err(ExportError::write(&path))?;
        if found == layer.diff_id {
            return Ok(size);
        }
        Err(ExportError::Internal(format!(
            "a layer unpacks to {found}, wanted was {}",
            layer.diff_id
        )))
    });
    done.await?
}

/// Writes and hashes.
struct Hashed {
    file: BufWriter<File>,
    hasher: Hasher,
    failed: Option<io::Error>,
}

impl Hashed {
    fn finish(mut self) -> io::Result<Digest> {
        match self.failed.take() {
            Some(error) => return Err(error),
            None => self.file.flush()?,
        }
        self.file.get_ref().sync_all()?;
        Ok(self.hasher.finish())
    }
}

impl Write for Hashed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.file.write(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for Hashed {
    async fn take(&mut self, bytes: &[u8]) -> bool {
        self.failed = self.write_all(bytes).err();
        self.failed.is_none()
    }
}

/// Reads a file whole; for documents.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match File::open(path) {
        Ok(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
