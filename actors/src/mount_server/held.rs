//! What a MountServer holds, and how the one after it comes by that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hd_dag::Rooted;
use hd_sandbox::MountNamespace;

use super::views::Views;
use crate::messages::PrepareView;

/// The newest views and what belongs to them.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// The namespace, once a view was wanted.
    pub(super) namespace: Option<Arc<MountNamespace>>,
    /// The newest views.
    pub(super) views: Option<Views>,
    /// What it was made of.
    pub(super) wish: Option<PrepareView>,
    /// Views begun so far.
    pub(super) begun: u64,
    /// The project as the newest root has it.
    pub(super) project: Option<Rooted>,
}

impl Held {
    /// Gives the newest views.
    pub fn views(self) -> Option<Views> {
        self.views
    }
}

/// Holds that over a restart; clones are the same place.
#[derive(Clone, Debug, Default)]
pub struct HeldOver(Arc<Mutex<Held>>);

impl HeldOver {
    /// Gives what was held last.
    pub fn get(&self) -> Held {
        self.lock().clone()
    }

    /// Holds this from now on.
    pub(super) fn set(&self, held: Held) {
        *self.lock() = held;
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
