//! Old views: their mounts go once nobody runs in them any more.

use std::path::Path;
use std::sync::Arc;

use hd_sandbox::MountOp;

use super::lower::Session;
use super::view::{ServiceView, run_in};
use crate::base::ROOT_STAGED;
use crate::messages::BatchError;
use crate::shared::Shared;

/// Views that a newer one took the place of, and that somebody may still use.
#[derive(Debug, Default)]
pub struct OldViews(Vec<Arc<ServiceView>>);

impl OldViews {
    /// Takes views that are no longer the newest, each once.
    pub(super) fn add(&mut self, views: Vec<Arc<ServiceView>>) {
        for view in views {
            if !self.0.iter().any(|known| Arc::ptr_eq(known, &view)) {
                self.0.push(view);
            }
        }
    }

    /// Gives those that nobody else holds any more.
    pub(super) fn unused(&mut self) -> Vec<ServiceView> {
        let mut unused = Vec::new();
        for view in std::mem::take(&mut self.0) {
            match Arc::try_unwrap(view) {
                Ok(view) => unused.push(view),
                Err(view) => self.0.push(view),
            }
        }
        unused
    }
}

impl ServiceView {
    /// Takes the view's mounts out of the namespace; a server of its own ends with the last of them. Blocks.
    pub(super) fn retire(self, shared: &Shared) -> Result<(), BatchError> {
        // What layers need goes after them. A lower in a shared mount is shown no more when this is dropped.
        let own = matches!(self.session, Session::Own(_)).then(|| self.lower_at.clone());
        let objects = (!self.data.is_empty()).then(|| Path::new(&self.dir).join("objects"));
        let below = own.into_iter().chain(objects);
        let mounted = self.layer_dirs().into_iter().chain(below);
        let ops: Vec<_> = mounted.map(|at| MountOp::Unmount { at }).collect();
        let root = Path::new(ROOT_STAGED);
        run_in(shared, &self.namespace, root, &ops, |_, _| Ok(()))
    }
}
