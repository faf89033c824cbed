//! Images from a registry into the store.

use std::sync::Arc;

use hd_dag::Rooted;
use hd_store::Store;

use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::PullError;
use crate::known::{self, ImageNotes};
use crate::layer::Limits;
use crate::manifest::{Descriptor, Document, Manifest};
use crate::platform::Platform;
use crate::progress::OnProgress;
use crate::pull;
use crate::reference::Reference;
use crate::registry::{Credentials, Registry, RegistryError, Retry, Served};

/// Is how a [`Client`] goes about its work.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// What to show to registries.
    pub credentials: Credentials,
    /// Registries, as `host[:port]`, that may be spoken to without TLS; those on this machine always are.
    pub plain_http: Vec<String>,
    /// The platform to choose images for.
    pub platform: Platform,
    /// Bounds on each layer.
    pub limits: Limits,
    /// Layers fetched at a time; each takes a few MiB of memory.
    pub parallel: usize,
    /// What to do about failures that may pass.
    pub retry: Retry,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            credentials: Credentials::none(),
            plain_http: Vec::new(),
            platform: Platform::host(),
            limits: Limits::default(),
            parallel: 3,
            retry: Retry::default(),
        }
    }
}

/// Is an image that lies in the store, ready to be the base of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What the reference stands for: digest of an index, or of a manifest. The one to pin.
    pub digest: Digest,
    /// Digest of the manifest for the platform.
    pub manifest: Digest,
    /// What it says about running it.
    pub config: ImageConfig,
    /// Its files, all layers composed.
    pub rooted: Rooted,
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
        let registry = Registry::new(credentials, options.retry.clone(), plain)?;
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

    /// Asks the registry what an image says about running it; no layer is fetched.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn inspect(&self, image: &Reference) -> Result<ImageConfig, PullError> {
        let digest = self.resolve(image).await?.to_string();
        let served = self.inner.registry.manifest(image, &digest).await?;
        let (_, manifest) = self.choose(image, served).await?;
        Ok(self.config(image, &manifest).await?.1)
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
        image: &Reference,
        store: &Store,
        report: OnProgress,
    ) -> Result<Image, PullError> {
        let digest = self.resolve(image).await?;
        if let Some(found) = self.known(image, &digest, store).await? {
            self.remember_name(image, &found, store).await?;
            return Ok(found);
        }
        let served = self
            .inner
            .registry
            .manifest(image, &digest.to_string())
            .await?;
        let (manifest_digest, manifest) = self.choose(image, served).await?;
        let config = self.config(image, &manifest).await?;
        let task = pull::Pull {
            client: self.clone(),
            image: image.clone(),
            store: store.clone(),
            digest,
            manifest_digest,
            manifest,
            config,
        };
        task.run(report).await
    }

    /// Returns the image a reference last stood for when it was pulled, without asking the registry: for work
    /// without a network, at the price that a tag may have moved since.
    ///
    /// # Errors
    /// Fails as the store does.
    pub async fn last_pulled(
        &self,
        image: &Reference,
        store: &Store,
    ) -> Result<Option<Image>, PullError> {
        let key = known::name_key(image, &self.inner.options.platform);
        self.find(image, key, store).await
    }

    /// Notes that a name stands for a known image, if it stood for another one before.
    async fn remember_name(
        &self,
        image: &Reference,
        found: &Image,
        store: &Store,
    ) -> Result<(), PullError> {
        if self
            .last_pulled(image, store)
            .await?
            .is_some_and(|last| last.digest == found.digest)
        {
            return Ok(());
        }
        let (store, digest, rooted) = (store.clone(), found.digest.clone(), found.rooted);
        let platform = &self.inner.options.platform;
        let (from, to) = (
            known::image_key(&digest, platform),
            known::name_key(image, platform),
        );
        let noted = pull::blocking(image, move || known::copy(&store, &from, &to, rooted)).await?;
        noted.map_err(|error| PullError::of_record(image, error))
    }

    async fn known(
        &self,
        image: &Reference,
        digest: &Digest,
        store: &Store,
    ) -> Result<Option<Image>, PullError> {
        let key = known::image_key(digest, &self.inner.options.platform);
        self.find(image, key, store).await
    }

    async fn find(
        &self,
        image: &Reference,
        key: hd_store::Id,
        store: &Store,
    ) -> Result<Option<Image>, PullError> {
        let store = store.clone();
        let found = pull::blocking(image, move || known::find::<ImageNotes>(&store, &key)).await?;
        let found = found.map_err(|source| PullError::Store {
            image: image.to_string(),
            source,
        })?;
        Ok(found.and_then(|(rooted, notes)| {
            Some(Image {
                config: ImageConfig::parse(notes.config.as_bytes()).ok()?,
                digest: notes.digest,
                manifest: notes.manifest,
                rooted,
            })
        }))
    }

    /// Goes from what a reference leads to, to the manifest for the platform.
    async fn choose(
        &self,
        image: &Reference,
        served: Served,
    ) -> Result<(Digest, Manifest), PullError> {
        let index = match parse(image, &served)? {
            Document::Manifest(manifest) => return Ok((served.digest, manifest)),
            Document::Index(index) => index,
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
            Document::Manifest(manifest) => Ok((inner.digest, manifest)),
            Document::Index(_) => Err(PullError::Manifest {
                image: image.to_string(),
                digest: inner.digest,
                source: crate::manifest::ManifestError::Ambiguous,
            }),
        }
    }

    /// Fetches the configuration and checks that the image is what it seems. Returns it as it was served, too.
    async fn config(
        &self,
        image: &Reference,
        manifest: &Manifest,
    ) -> Result<(String, ImageConfig), PullError> {
        let descriptor: &Descriptor = &manifest.config;
        let bytes = self.inner.registry.small_blob(image, descriptor).await?;
        let refuse = |source| PullError::Manifest {
            image: image.to_string(),
            digest: descriptor.digest.clone(),
            source,
        };
        let config = ImageConfig::parse(&bytes).map_err(refuse)?;
        let (layers, diff_ids) = (manifest.layers.len(), config.diff_ids.len());
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
                image: image.to_string(),
                wanted: wanted.clone(),
                offered: vec![made_for.clone()],
            });
        }
        Ok((String::from_utf8_lossy(&bytes).into_owned(), config))
    }
}

fn parse(image: &Reference, served: &Served) -> Result<Document, PullError> {
    Document::parse(&served.bytes, &served.media_type).map_err(|source| PullError::Manifest {
        image: image.to_string(),
        digest: served.digest.clone(),
        source,
    })
}
