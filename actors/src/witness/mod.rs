//! Witnesses: what services did to the project through their own mount of it, and who did what is
//! therefore known for certain.
//!
//! A live service sees the project through a mount that nobody else has. fanotify (`FAN_MARK_MOUNT`,
//! which the kernel permits to root only) tells what is written and opened through it: a file that
//! changed and was written there was changed by the service, or by a command that was let into it
//! (`hd exec`). Where it is not permitted nobody knows, and time has to be judged by.

mod group;
mod seen;

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hd_config::{Project, ProjectMode, Service};
use hd_dag::TreePath;

use self::group::Group;
pub use self::group::{Attached, permitted};
use self::seen::Seen;
use crate::messages::BatchError;

/// What of a service's doings is witnessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What it writes.
    Writes,
    /// What it opens, too.
    Reads,
}

/// The witnesses of all services by name.
#[derive(Debug, Default)]
pub struct Witnesses(Mutex<BTreeMap<String, Arc<Witness>>>);

impl Witnesses {
    /// Gives the witness of a service.
    pub fn of(&self, service: &str) -> Arc<Witness> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(service.to_owned()).or_default().clone()
    }

    /// Witnesses what a service does through its mount of the project, where that is permitted; it sees the
    /// project at `workdir`.
    pub fn attach(&self, service: &Service, mount: &OwnedFd, workdir: &str) -> Option<Attached> {
        let scope = if service.watch.is_auto() {
            Scope::Reads
        } else {
            Scope::Writes
        };
        let attached = self
            .of(&service.name)
            .attach(mount, PathBuf::from(workdir), scope);
        match attached {
            Ok(attached) => Some(attached),
            Err(error) => {
                tracing::debug!(service = service.name, %error, "nobody sees what it writes");
                None
            }
        }
    }
}

/// What one service did, over all its runs.
#[derive(Debug, Default)]
pub struct Witness {
    seen: Mutex<Seen>,
    groups: Mutex<Vec<Arc<Group>>>,
}

/// When anything of a file changed last.
fn changed(meta: &Metadata) -> SystemTime {
    let seconds = u64::try_from(meta.ctime()).unwrap_or(0);
    let parts = u32::try_from(meta.ctime_nsec()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, parts)
}

/// Refuses `watch = "auto"` where nobody can see what a service reads.
///
/// # Errors
/// Which service, and why.
pub fn refuse_blind(project: &Project) -> Result<(), BatchError> {
    let mut services = project.services.iter();
    let Some(service) = services.find(|service| service.watch.is_auto()) else {
        return Ok(());
    };
    let why = match (project.options.project, permitted()) {
        (ProjectMode::Live, Ok(())) => return Ok(()),
        (ProjectMode::Live, Err(error)) => format!(
            "the kernel does not let hd see what it reads (fanotify: {error}; it takes root)"
        ),
        _ => "what it reads of a projected project is not seen".to_owned(),
    };
    let message = format!("watch = \"auto\" does not work here: {why}");
    Err(BatchError::new("config", message)
        .at(format!("services.{}.watch", service.name))
        .hint("list globs: watch = [\"src/**\"]"))
}

impl Witness {
    /// Notes that a run begins, witnessed or not.
    pub fn begins(&self) {
        self.seen().started = Some(tokio::time::Instant::now().into_std());
    }

    /// Gives when the last run began.
    pub fn started(&self) -> Option<Instant> {
        self.seen().started
    }

    /// Witnesses what is done through a mount until the answer is dropped; `inside` is where the mount is
    /// seen by those who use it.
    ///
    /// # Errors
    /// Most likely that hd is not root.
    pub fn attach(
        self: &Arc<Self>,
        mount: &OwnedFd,
        inside: PathBuf,
        scope: Scope,
    ) -> io::Result<Attached> {
        let group = Arc::new(Group::open(mount, inside, scope)?);
        self.groups().push(group.clone());
        group::follow(group, self.clone())
    }

    /// Tells whether the service wrote the file at a place since it was asked last; none when nobody
    /// can know.
    pub fn wrote(&self, place: &Path, now: Instant) -> Option<bool> {
        self.catch_up();
        let mut seen = self.seen();
        if !seen.is_witnessed {
            return None;
        }
        // What is gone was not written there last.
        let found = std::fs::symlink_metadata(place).ok();
        Some(found.is_some_and(|meta| {
            let file = (meta.dev(), meta.ino());
            seen.take_written(file, changed(&meta), now)
        }))
    }

    /// Tells whether the service has ever opened a file of the project.
    pub fn has_read(&self, path: &TreePath) -> bool {
        self.catch_up();
        self.seen().read.contains(path)
    }

    /// Takes in what the kernel has to tell by now.
    fn catch_up(&self) {
        let groups: Vec<Arc<Group>> = self.groups().clone();
        for group in groups {
            group.drain(self);
        }
    }

    fn forget(&self, group: &Arc<Group>) {
        self.groups().retain(|other| !Arc::ptr_eq(group, other));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn groups(&self) -> MutexGuard<'_, Vec<Arc<Group>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
