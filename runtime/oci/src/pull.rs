//! The layers of one image, fetched side by side and composed in their order.

mod arrive;
mod origin;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use hd_dag::{Rooted, StoreTrees};
use hd_store::{Id, Store, Writer};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use self::arrive::{Arrivals, Arriving, Metered};
pub(crate) use self::origin::{Layer, Origin};
use crate::catalogue::Catalogued;
use crate::client::{Client, Image};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::PullError;
use crate::known::{self, ImageNotes, LayerNotes};
use crate::layer::LayerError;
use crate::manifest::Descriptor;
use crate::progress::{Meter, OnProgress};
use crate::reference::Reference;
use crate::registry::RegistryError;
use crate::stack::{self, StackError};
use crate::unpack::{Expected, UnpackError, Unpacked, unpack};

/// Pieces of a transfer that may wait for the decompressor.
const PIECES: usize = 16;
/// Decoded tree nodes kept while layers are composed, in bytes.
const NODE_CACHE: usize = 16 << 20;

/// Is an image whose manifest and configuration are at hand.
pub(crate) struct Pull {
    pub(crate) client: Client,
    /// As it is called.
    pub(crate) image: String,
    pub(crate) origin: Origin,
    pub(crate) store: Store,
    pub(crate) digest: Digest,
    /// Of the record of what the digest stands for.
    pub(crate) key: Id,
    pub(crate) manifest_digest: Digest,
    /// Lowest first.
    pub(crate) layers: Vec<Layer>,
    pub(crate) config: (String, ImageConfig),
}

/// Runs what blocks away from the threads that must not.
pub(crate) async fn blocking<T: Send + 'static>(
    image: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PullError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| PullError::Internal {
        image: image.to_string(),
        problem: error.to_string(),
    })
}

impl Pull {
    pub(crate) async fn run(self, report: OnProgress) -> Result<Image, PullError> {
        let started = Instant::now();
        let task = Arc::new(self);
        // Held from the first look at what is known to the last record: no collection comes in between.
        let store = task.store.clone();
        let writer = blocking(&task.image, move || store.writer()).await?;
        let writer = writer.map_err(|source| task.store_error(source))?;
        let layers = task.layers(report).await?;
        let worker = Arc::clone(&task);
        let rooted = blocking(&task.image, move || {
            worker.compose(writer, &layers, started)
        })
        .await??;
        Ok(Image {
            digest: task.digest.clone(),
            manifest: task.manifest_digest.clone(),
            config: task.config.1.clone(),
            config_json: task.config.0.clone(),
            rooted,
        })
    }

    fn store_error(&self, source: hd_store::Error) -> PullError {
        let image = self.image.clone();
        PullError::Store { image, source }
    }

    /// Sees to it that every layer is in the store; one that occurs twice is fetched once.
    async fn layers(
        self: &Arc<Self>,
        report: OnProgress,
    ) -> Result<BTreeMap<Digest, Unpacked>, PullError> {
        let worker = Arc::clone(self);
        let layers = blocking(&self.image, move || worker.known_layers()).await?;
        let mut layers = layers.map_err(|source| self.store_error(source))?;
        let mut wanted: BTreeMap<&Digest, &Layer> = BTreeMap::new();
        for (diff_id, layer) in self.config.1.diff_ids.iter().zip(&self.layers) {
            if !layers.contains_key(diff_id) {
                wanted.insert(diff_id, layer);
            }
        }
        let total = wanted.values().map(|layer| layer.descriptor.size).sum();
        let (known, all) = (layers.len() as u64, (layers.len() + wanted.len()) as u64);
        let meter = Arc::new(Meter::new(report, known, all, total));
        let slots = Arc::new(Semaphore::new(self.client.inner.options.parallel.max(1)));
        let mut tasks = JoinSet::new();
        for (diff_id, layer) in wanted {
            let (task, slots, meter) = (Arc::clone(self), Arc::clone(&slots), Arc::clone(&meter));
            let (diff_id, layer) = (diff_id.clone(), layer.clone());
            tasks.spawn(async move {
                // The semaphore is never closed; without a permit the layer comes all the same.
                let _slot = slots.acquire_owned().await;
                let unpacked = task.fetch(&diff_id, &layer, &meter).await?;
                meter.layer_done();
                Ok((diff_id, unpacked))
            });
        }
        // The first failure drops the set, which stops the other transfers.
        while let Some(done) = tasks.join_next().await {
            let done: Result<_, PullError> = done.map_err(|error| PullError::Internal {
                image: self.image.to_string(),
                problem: error.to_string(),
            })?;
            let (diff_id, unpacked) = done?;
            layers.insert(diff_id, unpacked);
        }
        Ok(layers)
    }

    fn known_layers(&self) -> Result<BTreeMap<Digest, Unpacked>, hd_store::Error> {
        let mut layers = BTreeMap::new();
        for diff_id in &self.config.1.diff_ids {
            let found = known::find::<LayerNotes>(&self.store, &known::layer_key(diff_id))?;
            let found = found.and_then(|(tree, notes)| {
                Some(Unpacked {
                    tree,
                    open: notes.open()?,
                })
            });
            layers.extend(found.map(|layer| (diff_id.clone(), layer)));
        }
        Ok(layers)
    }

    /// Transfers and unpacks one layer, both at once.
    async fn fetch(
        &self,
        diff_id: &Digest,
        layer: &Layer,
        meter: &Arc<Meter>,
    ) -> Result<Unpacked, PullError> {
        let expected = Expected {
            digest: layer.digest(),
            size: layer.descriptor.size,
            diff_id: diff_id.clone(),
            compression: layer.compression,
            limits: self.client.inner.options.limits,
        };
        let unpacked = match (&self.origin, &layer.local) {
            (Origin::Local(local), Some(layer)) => {
                let source = Metered {
                    inner: local.layer(layer)?,
                    meter: Arc::clone(meter),
                };
                let store = self.store.clone();
                blocking(&self.image, move || unpack(&store, source, &expected)).await?
            }
            (Origin::Registry(image), _) => {
                self.transfer(image, &layer.descriptor, expected, meter)
                    .await?
            }
            (Origin::Local(_), None) => {
                return Err(PullError::internal(&self.image, "a layer is nowhere"));
            }
        };
        unpacked.map_err(|error| self.layer_error(&layer.descriptor, diff_id, error))
    }

    async fn transfer(
        &self,
        image: &Reference,
        layer: &Descriptor,
        expected: Expected,
        meter: &Meter,
    ) -> Result<Result<Unpacked, UnpackError>, PullError> {
        let (sender, receiver) = mpsc::channel::<Vec<u8>>(PIECES);
        let store = self.store.clone();
        let unpacking = blocking(&self.image, move || {
            unpack(&store, Arrivals::new(receiver), &expected)
        });
        let transfer = async {
            let mut sink = Arriving {
                sender,
                waiting: Vec::new(),
                meter,
            };
            let registry = &self.client.inner.registry;
            registry.blob(image, layer, &mut sink).await?;
            sink.finish().await;
            Ok::<(), RegistryError>(())
        };
        let (sent, unpacked) = tokio::join!(transfer, unpacking);
        sent?;
        unpacked
    }

    fn layer_error(&self, layer: &Descriptor, diff_id: &Digest, error: UnpackError) -> PullError {
        let (image, digest) = (self.image.to_string(), layer.digest.clone());
        match error {
            UnpackError::WrongDigest { found } => match &self.origin {
                Origin::Registry(reference) => PullError::Registry(RegistryError::WrongDigest {
                    host: reference.api_host().to_owned(),
                    what: format!("a layer of {image}"),
                    found,
                    wanted: digest,
                }),
                Origin::Local(_) => PullError::WrongLayer {
                    image,
                    found,
                    wanted: digest,
                },
            },
            UnpackError::WrongDiffId { found } => PullError::WrongDiffId {
                image,
                layer: digest,
                found,
                wanted: diff_id.clone(),
            },
            UnpackError::Layer(source) => PullError::Layer {
                image,
                layer: digest,
                source,
            },
            // The store was given the archive to read, and the archive broke.
            UnpackError::Store(hd_store::Error::Source { source }) => PullError::Layer {
                image,
                layer: digest,
                source: LayerError::Read(source),
            },
            UnpackError::Store(source) => PullError::Store { image, source },
            UnpackError::Tree(source) => PullError::Tree { image, source },
            UnpackError::Record(error) => PullError::of_record(&self.image, error),
            UnpackError::Thread(error) => PullError::Internal {
                image,
                problem: error.to_string(),
            },
        }
    }

    /// Composes the image and records it under its digests and its name.
    fn compose(
        &self,
        writer: Writer,
        layers: &BTreeMap<Digest, Unpacked>,
        started: Instant,
    ) -> Result<Rooted, PullError> {
        let trees = StoreTrees::new(self.store.clone(), writer, NODE_CACHE);
        let rooted = self.stack(&trees, layers).map_err(|error| match error {
            StackError::Layer(source) => PullError::Image {
                image: self.image.to_string(),
                source,
            },
            StackError::Tree(source) => PullError::Tree {
                image: self.image.to_string(),
                source,
            },
        })?;
        let platform = &self.client.inner.options.platform;
        let notes = |digest: &Digest| ImageNotes {
            digest: digest.clone(),
            manifest: self.manifest_digest.clone(),
            config: self.config.0.clone(),
        };
        let records = [
            (
                known::image_key(&self.manifest_digest, platform),
                &self.manifest_digest,
            ),
            (self.key, &self.digest),
            (known::name_key(&self.image, platform), &self.digest),
        ];
        if let Some(mut writer) = trees.writer() {
            for (key, digest) in records {
                known::put(&mut writer, &key, rooted, &notes(digest), started.elapsed())
                    .map_err(|error| PullError::of_record(&self.image, error))?;
            }
        }
        trees.commit().map_err(|source| self.store_error(source))?;
        Catalogued::of(&self.image, platform)
            .note(&self.store)
            .map_err(|source| self.store_error(source))?;
        Ok(rooted)
    }

    fn stack(
        &self,
        trees: &StoreTrees,
        layers: &BTreeMap<Digest, Unpacked>,
    ) -> Result<Rooted, StackError> {
        let mut rooted = Rooted::empty();
        for diff_id in &self.config.1.diff_ids {
            if let Some(layer) = layers.get(diff_id) {
                let source = diff_id.to_string();
                rooted = stack::lay(trees, &rooted, &layer.tree, &layer.open, source.as_bytes())?;
            }
        }
        stack::check_mount_points(trees, &rooted)?;
        Ok(rooted)
    }
}
