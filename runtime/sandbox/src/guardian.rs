//! The hd side of the guardian: the process that ends all sandboxes when hd is killed.

use crate::error::{Context, Result};
use crate::helper::{Helper, Role};
use crate::process::{Process, open_pidfd};
use crate::wire::{RawPath, Watch, wait_readable};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How long a failed respawn waits for the next try.
const RETRY: Duration = Duration::from_secs(1);

/// A process in a session of its own that watches hd. When hd ends without [`Guardian::release`], it kills the pid 1
/// of every sandbox registered and removes the paths given.
///
/// Start it before any FUSE connection exists. A thread of hd watches the guardian in turn and replaces it when it
/// dies, handing all registrations over. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guardian {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    helper: Helper,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    process: Process,
    watched: BTreeMap<u64, OwnedFd>,
    paths: Vec<RawPath>,
    next: u64,
    respawns: u64,
    released: bool,
}

/// A sandbox the guardian knows; dropping it takes it off the list.
#[derive(Debug)]
pub(crate) struct Registration {
    shared: Weak<Shared>,
    key: u64,
}

impl Guardian {
    /// Starts the guardian and the thread that watches it.
    pub fn start(helper: &Helper) -> Result<Self> {
        let process = start(helper)?;
        let state = State {
            process,
            watched: BTreeMap::new(),
            paths: Vec::new(),
            next: 0,
            respawns: 0,
            released: false,
        };
        let shared = Arc::new(Shared {
            helper: helper.clone(),
            state: Mutex::new(state),
        });
        let weak = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("hd-guardian-watch".into())
            .spawn(move || keep_alive(&weak))
            .what(|| "start a thread".into())?;
        Ok(Self { shared })
    }

    /// Says which paths to remove when hd is gone (the control socket); replaces the list said before.
    pub fn set_paths(&self, paths: Vec<PathBuf>) -> Result<()> {
        let mut state = self.shared.lock();
        state.paths = paths.into_iter().map(RawPath).collect();
        let message = Watch::Paths(state.paths.clone());
        self.shared.tell(&mut state, &message, None)
    }

    /// Adds paths to those to remove when hd is gone: empty directories too.
    pub fn add_paths(&self, more: impl IntoIterator<Item = PathBuf>) -> Result<()> {
        let mut state = self.shared.lock();
        state.paths.extend(more.into_iter().map(RawPath));
        let message = Watch::Paths(state.paths.clone());
        self.shared.tell(&mut state, &message, None)
    }

    /// Takes paths off that list.
    pub fn forget_paths(&self, gone: &[PathBuf]) -> Result<()> {
        let mut state = self.shared.lock();
        state.paths.retain(|RawPath(path)| !gone.contains(path));
        let message = Watch::Paths(state.paths.clone());
        self.shared.tell(&mut state, &message, None)
    }

    /// Registers any process to be killed with hd; [`crate::Launcher`] does it for every sandbox.
    pub(crate) fn register(&self, pidfd: BorrowedFd<'_>) -> Result<Registration> {
        let copy = pidfd
            .try_clone_to_owned()
            .what(|| "duplicate a pidfd".into())?;
        let mut state = self.shared.lock();
        let key = state.next;
        state.next += 1;
        state.watched.insert(key, copy);
        self.shared
            .tell(&mut state, &Watch::Add(key), Some(pidfd))?;
        Ok(Registration {
            shared: Arc::downgrade(&self.shared),
            key,
        })
    }

    /// Gives the guardian's process id, as it is now.
    pub fn pid(&self) -> u32 {
        self.shared.lock().process.pid()
    }

    /// Tells how often the guardian had to be replaced.
    pub fn respawns(&self) -> u64 {
        self.shared.lock().respawns
    }

    /// Ends the guardian: nothing is killed or removed when hd ends after this.
    pub fn release(&self) -> Result<()> {
        let mut state = self.shared.lock();
        state.released = true;
        // A guardian that is gone already needs no word.
        let _ = state.process.channel().send_now(&Watch::Release, &[]);
        state.process.wait(Some(Duration::from_secs(2))).map(|_| ())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let mut state = shared.lock();
            state.watched.remove(&self.key);
            // What is not said to a dying guardian is not handed to the next one either.
            let _ = state
                .process
                .channel()
                .send_now(&Watch::Remove(self.key), &[]);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the guardian something that is in the state already: when it is dead, its successor gets all of it.
    fn tell(&self, state: &mut State, message: &Watch, fd: Option<BorrowedFd<'_>>) -> Result<()> {
        let fds: Vec<_> = fd.into_iter().collect();
        if state.process.channel().send_now(message, &fds).is_ok() {
            return Ok(());
        }
        self.respawn(state)
    }

    fn respawn(&self, state: &mut State) -> Result<()> {
        let process = start(&self.helper)?;
        let say = |message: &Watch, fds: &[BorrowedFd<'_>]| {
            process
                .channel()
                .send_now(message, fds)
                .what(|| "hand over to a new guardian".into())
        };
        say(&Watch::Paths(state.paths.clone()), &[])?;
        for (key, pidfd) in &state.watched {
            say(&Watch::Add(*key), &[pidfd.as_fd()])?;
        }
        state.process = process;
        state.respawns += 1;
        Ok(())
    }
}

fn start(helper: &Helper) -> Result<Process> {
    let owner = open_pidfd(std::process::id()).what(|| "open a pidfd of this process".into())?;
    let process = helper.start(Role::Guardian)?;
    process
        .channel()
        .send_now(&Watch::Owner, &[owner.as_fd()])
        .what(|| "instruct the guardian".into())?;
    Ok(process)
}

/// Replaces the guardian whenever it dies, until it is released or nobody uses it any more.
fn keep_alive(shared: &Weak<Shared>) {
    loop {
        let current = match shared.upgrade() {
            Some(shared) => shared.lock().process.pidfd().try_clone_to_owned(),
            None => return,
        };
        let waited = current.and_then(|pidfd| wait_readable(pidfd.as_fd(), None));
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let mut state = shared.lock();
        if state.released {
            return;
        }
        let ended = matches!(state.process.wait(Some(Duration::ZERO)), Ok(Some(_)));
        let renewed = if ended {
            shared.respawn(&mut state)
        } else {
            Ok(())
        };
        drop(state);
        if waited.is_err() || renewed.is_err() {
            tracing::error!(
                ?waited,
                ?renewed,
                "the guardian could not be replaced; trying again"
            );
            std::thread::park_timeout(RETRY);
        }
    }
}
