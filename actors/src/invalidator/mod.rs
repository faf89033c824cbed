//! The only conductor: ingest, apply, run, publish.

pub mod actor;
pub mod ask;
pub mod batch;
mod declare;
pub mod impact;
pub mod knows;
mod loops;
mod outcome;
mod pending;
mod publish;
mod repeats;
mod step_loops;
mod suspend;
mod writers;
