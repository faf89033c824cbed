//! What the conductor asks of others, one question after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hd_supervision::actix::Message;
use hd_supervision::{AskError, Port};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::knows::Edges;
use crate::base::Bases;
use crate::messages::{
    Applied, ApplyEdits, BatchError, IngestPaths, Origin, Paths, PinRoot, PrepareView,
};
use crate::mount_server::views::Views;

/// How long the engine may take for one batch; a whole scan of a huge project is in it.
pub(super) const ENGINE_WITHIN: Duration = Duration::from_secs(600);
/// How long the tree may take to restart the conductor together with a part of the engine.
const RESTARTED_WITHIN: Duration = Duration::from_secs(10);
/// Pause before an actor that is down is asked again.
pub(super) const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Whose turn it is, first come, first served; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<()>>);

/// Reads paths into the store and brings the DAG up to them; answers with remarks for the person.
pub(super) async fn ingest_and_apply(
    edges: Edges,
    origin: Origin,
    paths: Paths,
    base: Arc<Bases>,
) -> Result<(Applied, Vec<String>), BatchError> {
    let turns = edges.turns.clone();
    let _turn = turns.0.lock().await;
    let began = Instant::now();
    let wish = IngestPaths { origin, paths };
    let ingested = engine(&edges.ingest, wish).await??;
    let read = began.elapsed();
    let found = ingested.found;
    let wish = ApplyEdits {
        origin,
        found,
        saved: ingested.saved,
        base,
    };
    let applied = engine(&edges.apply, wish).await??;
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
        return engine(&edges.pin, pin).await?;
    }
    // An edit is answered first; the next batch pins again if this one finds no room.
    if let Err(refused) = edges.pin.offer(pin) {
        tracing::warn!(%refused, "the root is not pinned; the next one will be");
    }
    Ok(())
}

/// Has the views for services built; asked again when the actor that builds it was restarted.
pub(super) async fn view(edges: &Edges, wish: PrepareView) -> Result<Views, BatchError> {
    loop {
        match edges.view.ask(wish.clone(), ENGINE_WITHIN).await {
            Err(AskError::Down { .. } | AskError::Died { .. }) => sleep(AGAIN_AFTER).await,
            answer => return answer.map_err(gone)?,
        }
    }
}

/// Asks an actor of the engine. When it dies the conductor, which comes after it in the tree, is
/// restarted too and begins anew: the failure is not its last word, so it waits for its own end.
async fn engine<M: Message + Send + 'static>(
    port: &Port<M>,
    wish: M,
) -> Result<M::Result, BatchError>
where
    M::Result: Send,
{
    let answer = port.ask(wish, ENGINE_WITHIN).await;
    if let Err(AskError::Down { .. } | AskError::Died { .. }) = answer {
        sleep(RESTARTED_WITHIN).await;
    }
    answer.map_err(gone)
}

fn gone(error: AskError) -> BatchError {
    BatchError::new("gone", error)
}
