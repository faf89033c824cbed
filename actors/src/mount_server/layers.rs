//! The write layers of services: one overlay each, on a tmpfs of its own, that outlives restarts.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hd_sandbox::{MountOp, Place};

use super::follow::Restored;
use super::view::{ServiceView, run_in};
use crate::base::ROOT_STAGED;
use crate::messages::BatchError;
use crate::shared::Shared;

/// The layers of one view.
#[derive(Debug, Default)]
pub(super) struct Layers(Mutex<HashMap<String, Layer>>);

#[derive(Debug, Default)]
struct Layer {
    /// How often it was dropped or replaced: each time it gets another directory.
    dropped: u32,
    /// The directory that took what the service wrote; nothing when there is no overlay.
    upper: Option<Arc<OwnedFd>>,
}

/// A layer of a service that it does not use yet.
#[derive(Debug)]
pub(super) struct Filled {
    service: String,
    layer: Layer,
    /// What is in it, if it is of a projected project.
    restored: Option<Restored>,
}

impl Filled {
    /// Gives the service whose it is.
    pub(super) fn service(&self) -> &str {
        &self.service
    }
}

impl Layers {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Layer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServiceView {
    /// Gives the directory of a service's layer, in the stage of the namespace.
    pub(super) fn layer(&self, service: &str) -> PathBuf {
        self.layer_dir(service, self.dropped(service))
    }

    fn dropped(&self, service: &str) -> u32 {
        let all = self.layers.all();
        all.get(service).map_or(0, |layer| layer.dropped)
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
        let ops = [tmpfs(&at), self.overlay_op(&at, service)];
        match self.upper_made(shared, &ops) {
            Ok(upper) => layer.upper = upper,
            Err(error) => {
                // Another try mounts another one.
                self.detach(shared, at);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes a layer beside the one that a service has, its upper filled before it is mounted; it is used from
    /// [`Self::put_layer`] on. Blocks.
    ///
    /// # Errors
    /// Those of the sandbox and of `fill`, which leave nothing of it.
    pub(super) fn filled_layer(
        &self,
        shared: &Shared,
        (service, restored): (&str, Option<Restored>),
        fill: impl FnOnce(&OwnedFd) -> Result<(), BatchError>,
    ) -> Result<Filled, BatchError> {
        let dropped = self.dropped(service) + 1;
        let at = self.layer_dir(service, dropped);
        let upper = MountOp::Layer {
            at: at.join("upper"),
            name: service.to_owned(),
        };
        let filled = self
            .upper_made(shared, &[tmpfs(&at), upper])
            .and_then(|upper| upper.map_or(Ok(()), |upper| fill(&upper)))
            .and_then(|()| self.upper_made(shared, &[self.overlay_op(&at, service)]));
        match filled {
            Ok(upper) => Ok(Filled {
                service: service.to_owned(),
                layer: Layer { dropped, upper },
                restored,
            }),
            Err(error) => {
                self.detach(shared, at);
                Err(error)
            }
        }
    }

    /// Puts a layer in the place of the one that its service has, which must not run. Blocks.
    pub(super) fn put_layer(&self, shared: &Shared, filled: Filled) {
        let Filled {
            service,
            layer,
            restored,
        } = filled;
        let before = self.layers.all().insert(service.clone(), layer);
        self.follow_anew(&service, restored);
        if let Some(before) = before.filter(|before| before.upper.is_some()) {
            self.detach(shared, self.layer_dir(&service, before.dropped));
        }
    }

    /// Takes away a layer that is put nowhere. Blocks.
    pub(super) fn discard_layer(&self, shared: &Shared, filled: &Filled) {
        self.detach(
            shared,
            self.layer_dir(&filled.service, filled.layer.dropped),
        );
    }

    fn detach(&self, shared: &Shared, at: PathBuf) {
        let place = at.display().to_string();
        if let Err(error) = self.upper_made(shared, &[MountOp::Unmount { at }]) {
            tracing::warn!(%error, place, "a write layer that nobody uses stays until hd ends");
        }
    }

    fn overlay_op(&self, at: &Path, service: &str) -> MountOp {
        MountOp::Overlay {
            at: at.join("merged"),
            lower: vec![Place::Stage(self.lower_at.clone())],
            data: self.data.clone(),
            upper: Place::Stage(at.join("upper")),
            work: Place::Stage(at.join("work")),
            volatile: true,
            report: Some(service.to_owned()),
        }
    }

    /// Runs operations in the namespace of the view; gives the upper directory that they handed out.
    fn upper_made(
        &self,
        shared: &Shared,
        ops: &[MountOp],
    ) -> Result<Option<Arc<OwnedFd>>, BatchError> {
        let mut upper = None;
        run_in(
            shared,
            &self.namespace,
            Path::new(ROOT_STAGED),
            ops,
            |_, fd| {
                upper = Some(Arc::new(fd));
                Ok(())
            },
        )?;
        Ok(upper)
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
        self.upper_made(shared, &[MountOp::Unmount { at }])?;
        layer.upper = None;
        layer.dropped += 1;
        drop(all);
        self.follow_anew(service, None);
        Ok(())
    }
}

fn tmpfs(at: &Path) -> MountOp {
    MountOp::Tmpfs {
        at: at.to_owned(),
        size: None,
        mode: 0o755,
    }
}
