//! The control socket: status, down, attach.

pub mod actor;
pub mod answer;
pub mod one_by_one;
pub mod protocol;
mod serve;
mod snapshot;
pub mod socket;
mod stop;
mod want;
