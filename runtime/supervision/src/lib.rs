//! actix made a supervised system.
//!
//! | Part | What it adds to actix |
//! |---|---|
//! | [`TreeSpec`], [`ChildSpec`], [`Branch`] | children built from factories, rebuilt after a panic, stopped in reverse order |
//! | [`policy`] | when to restart whom, and when to give up: pure |
//! | [`Port`] | a named edge with a real bound that stays valid over restarts |
//! | [`Latest`], [`Coalesce`], [`InFlight`] | the two mailboxes of one place, and the sender that remembers |
//! | [`Lane`], [`Pool`] | named event loops, and bounded threads for work that blocks |
//! | [`Status`], [`Snapshot`] | a status that answers whatever the actors do |
//! | [`panics`], [`fault`] | every panic reported, and panics on demand |
//!
//! Nobody outside names `actix::Addr`: an actor is reached through ports only.
//!
//! # Shutdown
//! 1. [`Stopper::stop`]: children are asked to stop, last started first, each within its grace. An actor
//!    that needs time answers `Running::Continue` in `Actor::stopping`, goes on handling mail, and calls
//!    `ctx.stop()` when done. After its grace, or on [`Stopper::stop_now`], it is dropped.
//! 2. [`Root::exit`] tells when all are down, and whether a child brought the root down.
//! 3. [`Runtime::close`] drains the pools and joins the lanes.
//!
//! # After a panic
//! Neither `stopping` nor `stopped` runs; the fields of the actor are dropped, outside of unwinding.
//! What must be released in any case belongs into the `Drop` of a field. Mail that was not handled is
//! lost and its askers are told; the new value starts from its factory, so `started` arms everything
//! anew.
//!
//! # Example
//! ```
#![doc = include_str!("../examples/two_actors.rs")]
//! ```

#[cfg(panic = "abort")]
compile_error!("a panic must unwind, or nothing can be supervised: build with panic = \"unwind\"");

mod blocking;
mod child;
mod exit;
pub mod fault;
mod in_flight;
mod lane;
mod life;
mod mailbox;
mod observe;
pub mod panics;
pub mod policy;
mod pool;
mod port;
mod root;
mod runtime;
mod slot;
#[cfg(feature = "testkit")]
pub mod testkit;
mod tree;

/// The actor framework itself, for `impl Actor` and `impl Handler`.
pub use actix;

pub use child::{ActorSpec, Birth, ChildSpec, GRACE};
pub use exit::Exit;
pub use in_flight::InFlight;
pub use lane::Lane;
pub use observe::{OBSERVE_WITHIN, Snapshot, State, Status};
pub use panics::describe;
pub use policy::{Backoff, Intensity, Restart, Strategy};
pub use pool::{JobError, Pool};
pub use port::{AskError, Mail, Port, Refused, WhenFull};
pub use root::{Root, RootExit, Stopper};
pub use runtime::{Overdue, Runtime, block_on};
pub use slot::{Coalesce, Latest, Merge};
pub use tree::{Branch, NameTaken, TreeSpec};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, also after a panic: every critical section here leaves its data whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
