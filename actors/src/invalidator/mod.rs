//! The only conductor: ingest, apply, run, publish.

pub mod actor;
pub mod batch;
pub mod impact;
