//! The store's keeper: reads the project in, pins roots, collects garbage.

pub mod actor;
pub mod collect;
pub mod filter;
pub mod ingest;
pub mod pins;
