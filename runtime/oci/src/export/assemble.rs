//! The layers of an image to be exported: those of its base as they are, those of hd made anew.

use std::path::PathBuf;
use std::sync::Arc;

use hd_dag::{Rooted, Trees};
use hd_store::{Id, Store};
use serde::{Deserialize, Serialize};

use super::{ExportError, Recipe, Target, Workshop};
use crate::digest::Digest;
use crate::known;
use crate::local::{Local, LocalError, LocalLayer};
use crate::manifest::Descriptor;
use crate::media::{self, Compression};
use crate::pack::layer::{Packed, pack};
use crate::pack::{Owner, Style};
use crate::pull::blocking;
use crate::reference::Reference;
use crate::source::Source;

/// To be raised whenever the same trees would become another layer.
const PACKED: &str = "hd 2026 oci packed layer v1";

/// Is where the bytes of a layer are.
#[derive(Debug, Clone)]
pub(super) enum Bytes {
    /// In a registry, with the base.
    Registry(Reference),
    /// In the archive the base came from.
    Local(Arc<Local>, LocalLayer),
    /// Nowhere: these two trees make them.
    Trees {
        lower: Rooted,
        upper: Rooted,
        style: Style,
    },
}

/// Is one layer.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) descriptor: Descriptor,
    pub(super) diff_id: Digest,
    pub(super) made_by: String,
    pub(super) is_base: bool,
    /// Latest time of modification in it, in seconds since 1970; 0 when not known.
    pub(super) newest: i64,
    pub(super) bytes: Bytes,
}

/// Is the layers of one image.
#[derive(Debug)]
pub(super) struct Assembly {
    /// Lowest first.
    pub(super) layers: Vec<Layer>,
    pub(super) base_repacked: Option<String>,
}

/// Is what is remembered of a layer made before.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackedNotes {
    digest: Digest,
    size: u64,
    diff_id: Digest,
    newest: i64,
    items: usize,
}

impl Assembly {
    /// Begins with the base's own layers, or with one made of its files where those cannot be had.
    pub(super) async fn of_base(
        workshop: &Workshop,
        recipe: &Recipe,
        target: &Target,
    ) -> Result<Assembly, ExportError> {
        match own_layers(workshop, recipe).await {
            Ok(layers) => Ok(Assembly {
                layers,
                base_repacked: None,
            }),
            Err(error) => {
                let mut assembly = Assembly {
                    layers: Vec::new(),
                    base_repacked: Some(error.to_string()),
                };
                let made_by = recipe.base.called();
                let pair = (Rooted::empty(), recipe.base.image.rooted);
                // What is root's in the base is no file of nobody's.
                let style = style(recipe, target, &[]);
                assembly.add(workshop, style, pair, made_by).await?;
                assembly
                    .layers
                    .iter_mut()
                    .for_each(|one| one.is_base = true);
                Ok(assembly)
            }
        }
    }

    /// Adds a layer for each stage that changes anything.
    pub(super) async fn add_stages(
        &mut self,
        workshop: &Workshop,
        recipe: &Recipe,
        target: &Target,
    ) -> Result<(), ExportError> {
        let style = style(recipe, target, &recipe.owners);
        let mut below = recipe.base.image.rooted;
        for stage in &recipe.stages {
            let pair = (below, stage.tree);
            let made_by = stage.made_by.clone();
            self.add(workshop, style.clone(), pair, made_by).await?;
            below = stage.tree;
        }
        Ok(())
    }

    async fn add(
        &mut self,
        workshop: &Workshop,
        style: Style,
        (lower, upper): (Rooted, Rooted),
        made_by: String,
    ) -> Result<(), ExportError> {
        if lower.tree == upper.tree {
            return Ok(());
        }
        let packed = packed(workshop, (lower, upper), &style).await?;
        if packed.items == 0 {
            return Ok(());
        }
        self.layers.push(Layer {
            descriptor: Descriptor {
                media_type: media::layer_type(style.compression).to_owned(),
                digest: packed.digest,
                size: packed.size,
                platform: None,
            },
            diff_id: packed.diff_id,
            made_by,
            is_base: false,
            newest: packed.newest,
            bytes: Bytes::Trees {
                lower,
                upper,
                style,
            },
        });
        Ok(())
    }
}

fn style(recipe: &Recipe, target: &Target, owners: &[Owner]) -> Style {
    Style {
        // Layers in an archive of `docker save` are plain.
        compression: match target {
            Target::DockerArchive(_) => Compression::None,
            _ => recipe.compression,
        },
        latest: recipe.epoch,
        owners: owners.into(),
    }
}

/// Finds out what layer two trees make; from memory when they made it before.
async fn packed(
    workshop: &Workshop,
    pair: (Rooted, Rooted),
    style: &Style,
) -> Result<Packed, ExportError> {
    let style = style.clone();
    let mut text = format!(
        "{} {} {} {:?} {:?}",
        pair.0.tree, pair.1.tree, pair.1.times, style.compression, style.latest
    );
    if !style.owners.is_empty() {
        text += &format!(" {:?}", style.owners);
    }
    let key = Id::derive(PACKED, text.as_bytes());
    let (store, trees) = (workshop.store.clone(), Arc::clone(&workshop.trees));
    let directory = workshop.directory.clone();
    let done = blocking("", move || {
        if let Some(known) = remembered(&store, &key)? {
            return Ok(known);
        }
        // Only its digests are wanted; the bytes are made again where they go, unless they are there.
        let file = tempfile::tempfile_in(&directory).map_err(ExportError::write(&directory))?;
        let made = pack(&*trees, &store, (&pair.0, &pair.1), &style, file)?;
        remember(&store, &key, &made)?;
        Ok(made)
    });
    done.await?
}

fn remembered(store: &Store, key: &Id) -> Result<Option<Packed>, ExportError> {
    let found = known::find::<PackedNotes>(store, key).map_err(of_store)?;
    Ok(found.map(|(_, notes)| Packed {
        digest: notes.digest,
        size: notes.size,
        diff_id: notes.diff_id,
        newest: notes.newest,
        items: notes.items,
    }))
}

fn remember(store: &Store, key: &Id, made: &Packed) -> Result<(), ExportError> {
    let notes = PackedNotes {
        digest: made.digest.clone(),
        size: made.size,
        diff_id: made.diff_id.clone(),
        newest: made.newest,
        items: made.items,
    };
    let mut writer = store.writer().map_err(of_store)?;
    // The trees are kept by who uses them, not by this.
    known::put(
        &mut writer,
        key,
        Rooted::empty(),
        &notes,
        std::time::Duration::ZERO,
    )
    .map_err(|error| ExportError::Internal(error.to_string()))?;
    writer.commit().map_err(of_store)
}

fn of_store(error: hd_store::Error) -> ExportError {
    ExportError::Internal(error.to_string())
}

/// Writes the layer that two trees make.
pub(super) fn make(
    trees: &dyn Trees,
    store: &Store,
    bytes: &Bytes,
    path: &PathBuf,
) -> Result<Option<Packed>, ExportError> {
    let Bytes::Trees {
        lower,
        upper,
        style,
    } = bytes
    else {
        return Ok(None);
    };
    let file = std::fs::File::create(path).map_err(ExportError::write(path))?;
    Ok(Some(pack(trees, store, (lower, upper), style, file)?))
}

/// Lists the layers of a local image, each with the digest of its file. Blocks.
fn of_archive(local: &Arc<Local>) -> Result<Vec<(Descriptor, Bytes)>, LocalError> {
    let layers = local.layers.iter().map(|layer| {
        let descriptor = Descriptor {
            digest: local.digest_of(layer)?,
            ..layer.descriptor.clone()
        };
        Ok((descriptor, Bytes::Local(Arc::clone(local), layer.clone())))
    });
    layers.collect()
}

/// Lists the layers of the base as its registry or archive has them.
async fn own_layers(workshop: &Workshop, recipe: &Recipe) -> Result<Vec<Layer>, ExportError> {
    let base = &recipe.base;
    let found: Vec<(Descriptor, Bytes)> = match &base.source {
        Source::Registry(reference) => {
            let pinned = reference.with_digest(base.image.manifest.clone());
            let layers = workshop.client.layers(&pinned).await?;
            let bytes = |one| (one, Bytes::Registry(pinned.clone()));
            layers.into_iter().map(bytes).collect()
        }
        local => {
            let bounds = workshop.client.bounds();
            let found = Local::open(local, bounds, &workshop.directory).await?;
            let same = found.filter(|found| found.manifest == base.image.manifest);
            let gone = || ExportError::Internal(format!("{local} holds another image now"));
            let found = Arc::new(same.ok_or_else(gone)?);
            blocking("", move || of_archive(&found)).await??
        }
    };
    let diff_ids = &base.image.config.diff_ids;
    if found.len() != diff_ids.len() {
        return Err(ExportError::Internal(
            "its layers are not those of its configuration".to_owned(),
        ));
    }
    let made_by = base.called();
    let layers = found
        .into_iter()
        .zip(diff_ids)
        .map(|((descriptor, bytes), diff_id)| {
            let compression = media::layer_compression(&descriptor.media_type);
            Layer {
                descriptor: Descriptor {
                    // The same bytes under OCI's name.
                    media_type: compression.map_or(descriptor.media_type.clone(), |compression| {
                        media::layer_type(compression).to_owned()
                    }),
                    ..descriptor
                },
                diff_id: diff_id.clone(),
                made_by: made_by.clone(),
                is_base: true,
                newest: 0,
                bytes,
            }
        });
    Ok(layers.collect())
}
