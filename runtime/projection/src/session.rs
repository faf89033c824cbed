//! Serves a lower on a FUSE device that a helper opened and mounted.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use fuser::{Config, Session, SessionACL};

use crate::error::ProjectionError;
use crate::fuse::ProjectedFs;
use crate::lower::Lower;
use crate::recorder::Recorder;

/// How a lower is served.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Name of the view, for thread names and messages.
    pub name: String,
    /// Threads that answer requests; each has its own clone of the device.
    pub threads: usize,
    /// Where observations go; `None` for an untraced view.
    pub recorder: Option<Arc<Recorder>>,
}

/// A lower being served; it ends by itself when the last mount of it is gone.
#[derive(Debug)]
pub struct Served {
    name: String,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Served {
    /// Tells whether the session still answers.
    pub fn is_alive(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }

    /// Waits until the last mount is gone and the session has ended.
    pub fn join(mut self) -> Result<(), ProjectionError> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let outcome = thread
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("a session thread panicked")));
        outcome.map_err(|source| ProjectionError::Session {
            name: self.name,
            source,
        })
    }
}

/// Starts to answer the requests that arrive on `device`, a mounted `/dev/fuse` descriptor.
///
/// The first request (INIT) is answered on the new thread, so the caller never waits for a
/// kernel that waits for it.
pub fn serve<L: Lower>(
    device: OwnedFd,
    lower: L,
    options: ServeOptions,
) -> Result<Served, ProjectionError> {
    let (fs, push) = ProjectedFs::new(lower, options.recorder)?;
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(options.threads.max(1));
    config.clone_fd = options.threads > 1;
    let name = options.name.clone();
    let thread = thread::Builder::new()
        .name(format!("fuse {}", options.name))
        .spawn(move || {
            let session = Session::from_fd(fs, device, SessionACL::All, config)?;
            push.start(&name, session.notifier())
                .map_err(std::io::Error::other)?;
            session.run()
        })
        .map_err(|source| ProjectionError::Session {
            name: options.name.clone(),
            source,
        })?;
    Ok(Served {
        name: options.name,
        thread: Some(thread),
    })
}
