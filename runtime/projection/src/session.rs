//! Serves a lower on a FUSE device that a helper opened and mounted.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::Receiver;
use fuser::{Config, Filesystem, Notifier, Session, SessionACL};
use hd_store::{Pool, Store};

use crate::error::ProjectionError;
use crate::fuse::{Many, ProjectedFs};
use crate::lower::Lower;
use crate::objects::{Counts, Objects, pair};
use crate::recorder::Watch;

/// How a lower is served.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Name of the view, for thread names and messages.
    pub name: String,
    /// Threads that answer requests; each has its own clone of the device.
    pub threads: usize,
    /// What is noted of the requests.
    pub watch: Watch,
    /// Where raw copies of what is read go, for views to come; `None` makes none.
    pub copies: Option<Copies>,
}

/// Raw copies of what is read.
#[derive(Clone, Debug)]
pub struct Copies {
    /// Where they go.
    pub pool: Arc<Pool>,
    /// None is made before something came through it; closed, it says that nobody wants any.
    pub gate: Receiver<()>,
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
    let copies = options.copies;
    let (filler, fill) = copies
        .map(|copies| pair(copies.pool, Arc::default(), Some(copies.gate)))
        .unzip();
    let (fs, push) = ProjectedFs::new(lower, options.watch, filler)?;
    let beside = |name: &str, notifier| {
        fill.map_or(Ok(()), |fill| fill.start(name))?;
        push.start(name, notifier)
    };
    run(device, fs, &options.name, options.threads, beside)
}

/// Starts to answer the requests for lowers that come and go, each a directory below the root of the mount.
pub fn serve_many<L: Lower>(
    device: OwnedFd,
    (name, threads): (&str, usize),
) -> Result<(Served, Many<L>), ProjectionError> {
    let (fs, push, many) = ProjectedFs::of_many();
    let served = run(device, fs, name, threads, |name, notifier| {
        push.start(name, notifier)
    })?;
    Ok((served, many))
}

/// Starts to answer the requests for objects of a store that arrive on `device`, filling its pool
/// with what is read.
pub fn serve_objects(
    device: OwnedFd,
    store: Store,
    pool: Arc<Pool>,
    counts: Arc<Counts>,
    (name, threads): (&str, usize),
) -> Result<Served, ProjectionError> {
    let (fs, fill) = Objects::new(store, pool, counts);
    run(device, fs, name, threads, |name, _| fill.start(name))
}

fn run(
    device: OwnedFd,
    fs: impl Filesystem,
    name: &str,
    threads: usize,
    beside: impl FnOnce(&str, Notifier) -> Result<(), ProjectionError> + Send + 'static,
) -> Result<Served, ProjectionError> {
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(threads.max(1));
    config.clone_fd = threads > 1;
    let served = name.to_owned();
    let thread = thread::Builder::new()
        .name(format!("fuse {name}"))
        .spawn(move || {
            let session = Session::from_fd(fs, device, SessionACL::All, config)?;
            beside(&served, session.notifier()).map_err(std::io::Error::other)?;
            session.run()
        })
        .map_err(|source| ProjectionError::Session {
            name: name.to_owned(),
            source,
        })?;
    Ok(Served {
        name: name.to_owned(),
        thread: Some(thread),
    })
}
