//! Images that are in no registry: layouts, archives, and those of the Docker engine of this machine.

mod archive;
mod daemon;
mod layout;
mod members;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use self::members::Files;
use crate::digest::{Digest, DigestError, HashingReader};
use crate::layer::Limits;
use crate::manifest::{Descriptor, ManifestError};
use crate::media::Compression;
use crate::platform::Platform;
use crate::source::Source;

/// Longest document taken of a layout or archive, in bytes.
const MAX_DOCUMENT: u64 = 16 << 20;

/// Says why there is no image where it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// A file could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What should be in a layout or archive is not.
    #[error("{} holds no `{member}`: it is no {what}, or not whole", path.display())]
    Missing {
        /// The layout or archive.
        path: PathBuf,
        /// The file in it.
        member: String,
        /// What it should be.
        what: &'static str,
    },
    /// A document is not what it should be.
    #[error("{}: `{member}` {source}", path.display())]
    Document {
        /// The layout or archive.
        path: PathBuf,
        /// The file in it.
        member: String,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A file is not the one its name promises.
    #[error("{}: `{member}` has digest {found}, wanted was {wanted}; nothing was stored", path.display())]
    WrongDigest {
        /// The layout or archive.
        path: PathBuf,
        /// The file in it.
        member: String,
        /// Its digest.
        found: Digest,
        /// The one wanted.
        wanted: Digest,
    },
    /// A digest names no file.
    #[error("{}: {source}", path.display())]
    Digest {
        /// The layout or archive.
        path: PathBuf,
        /// What is wrong.
        source: DigestError,
    },
    /// There is no image of that name.
    #[error("{} has no image `{name}`, only {}", path.display(), listed(.known))]
    NoSuchImage {
        /// The layout or archive.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// There are several images and none was named.
    #[error("{} has several images: add `:` and one of {}", path.display(), listed(.known))]
    Several {
        /// The layout or archive.
        path: PathBuf,
        /// The names there are.
        known: Vec<String>,
    },
    /// There is no image for the platform.
    #[error("{} has the image not for {wanted}, only for {}", path.display(), listed(.offered))]
    NoPlatform {
        /// The layout or archive.
        path: PathBuf,
        /// The platform asked for.
        wanted: Platform,
        /// Those there are.
        offered: Vec<Platform>,
    },
    /// There is no Docker engine to be asked.
    #[error("{image}: no Docker engine answers at {place} ({cause})")]
    NoEngine {
        /// The image as asked for.
        image: String,
        /// Where it should be.
        place: String,
        /// What happened there.
        cause: String,
    },
    /// The Docker engine has no such image.
    #[error("{image}: the Docker engine has no such image")]
    NotInEngine {
        /// The image as asked for.
        image: String,
    },
    /// The Docker engine did not give what was asked of it.
    #[error("{image}: {problem}")]
    Daemon {
        /// The image as asked for.
        image: String,
        /// What happened.
        problem: String,
    },
}

impl LocalError {
    /// Says whether there is nothing to look at any more: what was brought from there before is all there is.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            LocalError::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
            LocalError::NoEngine { .. } | LocalError::NotInEngine { .. } => true,
            _ => false,
        }
    }
}

fn listed<T: ToString>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    match names.len() {
        0 => "images without a name".to_owned(),
        _ => names.join(", "),
    }
}

/// Is a layer of such an image.
#[derive(Debug, Clone)]
pub(crate) struct LocalLayer {
    /// What a manifest says of it; the digest is that of the archive where the file's own is not known.
    pub(crate) descriptor: Descriptor,
    pub(crate) compression: Compression,
    /// The digest of the descriptor is that of the file.
    pub(crate) is_exact: bool,
    member: String,
}

/// Is an image that was found.
#[derive(Debug)]
pub(crate) struct Local {
    /// What the name stands for.
    pub(crate) digest: Digest,
    /// Digest of the manifest for the platform, or of the configuration where there is no manifest.
    pub(crate) manifest: Digest,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<LocalLayer>,
    files: Files,
}

impl Local {
    /// Finds an image; `work` is where files that are needed for a moment may lie. `None` is one of a registry.
    pub(crate) async fn open(
        source: &Source,
        (platform, limits): (&Platform, Limits),
        work: &Path,
    ) -> Result<Option<Local>, LocalError> {
        let saved = match source {
            Source::Registry(_) => return Ok(None),
            Source::DockerDaemon(name) => {
                // By its id: the name may be given to another image meanwhile.
                let id = daemon::resolve(name).await?;
                let file = daemon::save(name, &id, work).await?;
                Some((id, file))
            }
            _ => None,
        };
        let (source, platform, work) = (source.clone(), platform.clone(), work.to_owned());
        let found =
            tokio::task::spawn_blocking(move || read(&source, saved, (&platform, limits), &work));
        found.await.map_err(|error| LocalError::Read {
            path: PathBuf::new(),
            source: io::Error::other(error),
        })?
    }

    /// Says what a name stands for now, at the price of looking there.
    pub(crate) async fn resolve(
        source: &Source,
        (platform, limits): (&Platform, Limits),
        work: &Path,
    ) -> Result<Option<Digest>, LocalError> {
        match source {
            Source::DockerDaemon(name) => daemon::resolve(name).await.map(Some),
            other => Ok(Local::open(other, (platform, limits), work)
                .await?
                .map(|local| local.digest)),
        }
    }

    /// Says what digest the file of a layer has; reads it where nobody has promised one. Blocks.
    pub(crate) fn digest_of(&self, layer: &LocalLayer) -> Result<Digest, LocalError> {
        if layer.is_exact {
            return Ok(layer.descriptor.digest.clone());
        }
        let mut reader =
            HashingReader::new(self.layer(layer)?, layer.descriptor.digest.algorithm());
        let read = io::copy(&mut reader, &mut io::sink());
        read.map_err(|source| LocalError::Read {
            path: self.files.path.join(&layer.member),
            source,
        })?;
        Ok(reader.finish().0)
    }

    /// Opens the file of a layer.
    pub(crate) fn layer(&self, layer: &LocalLayer) -> Result<Box<dyn Read + Send>, LocalError> {
        let (reader, _) = self.files.open(&layer.member, "image")?;
        Ok(reader)
    }
}

fn read(
    source: &Source,
    saved: Option<(Digest, File)>,
    (platform, limits): (&Platform, Limits),
    work: &Path,
) -> Result<Option<Local>, LocalError> {
    let local = match source {
        Source::Registry(_) => return Ok(None),
        Source::Layout(place) => {
            let files = Files::directory(&place.path);
            layout::find(files, place.name.as_deref(), platform)?
        }
        Source::LayoutArchive(place) => {
            let files = Files::archive(&place.path, limits, work)?;
            layout::find(files, place.name.as_deref(), platform)?
        }
        Source::DockerArchive(place) => {
            let files = Files::archive(&place.path, limits, work)?;
            archive::find(files, place.name.as_deref())?
        }
        Source::DockerDaemon(name) => {
            let path = Path::new("docker-daemon").join(name);
            let Some((id, file)) = saved else {
                return Ok(None);
            };
            let found = archive::find(Files::opened(&path, file)?, None)?;
            // Not always the digest of the configuration: engines that keep images in containerd say that of the index.
            Local {
                digest: id,
                ..found
            }
        }
    };
    Ok(Some(local))
}
