//! Where the layers of an image come from.

use std::sync::Arc;

use crate::digest::Digest;
use crate::local::{Local, LocalLayer};
use crate::manifest::Descriptor;
use crate::media;
use crate::reference::Reference;

/// Is where the layers come from.
#[derive(Debug)]
pub(crate) enum Origin {
    Registry(Reference),
    Local(Arc<Local>),
}

/// Is one layer as a manifest or an archive has it.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(super) descriptor: Descriptor,
    pub(super) compression: media::Compression,
    pub(super) local: Option<LocalLayer>,
}

impl Layer {
    pub(crate) fn remote(descriptor: Descriptor) -> Layer {
        Layer {
            compression: media::layer_compression(&descriptor.media_type)
                .unwrap_or(media::Compression::None),
            descriptor,
            local: None,
        }
    }

    pub(crate) fn local(layer: LocalLayer) -> Layer {
        Layer {
            descriptor: layer.descriptor.clone(),
            compression: layer.compression,
            local: Some(layer),
        }
    }

    /// Digest of the bytes that come, where it is known before.
    pub(super) fn digest(&self) -> Option<Digest> {
        let exact = self.local.as_ref().is_none_or(|local| local.is_exact);
        exact.then(|| self.descriptor.digest.clone())
    }
}
