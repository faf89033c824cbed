//! What the conductor asks of others, one question after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hd_supervision::AskError;

use super::knows::Edges;
use crate::base::Base;
use crate::messages::{
    Applied, ApplyEdits, BatchError, IngestPaths, Origin, Paths, PinRoot, PrepareView,
};
use crate::mount_server::view::ServiceView;

/// How long the engine may take for one batch; a whole scan of a huge project is in it.
pub(super) const ENGINE_WITHIN: Duration = Duration::from_secs(600);

/// Reads paths into the store and brings the DAG up to them; answers with remarks for the person.
pub(super) async fn ingest_and_apply(
    edges: Edges,
    origin: Origin,
    paths: Paths,
    base: Arc<Base>,
) -> Result<(Applied, Vec<String>), BatchError> {
    let began = Instant::now();
    let wish = IngestPaths { origin, paths };
    let ingested = edges
        .ingest
        .ask(wish, ENGINE_WITHIN)
        .await
        .map_err(gone)??;
    let read = began.elapsed();
    let found = ingested.found;
    let wish = ApplyEdits {
        origin,
        found,
        base,
    };
    let applied = edges.apply.ask(wish, ENGINE_WITHIN).await.map_err(gone)??;
    tracing::debug!(
        batch = origin.batch,
        since_event = ?origin.seen_at.elapsed(),
        ?read,
        applied = ?began.elapsed().saturating_sub(read),
        changed = applied.changed.len(),
        "ingested and applied"
    );
    Ok((applied, ingested.notes))
}

/// Keeps a root from being collected; `durable` waits until it survives a power cut.
pub(super) async fn pin(edges: &Edges, pin: PinRoot, durable: bool) -> Result<(), BatchError> {
    if durable {
        return edges.pin.ask(pin, ENGINE_WITHIN).await.map_err(gone)?;
    }
    // An edit is answered first; the next batch pins again if this one finds no room.
    if let Err(refused) = edges.pin.offer(pin) {
        tracing::warn!(%refused, "the root is not pinned; the next one will be");
    }
    Ok(())
}

/// Has the view for services built.
pub(super) async fn view(edges: &Edges, wish: PrepareView) -> Result<Arc<ServiceView>, BatchError> {
    edges.view.ask(wish, ENGINE_WITHIN).await.map_err(gone)?
}

fn gone(error: AskError) -> BatchError {
    BatchError::new("gone", error)
}
