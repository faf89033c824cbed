//! The ChunkStore actor.
//!
//! - **Owns** the right to delete from the store, and the jobs that read the project into it.
//! - **Receives** `IngestPaths`, `PinRoot`.
//! - **Sends** nothing; it answers.
//! - **When full** the asker waits (*Await*): jobs run in a bounded pool.
//! - **After restart** it has lost nothing: the store is on disk, jobs are asked for again.

use std::sync::Arc;

use hd_supervision::actix::{Actor, Context, Handler, ResponseFuture};
use hd_supervision::{Pool, Status};

use super::filter::ProjectFilter;
use super::{ingest, pins};
use crate::messages::{BatchError, IngestPaths, Ingested, PinRoot};
use crate::mount_server::mount_points::MountPoints;
use crate::shared::Shared;

/// Reads into the store, pins, collects.
#[derive(Debug)]
pub struct ChunkStore {
    /// Shared handles.
    pub shared: Arc<Shared>,
    /// Where blocking jobs run.
    pub pool: Pool,
    /// Directories hd made in the project.
    pub mount_points: MountPoints,
    /// Where it says what it does.
    pub status: Status,
}

impl Actor for ChunkStore {
    type Context = Context<Self>;
}

impl Handler<IngestPaths> for ChunkStore {
    type Result = ResponseFuture<Result<Ingested, BatchError>>;

    fn handle(&mut self, message: IngestPaths, _: &mut Self::Context) -> Self::Result {
        self.status
            .idle(format!("reading batch {}", message.origin.batch));
        let shared = self.shared.clone();
        let declared = shared.declared();
        let (files, watches) = (declared.project.file_filter(), declared.watches.clone());
        let filter = ProjectFilter::new(files, watches, self.mount_points.clone());
        let pool = self.pool.clone();
        Box::pin(async move {
            job(pool
                .run(move || ingest::ingest(&shared, &filter, &message.paths))
                .await)
        })
    }
}

impl Handler<PinRoot> for ChunkStore {
    type Result = ResponseFuture<Result<(), BatchError>>;

    fn handle(&mut self, message: PinRoot, _: &mut Self::Context) -> Self::Result {
        let (shared, pool) = (self.shared.clone(), self.pool.clone());
        Box::pin(async move { job(pool.run(move || pins::pin(&shared, &message)).await) })
    }
}

/// Flattens the outcome of a job: a job that panicked is an error like another.
pub(crate) fn job<T>(
    outcome: Result<Result<T, BatchError>, hd_supervision::JobError>,
) -> Result<T, BatchError> {
    outcome.unwrap_or_else(|error| Err(BatchError::new("internal", error)))
}
