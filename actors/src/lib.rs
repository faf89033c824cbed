//! Who does what, and when: the actors of `hd`, their messages and their wiring.
//!
//! [`messages`] is the catalogue of everything they say to each other. Each folder is one actor:
//! `actor.rs` is a thin shell, the files beside it hold its logic.

pub mod base;
pub mod chunk_store;
pub mod control;
pub mod dag_engine;
pub mod debouncer;
pub mod events;
pub mod export;
pub mod finish;
pub mod forecast;
pub mod hold;
pub mod invalidator;
pub mod messages;
pub mod model;
pub mod mount_server;
pub mod oci_fetcher;
pub mod one_off;
pub mod recheck;
pub mod runtime;
pub mod service_supervisor;
pub mod session;
pub mod shared;
pub mod step_runner;
pub mod trees;
pub mod unchanged;
pub mod watcher;
pub mod wiring;
pub mod witness;

pub use model::settings::Settings;
