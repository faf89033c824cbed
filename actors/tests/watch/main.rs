//! Watcher and Debouncer on real directories with the kernel's own events.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod faults;
mod moves;
mod rig;
mod saves;
mod scope;
mod storms;
