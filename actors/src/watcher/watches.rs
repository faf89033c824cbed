//! The kernel's side: watches on single directories.

use std::fmt;
use std::io::ErrorKind as IoErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use notify::{Config, ErrorKind, EventHandler, RecommendedWatcher, RecursiveMode, Watcher as _};

/// Sets watches on single directories, never on what lies below them.
///
/// Neither method is called on the thread that delivers events: it could not answer.
pub trait Watches: Send {
    /// Watches a directory; one that is watched already is watched on.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn add(&mut self, dir: &Path) -> Result<(), Refusal>;

    /// Ends the watch of a directory, if there is one.
    fn remove(&mut self, dir: &Path);
}

/// Why a directory is not watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The user has as many watches as the kernel allows.
    #[error("as many directories are watched as fs.inotify.max_user_watches allows")]
    Limit,
    /// It is not there any more.
    #[error("the directory is gone")]
    Gone,
    /// It may not be read.
    #[error("the directory may not be read")]
    Denied,
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

/// Starts delivering events to a handler.
pub type Opener =
    Arc<dyn Fn(Box<dyn EventHandler>) -> Result<Box<dyn Watches>, String> + Send + Sync>;

/// inotify, by notify.
pub struct Inotify(Option<RecommendedWatcher>);

impl Inotify {
    /// Starts an inotify instance and the thread that reads it.
    ///
    /// # Errors
    /// In words: most likely `fs.inotify.max_user_instances`.
    pub fn open(handler: Box<dyn EventHandler>) -> Result<Box<dyn Watches>, String> {
        let config = Config::default().with_follow_symlinks(false);
        match RecommendedWatcher::new(Boxed(handler), config) {
            Ok(watcher) => Ok(Box::new(Self(Some(watcher)))),
            Err(error) => Err(format!(
                "inotify: {error} (fs.inotify.max_user_instances may be reached)"
            )),
        }
    }
}

struct Boxed(Box<dyn EventHandler>);

impl EventHandler for Boxed {
    fn handle_event(&mut self, event: notify::Result<notify::Event>) {
        self.0.handle_event(event);
    }
}

impl Watches for Inotify {
    fn add(&mut self, dir: &Path) -> Result<(), Refusal> {
        let Some(watcher) = &mut self.0 else {
            return Err(Refusal::Failed("closed".to_owned()));
        };
        watcher
            .watch(dir, RecursiveMode::NonRecursive)
            .map_err(|error| match error.kind {
                ErrorKind::MaxFilesWatch => Refusal::Limit,
                ErrorKind::PathNotFound => Refusal::Gone,
                ErrorKind::Io(error) => match error.kind() {
                    IoErrorKind::NotFound | IoErrorKind::NotADirectory => Refusal::Gone,
                    IoErrorKind::PermissionDenied => Refusal::Denied,
                    _ => Refusal::Failed(error.to_string()),
                },
                kind => Refusal::Failed(format!("{kind:?}")),
            })
    }

    fn remove(&mut self, dir: &Path) {
        if let Some(watcher) = &mut self.0 {
            // It fails where notify knows already that the directory is gone.
            let _ = watcher.unwatch(dir);
        }
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let watcher = self.0.take();
        // notify panics here when its thread is dead, which was reported by then.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(watcher)));
    }
}

impl fmt::Debug for Inotify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inotify(..)")
    }
}
