//! The write layers of services: one overlay each, on a tmpfs of its own, that outlives restarts.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hd_sandbox::{MountOp, Place};

use super::view::{ServiceView, run_in};
use crate::base::ROOT_STAGED;
use crate::messages::BatchError;
use crate::shared::Shared;

/// The layers of one view.
#[derive(Debug, Default)]
pub(super) struct Layers(Mutex<HashMap<String, Layer>>);

#[derive(Debug, Default)]
struct Layer {
    /// How often it was dropped: each time it gets another directory.
    dropped: u32,
    /// The directory that took what the service wrote; nothing when there is no overlay.
    upper: Option<Arc<OwnedFd>>,
}

impl Layers {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Layer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServiceView {
    /// Gives the directory of a service's layer, in the stage of the namespace.
    pub(super) fn layer(&self, service: &str) -> PathBuf {
        let dropped = self
            .layers
            .all()
            .get(service)
            .map_or(0, |layer| layer.dropped);
        self.layer_dir(service, dropped)
    }

    fn layer_dir(&self, service: &str, dropped: u32) -> PathBuf {
        // No service has a dot in its name.
        Path::new(&self.dir).join(format!("{service}.{dropped}"))
    }

    /// Makes the overlay of a service once.
    pub(super) fn overlay(&self, shared: &Shared, service: &str) -> Result<(), BatchError> {
        let mut all = self.layers.all();
        let layer = all.entry(service.to_owned()).or_default();
        if layer.upper.is_some() {
            return Ok(());
        }
        let at = self.layer_dir(service, layer.dropped);
        let ops = [
            MountOp::Tmpfs {
                at: at.clone(),
                size: None,
                mode: 0o755,
            },
            MountOp::Overlay {
                at: at.join("merged"),
                lower: vec![Place::Stage(format!("{}/lower", self.dir).into())],
                upper: Place::Stage(at.join("upper")),
                work: Place::Stage(at.join("work")),
                volatile: true,
                report: Some(service.to_owned()),
            },
        ];
        let mut upper = None;
        run_in(
            shared,
            &self.namespace,
            Path::new(ROOT_STAGED),
            &ops,
            |_, fd| {
                upper = Some(Arc::new(fd));
                Ok(())
            },
        )?;
        layer.upper = upper;
        Ok(())
    }

    /// Gives the directory that took what a service wrote, if it has an overlay.
    pub(super) fn upper(&self, service: &str) -> Option<Arc<OwnedFd>> {
        self.layers.all().get(service)?.upper.clone()
    }

    /// Gives the names of those that have an overlay, sorted.
    pub(super) fn layered(&self) -> Vec<String> {
        let all = self.layers.all();
        let made = all.iter().filter(|(_, layer)| layer.upper.is_some());
        let mut names: Vec<String> = made.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// Gives the directories of all overlays, in the stage of the namespace.
    pub(super) fn layer_dirs(&self) -> Vec<PathBuf> {
        let all = self.layers.all();
        let made = all.iter().filter(|(_, layer)| layer.upper.is_some());
        made.map(|(name, layer)| self.layer_dir(name, layer.dropped))
            .collect()
    }

    /// Drops what a service wrote: its next start finds an empty layer. One that runs goes on in the
    /// old one until it ends. Blocks.
    pub(super) fn drop_layer(&self, shared: &Shared, service: &str) -> Result<(), BatchError> {
        let mut all = self.layers.all();
        let Some(layer) = all.get_mut(service).filter(|layer| layer.upper.is_some()) else {
            return Ok(());
        };
        let at = self.layer_dir(service, layer.dropped);
        let op = MountOp::Unmount { at };
        run_in(
            shared,
            &self.namespace,
            Path::new(ROOT_STAGED),
            &[op],
            |_, _| Ok(()),
        )?;
        layer.upper = None;
        layer.dropped += 1;
        drop(all);
        self.follow_anew(service);
        Ok(())
    }
}
