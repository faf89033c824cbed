//! One inotify instance from start to end.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hd_dag::TreePath;
use hd_supervision::Coalesce;

use super::cover::{Cover, Outcome};
use super::lack::Lack;
use super::look::LookAt;
use super::outbox::Outbox;
use super::sight::{Receiver, Sight};
use super::watched::Watched;
use super::watches::Watches;
use crate::messages::Paths;

/// Watches that are set. Dropped, they end, and no event comes any more.
pub(super) struct Session {
    sight: Arc<Sight>,
    watches: Mutex<Box<dyn Watches>>,
}

/// What a job gives back to the actor.
pub(super) struct Done {
    pub(super) session: Option<Arc<Session>>,
    pub(super) lack: Option<Lack>,
    pub(super) directories: usize,
}

impl Done {
    fn blind(lack: Lack) -> Self {
        Self {
            session: None,
            lack: Some(lack),
            directories: 0,
        }
    }
}

/// Watches a project from scratch, then says that anything may have happened before.
pub(super) fn open(
    project: &Watched,
    outbox: &Arc<Outbox>,
    work: &Coalesce<LookAt>,
    stop: &AtomicBool,
) -> Done {
    let seen_at = Instant::now();
    let sight = Arc::new(Sight::new(
        project.root.clone(),
        project.rules(),
        project.led_to.clone(),
        outbox.clone(),
        work.clone(),
    ));
    let root = fs::metadata(&project.root).ok();
    let Some(root) = root.filter(|root| root.is_dir()) else {
        return Done::blind(Lack::Root);
    };
    let watches = match (project.opener)(Box::new(Receiver(sight.clone()))) {
        Ok(watches) => Mutex::new(watches),
        Err(reason) => return Done::blind(Lack::Everything(reason)),
    };
    sight.start();
    let session = Arc::new(Session { sight, watches });
    // The directory above tells that the project was replaced even while a process holds the old one.
    session.watch_above(&project.root);
    for file in project.led_to.keys() {
        session.watch_above(file);
    }
    let outcome = session.cover(stop, |cover| {
        cover.renew(BTreeSet::from([TreePath::root()]))
    });
    let sight = &session.sight;
    for point in sight.rules.points().get() {
        if !fs::symlink_metadata(sight.place(&point)).is_ok_and(|meta| meta.is_dir()) {
            sight.lose(point);
        }
    }
    let is_replaced = project.is_replaced_by(&root);
    let is_declared = project.is_declared();
    if is_replaced && is_declared {
        sight.lose(TreePath::root());
    }
    if is_declared {
        project.note(&root);
    }
    sight.touch(Paths::Rescan, seen_at);
    let mut done = session.done(outcome);
    if is_replaced && !is_declared {
        done.lack.get_or_insert(Lack::Declaration);
    }
    done
}

/// Sets the watches of a session anew where that was asked for, then says so.
pub(super) fn again(session: &Arc<Session>, look: LookAt, stop: &AtomicBool) -> Done {
    let seen_at = Instant::now();
    let outcome = session.cover(stop, |cover| {
        cover.renew(look.renew);
        cover.refilter(look.refilter);
    });
    if !outcome.touched.is_empty() {
        session
            .sight
            .touch(Paths::These(outcome.touched.clone()), seen_at);
    }
    session.done(outcome)
}

impl Session {
    /// Watches the directory that a place outside the project lies in, if that can be.
    fn watch_above(&self, place: &Path) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(refusal)) = place.parent().map(|above| watches.add(above)) {
            tracing::debug!(place = %place.display(), "cannot watch above: {refusal}");
        }
    }

    fn cover(&self, stop: &AtomicBool, job: impl FnOnce(&mut Cover<'_>)) -> Outcome {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cover = Cover::new(&self.sight, &mut **watches, stop);
        job(&mut cover);
        cover.finish()
    }

    fn done(self: &Arc<Self>, outcome: Outcome) -> Done {
        let directories = self.sight.registry().len();
        Done {
            session: Some(self.clone()),
            lack: outcome.lack.map(Lack::Watches),
            directories,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sight.close();
    }
}
