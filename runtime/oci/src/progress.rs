//! How far a pull is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Says how far a pull is. Bytes are those that travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes that have come.
    pub bytes: u64,
    /// Bytes that have to come; known layers do not count.
    pub total_bytes: u64,
    /// Layers that are in the store.
    pub layers: u64,
    /// Layers of the image.
    pub total_layers: u64,
}

/// Is called at every step of a pull, from the thread that runs it; it must not block.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// Counts what the layers of one pull report, and passes it on in order.
pub(crate) struct Meter {
    report: OnProgress,
    total_bytes: u64,
    total_layers: u64,
    bytes: AtomicU64,
    layers: AtomicU64,
    order: Mutex<()>,
}

impl Meter {
    pub(crate) fn new(report: OnProgress, known: u64, layers: u64, total_bytes: u64) -> Meter {
        let meter = Meter {
            report,
            total_bytes,
            total_layers: layers,
            bytes: AtomicU64::new(0),
            layers: AtomicU64::new(known),
            order: Mutex::new(()),
        };
        meter.tell();
        meter
    }

    pub(crate) fn came(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    pub(crate) fn layer_done(&self) {
        self.layers.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        // Held while reading and reporting, so that figures never go back.
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        (self.report)(Progress {
            bytes: self.bytes.load(Ordering::Relaxed),
            total_bytes: self.total_bytes,
            layers: self.layers.load(Ordering::Relaxed),
            total_layers: self.total_layers,
        });
    }
}
