//! One service: its process, probes, log and life.

pub mod actor;
mod ahead;
mod announced;
pub mod board;
mod common;
mod connect;
mod dependencies;
pub mod directory;
mod forward;
mod held;
pub mod hold;
mod holder;
mod hooks;
mod input;
pub mod lifecycle;
mod log;
mod log_file;
mod lookup;
mod memory;
pub mod ports;
mod probe;
mod publish;
mod reach;
pub mod roster;
mod run;
mod schedule;
mod seen;
mod socket;
mod spawner;
mod split;
mod tls;
mod view_process;

#[cfg(test)]
mod actor_tests;
#[cfg(test)]
mod ahead_tests;
#[cfg(test)]
mod dependency_tests;
#[cfg(test)]
mod fake_tests;
#[cfg(test)]
mod hold_tests;
#[cfg(test)]
mod lifecycle_tests;
#[cfg(test)]
mod play_tests;
