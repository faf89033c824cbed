//! The ChunkStore actor.
//!
//! - **Owns** the right to delete from the store, and the jobs that read the project into it. When
//!   the store is over its limits it collects by itself, once nothing has been pinned for a moment.
//!   What was read is committed a moment later, unless a pin or a step has done that.
//! - **Receives** `IngestPaths`, `PinRoot`.
//! - **Sends** nothing; it answers.
//! - **When full** the asker waits (*Await*): jobs run in a bounded pool.
//! - **After restart** it has lost nothing: the store is on disk, what was read and not committed is kept
//!   beside it, jobs are asked for again.

use std::sync::Arc;
use std::time::Duration;

use hd_supervision::actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, SpawnHandle,
    WrapFuture,
};
use hd_supervision::{Pool, Status};

use super::filter::ProjectFilter;
use super::{collect, ingest, pins};
use crate::events::Event;
use crate::messages::{BatchError, IngestPaths, Ingested, PinRoot};
use crate::mount_server::mount_points::MountPoints;
use crate::shared::Shared;

/// How long nothing has to be pinned before the limits of the store are looked at.
const REST: Duration = Duration::from_secs(2);

/// How long contents wait for the nodes that name them, to be committed with them.
const COMMIT_AFTER: Duration = Duration::from_millis(20);

/// How often it is looked whether others removed something from the store: files that are open here would keep the
/// disk from getting it back.
const LET_GO_EVERY: Duration = Duration::from_secs(10);

/// Reads into the store, pins, collects.
#[derive(Debug)]
pub struct ChunkStore {
    /// Shared handles.
    pub shared: Arc<Shared>,
    /// Where the project is looked at, one look after the other: what is read later is known later.
    pub reading: Pool,
    /// Where other blocking jobs run.
    pub pool: Pool,
    /// Where collections run, which may take long: no edit waits behind one.
    pub collecting: Pool,
    /// The next look at whether the store is over its limits.
    pub due: Option<SpawnHandle>,
    /// Directories hd made in the project.
    pub mount_points: MountPoints,
    /// Where it says what it does.
    pub status: Status,
}

impl Actor for ChunkStore {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.let_go_later(None, ctx);
    }
}

impl Handler<IngestPaths> for ChunkStore {
    type Result = ResponseActFuture<Self, Result<Ingested, BatchError>>;

    fn handle(&mut self, message: IngestPaths, _: &mut Self::Context) -> Self::Result {
        self.status
            .idle(format!("reading batch {}", message.origin.batch));
        let shared = self.shared.clone();
        let declared = shared.declared();
        let files = declared.project.file_filter();
        let filter = ProjectFilter::new(files, self.mount_points.clone());
        let pool = self.reading.clone();
        let look = move || match shared.first_look.take(&message.paths) {
            Some(looked) => Ok(looked),
            None => ingest::ingest(&shared, &filter, &message.paths),
        };
        let looked = async move { job(pool.run(look).await) };
        Box::pin(looked.into_actor(self).map(|looked, this, ctx| {
            this.commit_soon(ctx);
            looked
        }))
    }
}

impl Handler<PinRoot> for ChunkStore {
    type Result = ResponseActFuture<Self, Result<(), BatchError>>;

    fn handle(&mut self, message: PinRoot, _: &mut Self::Context) -> Self::Result {
        let (shared, pool) = (self.shared.clone(), self.pool.clone());
        let pinned = async move { job(pool.run(move || pins::pin(&shared, &message)).await) };
        Box::pin(pinned.into_actor(self).map(|pinned, this, ctx| {
            this.collect_soon(ctx);
            pinned
        }))
    }
}

impl ChunkStore {
    /// Has what was read committed, unless somebody has done that by then; the answer does not wait for the disk.
    fn commit_soon(&self, ctx: &mut Context<Self>) {
        ctx.run_later(COMMIT_AFTER, |this, ctx| {
            let (contents, pool) = (this.shared.contents.clone(), this.pool.clone());
            // Whoever needs it, and whoever reads next, is told why it failed.
            let committed = async move { drop(pool.run(move || contents.durable()).await) };
            ctx.spawn(committed.into_actor(this));
        });
    }

    /// Lets go of removed segments, now and then, if any were removed since the epoch `seen`.
    fn let_go_later(&mut self, seen: Option<u64>, ctx: &mut Context<Self>) {
        ctx.run_later(LET_GO_EVERY, move |this, ctx| {
            let (store, pool) = (this.shared.store.clone(), this.collecting.clone());
            let look = move || {
                let now = store.epoch()?;
                if seen != Some(now) {
                    store.refresh()?;
                }
                Ok::<u64, hd_store::Error>(now)
            };
            let job = async move { pool.run(look).await };
            ctx.spawn(job.into_actor(this).map(move |looked, this, ctx| {
                // What could not be looked at is looked at again.
                let now = looked.ok().and_then(Result::ok);
                this.let_go_later(now.or(seen), ctx);
            }));
        });
    }

    /// Looks after the limits of the store, once edits have come to rest.
    fn collect_soon(&mut self, ctx: &mut Context<Self>) {
        if let Some(before) = self.due.take() {
            ctx.cancel_future(before);
        }
        self.due = Some(ctx.run_later(REST, |this, ctx| {
            let (shared, pool) = (this.shared.clone(), this.collecting.clone());
            let job = async move { pool.run(move || collect::within_limits(&shared)).await };
            // A job that panicked is reported by its pool; the next pin is another occasion.
            ctx.spawn(job.into_actor(this).map(|note, this, _| {
                if let Ok(Some(note)) = note {
                    this.shared.events.tell(Event::Note(note));
                }
            }));
        }));
    }
}

/// Flattens the outcome of a job: a job that panicked is an error like another.
pub(crate) fn job<T>(
    outcome: Result<Result<T, BatchError>, hd_supervision::JobError>,
) -> Result<T, BatchError> {
    outcome.unwrap_or_else(|error| Err(BatchError::new("internal", error)))
}
