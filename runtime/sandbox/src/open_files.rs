//! How many files this process may have open: as many as it may be given, and what it starts no more than before.
//!
//! Shells give 1,024, for the sake of programs that use `select` or close all there could be. A runtime that relays
//! hundreds of connections needs more; its services are to find what they would find without it.

use std::io;
use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// What this process was started with, once it has raised its own.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises the limit of open files of this process to the highest that it may have. Helpers, and so all that runs in
/// sandboxes, get the limit of before.
///
/// # Errors
/// The kernel refuses.
pub fn raise() -> io::Result<()> {
    let before = *BEFORE.get_or_init(|| getrlimit(Resource::Nofile));
    let raised = Rlimit {
        current: before.maximum,
        ..before
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// Gives a process that was started by this one the limit that this one was started with.
pub(crate) fn give_back(pid: u32) -> io::Result<()> {
    let Some(before) = BEFORE.get() else {
        return Ok(());
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    prlimit(pid, Resource::Nofile, *before)?;
    Ok(())
}
