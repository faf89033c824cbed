//! The store's keeper: reads the project in, pins roots, collects garbage.

pub mod actor;
pub mod collect;
pub mod filter;
pub mod ingest;
pub mod limits;
pub mod owners;
pub mod pins;
pub mod prune;
pub mod users;
