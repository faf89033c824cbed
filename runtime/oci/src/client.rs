//! Images from where they are into the store.

mod kept;
mod options;
mod seen;

use std::path::Path;
use std::sync::Arc;

use hd_dag::Rooted;
use hd_store::Store;

pub use self::kept::remembered;
pub use self::options::ClientOptions;
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::PullError;
use crate::known;
use crate::layer::Limits;
use crate::local::Local;
use crate::manifest::{self, Descriptor, Manifest};
use crate::platform::Platform;
use crate::progress::OnProgress;
use crate::pull;
use crate::reference::Reference;
use crate::registry::{Registry, RegistryError, Served};
use crate::source::Source;

/// Is an image that lies in the store, ready to be the base of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What the reference stands for: digest of an index, or of a manifest. The one to pin.
    pub digest: Digest,
    /// Digest of the manifest for the platform.
    pub manifest: Digest,
    /// What it says about running it.
    pub config: ImageConfig,
    /// The same as it was served, JSON.
    pub config_json: String,
    /// Its files, all layers composed.
    pub rooted: Rooted,
}

/// Is what can be known of an image without its layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// What the name stands for.
    pub digest: Digest,
    /// Digest of the manifest for the platform.
    pub manifest: Digest,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// The configuration as it was served, JSON.
    pub config: String,
}

/// Pulls images. Cheap to clone; to be used within a tokio runtime with time and I/O.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) registry: Registry,
    pub(crate) options: ClientOptions,
}

impl Client {
    /// Sets a client up; nothing is sent yet.
    ///
    /// # Errors
    /// Fails when the TLS library cannot be set up.
    pub fn new(options: ClientOptions) -> Result<Client, RegistryError> {
        let (credentials, plain) = (options.credentials.clone(), options.plain_http.clone());
        let settings = (plain, options.registries.clone());
        let registry = Registry::new(credentials, options.retry.clone(), settings)?;
        Ok(Client {
            inner: Arc::new(Inner { registry, options }),
        })
    }

    /// Asks the registry what a reference stands for now; one that holds a digest is not asked about.
    ///
    /// # Errors
    /// Fails as the registry does.
    pub async fn resolve(&self, image: &Reference) -> Result<Digest, RegistryError> {
        match image.digest() {
            Some(digest) => Ok(digest.clone()),
            None => self.inner.registry.resolve(image).await,
        }
    }

    /// Says what a name stands for now: asks the registry or looks into the archive, with files that are needed for
    /// a moment in `work`.
    ///
    /// # Errors
    /// Fails as the registry does, or when there is no such image.
    pub async fn resolve_source(&self, source: &Source, work: &Path) -> Result<Digest, PullError> {
        match source {
            Source::Registry(reference) => Ok(self.resolve(reference).await?),
            local => {
                let found = Local::resolve(local, self.bounds(), work).await?;
                found.ok_or_else(|| PullError::internal(source, "it is nowhere"))
            }
        }
    }

    /// Asks what an image says about running it; no layer is fetched. Files that are needed for a moment lie in `work`.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn inspect(&self, source: &Source, work: &Path) -> Result<Inspected, PullError> {
        match source {
            Source::Registry(image) => {
                let digest = self.resolve(image).await?;
                let served = self
                    .inner
                    .registry
                    .manifest(image, &digest.to_string())
                    .await?;
                let (manifest_digest, manifest) = self.choose(image, served).await?;
                let config = self.config(image, &manifest).await?;
                Ok(Inspected {
                    digest,
                    manifest: manifest_digest,
                    layers: manifest.layers,
                    config: config.0,
                })
            }
            local => {
                let found = Local::open(local, self.bounds(), work).await?;
                let found = found.ok_or_else(|| PullError::internal(source, "it is nowhere"))?;
                Ok(Inspected {
                    digest: found.digest.clone(),
                    manifest: found.manifest.clone(),
                    layers: found
                        .layers
                        .iter()
                        .map(|one| one.descriptor.clone())
                        .collect(),
                    config: String::from_utf8_lossy(&found.config).into_owned(),
                })
            }
        }
    }

    /// Brings an image into the store, unless it is there.
    ///
    /// A tag is resolved by one request; an image pinned by digest that is known needs no network at all. Layers
    /// already known are not fetched. Dropping the future stops the pull; complete layers are kept.
    ///
    /// # Errors
    /// See [`PullError`]. Nothing of a layer that is not exactly the promised one becomes visible.
    pub async fn pull(
        &self,
        source: &Source,
        store: &Store,
        report: OnProgress,
    ) -> Result<Image, PullError> {
        let digest = self.resolve_in(source, store).await?;
        if let Some(found) = self.known(source, &digest, store).await? {
            self.remember_name(source, &found, store).await?;
            return Ok(found);
        }
        let task = match source {
            Source::Registry(image) => self.prepare(image, digest, store).await?,
            local => self.prepare_local(local, store).await?,
        };
        task.run(report).await
    }

    async fn prepare(
        &self,
        image: &Reference,
        digest: Digest,
        store: &Store,
    ) -> Result<pull::Pull, PullError> {
        let served = self
            .inner
            .registry
            .manifest(image, &digest.to_string())
            .await?;
        let (manifest_digest, manifest) = self.choose(image, served).await?;
        let config = self.config(image, &manifest).await?;
        Ok(pull::Pull {
            client: self.clone(),
            image: image.to_string(),
            layers: manifest
                .layers
                .into_iter()
                .map(pull::Layer::remote)
                .collect(),
            origin: pull::Origin::Registry(image.clone()),
            store: store.clone(),
            key: known::image_key(&digest, &self.inner.options.platform),
            digest,
            manifest_digest,
            config,
        })
    }

    async fn prepare_local(&self, source: &Source, store: &Store) -> Result<pull::Pull, PullError> {
        let platform = &self.inner.options.platform;
        let found = Local::open(source, self.bounds(), store.path()).await?;
        let found = found.ok_or_else(|| PullError::internal(source, "it is nowhere"))?;
        let text = String::from_utf8_lossy(&found.config).into_owned();
        let config = self.check_config(
            &source.to_string(),
            &found.manifest,
            text,
            found.layers.len(),
        )?;
        Ok(pull::Pull {
            client: self.clone(),
            image: source.to_string(),
            layers: found
                .layers
                .iter()
                .cloned()
                .map(pull::Layer::local)
                .collect(),
            key: known::source_key(source, &found.digest, platform),
            digest: found.digest.clone(),
            manifest_digest: found.manifest.clone(),
            origin: pull::Origin::Local(Arc::new(found)),
            store: store.clone(),
            config,
        })
    }

    /// Lists the layers of an image that is pinned by the digest of its manifest.
    pub(crate) async fn layers(&self, pinned: &Reference) -> Result<Vec<Descriptor>, PullError> {
        let name = pinned.manifest_name();
        let served = self.inner.registry.manifest(pinned, &name).await?;
        Ok(self.choose(pinned, served).await?.1.layers)
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// Returns for whom it takes images of this machine, and how large they may be.
    pub(crate) fn bounds(&self) -> (&Platform, Limits) {
        (&self.inner.options.platform, self.inner.options.limits)
    }

    /// Returns the platform it chooses images for.
    pub fn platform(&self) -> &Platform {
        &self.inner.options.platform
    }

    /// Goes from what a reference leads to, to the manifest for the platform.
    async fn choose(
        &self,
        image: &Reference,
        served: Served,
    ) -> Result<(Digest, Manifest), PullError> {
        let index = match parse(image, &served)? {
            manifest::Document::Manifest(manifest) => return Ok((served.digest, manifest)),
            manifest::Document::Index(index) => index,
        };
        let wanted = &self.inner.options.platform;
        let chosen = index.choose(wanted).ok_or_else(|| PullError::NoPlatform {
            image: image.to_string(),
            wanted: wanted.clone(),
            offered: index.platforms(),
        })?;
        let inner = self
            .inner
            .registry
            .manifest(image, &chosen.digest.to_string())
            .await?;
        let found = inner.bytes.len() as u64;
        if found != chosen.size {
            let (image, digest, wanted) = (image.to_string(), inner.digest, chosen.size);
            return Err(PullError::ManifestSize {
                image,
                digest,
                found,
                wanted,
            });
        }
        if inner.media_type != chosen.media_type {
            let (inside, outside) = (chosen.media_type.clone(), inner.media_type);
            let source = crate::manifest::ManifestError::MediaTypeMismatch { inside, outside };
            let (image, digest) = (image.to_string(), inner.digest);
            return Err(PullError::Manifest {
                image,
                digest,
                source,
            });
        }
        match parse(image, &inner)? {
            manifest::Document::Manifest(manifest) => Ok((inner.digest, manifest)),
            manifest::Document::Index(_) => Err(PullError::Manifest {
                image: image.to_string(),
                digest: inner.digest,
                source: crate::manifest::ManifestError::Ambiguous,
            }),
        }
    }

    /// Fetches the configuration. Returns it as it was served, too.
    async fn config(
        &self,
        image: &Reference,
        manifest: &Manifest,
    ) -> Result<(String, ImageConfig), PullError> {
        let descriptor: &Descriptor = &manifest.config;
        let bytes = self.inner.registry.small_blob(image, descriptor).await?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.check_config(
            &image.to_string(),
            &descriptor.digest,
            text,
            manifest.layers.len(),
        )
    }

    /// Reads a configuration and checks that the image is what it seems.
    fn check_config(
        &self,
        image: &str,
        digest: &Digest,
        text: String,
        layers: usize,
    ) -> Result<(String, ImageConfig), PullError> {
        let refuse = |source| PullError::Manifest {
            image: image.to_owned(),
            digest: digest.clone(),
            source,
        };
        let config = ImageConfig::parse(text.as_bytes()).map_err(refuse)?;
        let diff_ids = config.diff_ids.len();
        if layers != diff_ids {
            return Err(refuse(crate::manifest::ManifestError::LayerCount {
                layers,
                diff_ids,
            }));
        }
        let (wanted, made_for) = (&self.inner.options.platform, &config.platform);
        // Some builders leave the platform out; nothing can be said then.
        if !made_for.architecture.is_empty()
            && !made_for.os.is_empty()
            && wanted.rank(made_for).is_none()
        {
            return Err(PullError::NoPlatform {
                image: image.to_owned(),
                wanted: wanted.clone(),
                offered: vec![made_for.clone()],
            });
        }
        Ok((text, config))
    }
}

fn parse(image: &Reference, served: &Served) -> Result<manifest::Document, PullError> {
    manifest::Document::parse(&served.bytes, &served.media_type).map_err(|source| {
        PullError::Manifest {
            image: image.to_string(),
            digest: served.digest.clone(),
            source,
        }
    })
}
