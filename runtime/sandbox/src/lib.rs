//! Runs processes isolated: namespaces, mounts, rights, process groups.
//!
//! This crate knows nothing of stores, trees or actors. The program that uses it calls [`entry::run_if_helper`] first
//! in `main`: the same executable, under another name, is the helper that makes namespaces, the pid 1 of every
//! sandbox, and the guardian that ends all of them when the program is killed.
//!
//! Needs Linux 5.12 (`mount_setattr`), the overlay in user namespaces 5.11.

pub mod cgroup;
mod cgroup_v2;
mod entering;
mod error;
mod event;
mod executable;
mod guardian;
mod helper;
pub mod idmap;
mod inside;
mod launcher;
mod meter;
mod mount_op;
mod network;
pub mod open_files;
pub mod own_namespace;
mod probe;
mod process;
mod raw;
mod record;
mod sandbox;
mod spec;
mod stdio;
mod sys;
mod terminal;
mod wire;

pub mod entry;

pub use error::{Result, SandboxError};
pub use event::{End, Event, ExitStatus, Failure, Stage, Usage};
pub use guardian::Guardian;
pub use helper::Helper;
pub use idmap::{IdMap, IdRange};
pub use launcher::{Launcher, MountNamespace, Pending};
pub use meter::Meter;
pub use mount_op::{Create, MountOp, Place};
pub use network::NetworkNamespace;
pub use probe::{ImageProbe, Probe, Problem, probe, probe_image};
pub use record::{Record, reap_recorded};
pub use sandbox::{Entered, Sandbox};
pub use spec::{Capabilities, Command, Limits, Network, Privileges, Spec, TtySize};
pub use stdio::Stdio;
pub use sys::signal_process;
pub use terminal::Terminal;
