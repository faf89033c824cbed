//! Takes events on notify's own thread: classifies them, passes them on, never waits.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hd_dag::TreePath;
use hd_supervision::{Coalesce, fault};
use notify::{Event, EventHandler};

use super::actor::NAME;
use super::classify::{Change, Known, Verdict, classify};
use super::look::LookAt;
use super::outbox::Outbox;
use super::registry::Registry;
use super::rules::Rules;
use crate::messages::Paths;

/// What notify's thread and the jobs that set watches share.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) root: PathBuf,
    pub(super) rules: Rules,
    /// Files outside that links of the project lead to, each with the link.
    led_to: BTreeMap<PathBuf, TreePath>,
    pub(super) outbox: Arc<Outbox>,
    registry: Mutex<Registry>,
    work: Coalesce<LookAt>,
    /// Watches were set; before, an end of the events is the opener's own to report.
    started: AtomicBool,
    /// Nobody will deliver an event any more.
    deaf: AtomicBool,
    /// No event is wanted any more, so their end is nothing to report.
    closed: AtomicBool,
}

impl Sight {
    pub(super) fn new(
        root: PathBuf,
        rules: Rules,
        led_to: BTreeMap<PathBuf, TreePath>,
        outbox: Arc<Outbox>,
        work: Coalesce<LookAt>,
    ) -> Self {
        let [started, deaf, closed] = [false; 3].map(AtomicBool::new);
        Self {
            root,
            rules,
            led_to,
            outbox,
            registry: Mutex::default(),
            work,
            started,
            deaf,
            closed,
        }
    }

    /// Locks the registry: never while a watch is set, which waits for notify's thread.
    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports the end of the events from now on, also if it has come already.
    pub(super) fn start(&self) {
        self.started.store(true, Ordering::SeqCst);
        if self.deaf.load(Ordering::SeqCst) {
            self.end("notify's thread has ended");
        }
    }

    /// Lets no further event through.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Passes paths on.
    pub(super) fn touch(&self, paths: Paths, seen_at: Instant) {
        if self.outbox.touch(paths, seen_at) {
            self.work.put(LookAt {
                owed: true,
                ..LookAt::default()
            });
        }
    }

    /// Tells that a mount point is gone.
    pub(super) fn lose(&self, path: TreePath) {
        if self.outbox.lose(path) {
            self.work.put(LookAt {
                owed: true,
                ..LookAt::default()
            });
        }
    }

    /// Gives the place of a path below the project on the host.
    pub(super) fn place(&self, path: &TreePath) -> PathBuf {
        if path.is_root() {
            return self.root.clone();
        }
        self.root.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
    }

    /// Gives the path below the project; none for a place outside.
    fn path(&self, place: &Path) -> Option<TreePath> {
        let rest = place.strip_prefix(&self.root).ok()?;
        TreePath::new(rest.as_os_str().as_bytes()).ok()
    }

    /// Tells whether the project, or a file that a link in it leads to, lies in a directory.
    fn lies_in(&self, place: &Path) -> bool {
        let mut led_to = self.led_to.keys();
        self.root.starts_with(place) || led_to.any(|file| file.starts_with(place))
    }

    fn see(&self, outcome: notify::Result<Event>) {
        match outcome {
            Ok(event) if event.need_rescan() => self.overflow(),
            Ok(event) => self.event(&event),
            Err(error) => {
                tracing::warn!(%error, "reading file events failed");
                self.overflow();
            }
        }
    }

    fn overflow(&self) {
        self.work.put(LookAt {
            overflow: true,
            ..LookAt::default()
        });
    }

    fn event(&self, event: &Event) {
        let change = Change::of(&event.kind);
        if change == Change::Nothing {
            return;
        }
        let seen_at = Instant::now();
        for place in &event.paths {
            let Some(path) = self.path(place) else {
                if let Some(link) = self.led_to.get(place) {
                    self.touch(Paths::These(BTreeSet::from([link.clone()])), seen_at);
                } else if matches!(change, Change::Vanished(_)) && self.lies_in(place) {
                    // What is watched goes on under another name, and another one may take this one's.
                    self.act(vec![Verdict::RootReplaced], seen_at);
                }
                continue;
            };
            let known = Known {
                is_dir: change.wants_stat()
                    && place.symlink_metadata().is_ok_and(|meta| meta.is_dir()),
                is_watched: self.registry().contains(&path),
            };
            let verdicts = classify(change, &path, known, &self.rules);
            if !verdicts.is_empty() {
                fault::point(NAME);
                tracing::trace!(?verdicts, kind = ?event.kind, "event");
                self.act(verdicts, seen_at);
            }
        }
    }

    fn act(&self, verdicts: Vec<Verdict>, seen_at: Instant) {
        let mut look = LookAt::default();
        for verdict in verdicts {
            match verdict {
                Verdict::Touched(path) => {
                    look.owed |= self
                        .outbox
                        .touch(Paths::These(BTreeSet::from([path])), seen_at);
                }
                Verdict::Rescan => look.owed |= self.outbox.touch(Paths::Rescan, seen_at),
                Verdict::MountPointLost(path) => look.owed |= self.outbox.lose(path),
                Verdict::RootReplaced => {
                    look.owed |= self.outbox.touch(Paths::Rescan, seen_at);
                    look.all = true;
                }
                Verdict::Renew(path) => drop(look.renew.insert(path)),
                Verdict::Refilter(path) => drop(look.refilter.insert(path)),
            }
        }
        if look.owed || !look.is_empty() {
            self.work.put(look);
        }
    }

    fn end(&self, reason: &str) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            self.work.put(LookAt {
                ended: Some(reason.to_owned()),
                ..LookAt::default()
            });
        }
    }
}

/// What notify calls. Its end is told, whether it panics or notify's thread dies.
#[derive(Debug)]
pub(super) struct Receiver(pub(super) Arc<Sight>);

impl EventHandler for Receiver {
    fn handle_event(&mut self, outcome: notify::Result<Event>) {
        if self.0.closed.load(Ordering::SeqCst) {
            return;
        }
        if catch_unwind(AssertUnwindSafe(|| self.0.see(outcome))).is_err() {
            self.0.end("taking a file event panicked");
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.deaf.store(true, Ordering::SeqCst);
        if self.0.started.load(Ordering::SeqCst) {
            self.0.end("notify's thread has ended");
        }
    }
}
