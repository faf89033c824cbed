//! What the store remembers of layers and images, so that nothing is fetched or unpacked twice.
//!
//! The records are [`StepResult`]s in the store's history: an unpacked layer is an output like that of a step, and
//! so the store's collection follows and ages them by its ordinary rules. Notes beside the tree are its log.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hd_dag::trace::Trace;
use hd_dag::{Rooted, StepResult, StoreLinks, TreePath};
use hd_store::{Id, NodeKind, Store, Writer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::catalogue;
use crate::client::Image;
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::layer::draft::Open;
use crate::platform::Platform;
use crate::source::Source;

/// To be raised whenever the same layer would unpack to another tree.
const LAYER: &str = "hd 2026 oci layer v1";
/// To be raised whenever the same image would compose to another tree.
const IMAGE: &str = "hd 2026 oci image v1";
/// The same for images of the Docker engine.
const ENGINE: &str = "hd 2026 oci engine image v1";
const NAME: &str = "hd 2026 oci name v1";

/// Says why something could not be remembered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(transparent)]
    Store(#[from] hd_store::Error),
    #[error("{0}")]
    Encode(String),
}

/// Is what is noted beside the tree of a layer.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LayerNotes {
    implicit: Vec<Vec<u8>>,
    links: Vec<(Vec<u8>, Vec<u8>)>,
    opaque_root: bool,
}

/// Is what is noted beside the tree of an image.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageNotes {
    /// What the reference led to: an index or a manifest.
    pub(crate) digest: Digest,
    /// The manifest for the platform.
    pub(crate) manifest: Digest,
    /// The configuration as it was served.
    pub(crate) config: String,
}

/// Names the record of a layer by what it unpacks to, however it was compressed.
pub(crate) fn layer_key(diff_id: &Digest) -> Id {
    Id::derive(LAYER, diff_id.to_string().as_bytes())
}

/// Names the record of an image for one platform.
pub(crate) fn image_key(digest: &Digest, platform: &Platform) -> Id {
    Id::derive(IMAGE, format!("{digest} {platform}").as_bytes())
}

/// Names the record of an image that the Docker engine calls by a digest. A registry may have the same one, with a
/// manifest that the engine does not give out: the two are kept apart.
pub(crate) fn engine_key(id: &Digest, platform: &Platform) -> Id {
    Id::derive(ENGINE, format!("{id} {platform}").as_bytes())
}

/// Names the record of what a digest stands for at a source.
pub(crate) fn source_key(source: &Source, digest: &Digest, platform: &Platform) -> Id {
    match source {
        Source::DockerDaemon(_) => engine_key(digest, platform),
        _ => image_key(digest, platform),
    }
}

/// Names the record of what a reference last stood for.
pub(crate) fn name_key(image: &str, platform: &Platform) -> Id {
    Id::derive(NAME, format!("{image} {platform}").as_bytes())
}

/// Looks a record up. A record whose notes or tree are gone, or not whole, counts as none.
pub(crate) fn find<N: DeserializeOwned>(
    store: &Store,
    key: &Id,
) -> Result<Option<(Rooted, N)>, hd_store::Error> {
    let entries = store.history(key)?;
    if entries.is_empty() {
        return Ok(None);
    }
    let void_until = catalogue::void_until(store, key)?;
    for entry in entries {
        if void_until.is_some_and(|until| entry.at_unix_ms <= until) {
            continue;
        }
        let Ok(result) = StepResult::decode(&entry.payload) else {
            continue;
        };
        let Some(notes) = result.log else {
            continue;
        };
        // A record of something that was damaged, or lost in part, counts as none.
        let roots = hd_dag::links_of(&result.output);
        if !store.contains(&notes)? || !store.is_whole(&StoreLinks, &roots)? {
            continue;
        }
        if let Ok(notes) = serde_json::from_slice(&store.read_blob(&notes)?) {
            store.note_use(key, &entry);
            return Ok(Some((result.output, notes)));
        }
    }
    Ok(None)
}

/// Adds a record; it counts once the writer commits.
pub(crate) fn put(
    writer: &mut Writer,
    key: &Id,
    output: Rooted,
    notes: &impl Serialize,
    took: Duration,
) -> Result<(), RecordError> {
    let notes =
        serde_json::to_vec(notes).map_err(|error| RecordError::Encode(error.to_string()))?;
    let result = StepResult {
        key: *key,
        trace: writer.put_node(NodeKind::Trace, &Trace::new().encode())?,
        output,
        touched: None,
        made_on: Rooted::empty(),
        log: Some(writer.put_blob(&notes)?),
        made_at_unix_ms: now_unix_ms(),
        ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        host: false,
    };
    let payload = result
        .encode()
        .map_err(|error| RecordError::Encode(error.to_string()))?;
    Ok(writer.append_history(key, &payload)?)
}

/// Records an image that is known under one key under another.
pub(crate) fn copy(store: &Store, from: &Id, to: &Id, output: Rooted) -> Result<(), RecordError> {
    if let Some((_, notes)) = find::<ImageNotes>(store, from)? {
        let mut writer = store.writer()?;
        put(&mut writer, to, output, &notes, Duration::ZERO)?;
        writer.commit()?;
    }
    Ok(())
}

fn now_unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl ImageNotes {
    /// Reads an image back; `None` when the notes are not what was written.
    pub(crate) fn image(self, rooted: Rooted) -> Option<Image> {
        Some(Image {
            config: ImageConfig::parse(self.config.as_bytes()).ok()?,
            digest: self.digest,
            manifest: self.manifest,
            config_json: self.config,
            rooted,
        })
    }
}

impl LayerNotes {
    pub(crate) fn of(open: &Open) -> LayerNotes {
        let bytes = |path: &TreePath| path.as_bytes().to_vec();
        let pair = |(path, target): &(TreePath, TreePath)| (bytes(path), bytes(target));
        LayerNotes {
            implicit: open.implicit.iter().map(bytes).collect(),
            links: open.links.iter().map(pair).collect(),
            opaque_root: open.opaque_root,
        }
    }

    /// Reads the notes back; `None` when they are not what was written.
    pub(crate) fn open(&self) -> Option<Open> {
        let path = |bytes: &Vec<u8>| TreePath::new(bytes).ok();
        let pair = |(a, b): &(Vec<u8>, Vec<u8>)| Some((path(a)?, path(b)?));
        Some(Open {
            implicit: self.implicit.iter().map(path).collect::<Option<_>>()?,
            links: self.links.iter().map(pair).collect::<Option<_>>()?,
            opaque_root: self.opaque_root,
        })
    }
}
