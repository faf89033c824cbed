//! Many lowers behind one mount, each a directory of it that comes and goes.
//!
//! A view of its own directory is as fresh to the kernel as one of its own mount: every first look-up in it
//! arrives. But the pages of a file that was read in an earlier view are still there. So a view that ended stays
//! until newer ones have taken its files over: the kernel drops the pages of a file with its last name.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::inodes::{Inode, Inodes};
use super::push::Pusher;
use super::view::View;
use super::xattrs::Xattrs;
use crate::error::ProjectionError;
use crate::lower::Lower;
use crate::recorder::Watch;

/// Most views that ended and stay.
const ENDED_MAX: usize = 8;
/// Nodes of all views above which ended ones go earlier; each takes about half a kilobyte.
const NODES_MAX: usize = 200_000;

/// The names below the root, with the roots of their views.
#[derive(Debug)]
pub(super) struct Names<L>(Mutex<HashMap<String, Arc<Inode<L>>>>);

impl<L> Names<L> {
    /// Gives the root of a view.
    pub(super) fn get(&self, name: &[u8]) -> Option<Arc<Inode<L>>> {
        let name = std::str::from_utf8(name).ok()?;
        self.lock().get(name).cloned()
    }

    /// Gives the roots of all views.
    pub(super) fn roots(&self) -> Vec<Arc<Inode<L>>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Inode<L>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows lowers in a mount that is served ([`crate::serve_many`]).
#[derive(Debug)]
pub struct Many<L> {
    inodes: Arc<Inodes<L>>,
    xattrs: Arc<Xattrs<L>>,
    names: Arc<Names<L>>,
    ended: Mutex<VecDeque<String>>,
    pusher: Pusher<L>,
}

impl<L: Lower> Many<L> {
    pub(super) fn new(inodes: Arc<Inodes<L>>, xattrs: Arc<Xattrs<L>>, pusher: Pusher<L>) -> Self {
        Self {
            inodes,
            xattrs,
            names: Arc::new(Names(Mutex::default())),
            ended: Mutex::default(),
            pusher,
        }
    }

    pub(super) fn names(&self) -> Arc<Names<L>> {
        self.names.clone()
    }

    /// Shows a lower as the directory `name`, which was never shown before; false when it has extended attributes
    /// and the kernel has been told that there are none in this mount.
    ///
    /// # Errors
    /// A lower that cannot be read.
    pub fn show(&self, name: &str, lower: L, watch: Watch) -> Result<bool, ProjectionError> {
        let lower = Arc::new(lower);
        if !self.xattrs.add(&lower)? {
            return Ok(false);
        }
        let root = self.inodes.add(&Arc::new(View::new(lower, watch)))?;
        self.names.lock().insert(name.to_owned(), root);
        Ok(true)
    }

    /// Notes that nobody uses a view any more. It goes when enough newer ones have ended.
    pub fn end(&self, name: &str) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push_back(name.to_owned());
        let mut nodes = self.inodes.len();
        while ended.len() > ENDED_MAX || (nodes > NODES_MAX && ended.len() > 1) {
            let Some(oldest) = ended.pop_front() else {
                return;
            };
            drop(self.names.lock().remove(&oldest));
            nodes = self.inodes.prune();
            self.pusher.gone(&oldest);
        }
    }
}
