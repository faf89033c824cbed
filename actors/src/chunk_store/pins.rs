//! What an instance keeps from being collected.

use hd_store::scan::note;
use hd_store::{Link, NodeKind, RefRecord};

use crate::messages::{BatchError, PinRoot};
use crate::session::{links_of, unix_ms};
use crate::shared::Shared;
use crate::step_runner::kept::KeptStates;
use crate::unchanged::Record;

/// A reference is not written again within this time only to say when it was used.
const SAME_USE_MS: u64 = 3_600_000;

/// Makes a root durable and writes the instance's reference. Blocks.
pub fn pin(shared: &Shared, pin: &PinRoot) -> Result<(), BatchError> {
    let failed = |e: hd_store::Error| BatchError::new("store", e);
    let paths = &shared.settings.paths;
    let mut links = vec![Link::Node(NodeKind::Node, pin.root)];
    let mut trees = vec![pin.project.rooted];
    trees.extend(pin.base.images().map(|image| image.rooted));
    if let Some(outcome) = &pin.outcome {
        trees.extend([outcome.view, outcome.lower]);
        trees.extend(outcome.outputs.iter().copied());
    }
    links.extend(trees.into_iter().flat_map(links_of));
    // One that is gone is nothing to keep.
    let (kept, _) = KeptStates::whole(shared)?;
    links.extend(kept.links());
    let record = RefRecord {
        links,
        project: shared.settings.project_dir.display().to_string(),
        at_unix_ms: unix_ms(),
    };
    let name = paths.reference();
    let stands = is_pinned(shared, &name, &record);
    // What a reference leads to was made durable before it was written.
    if !stands || shared.trees.has_new() {
        let mut writer = shared.store.writer().map_err(failed)?;
        shared.commit_with_contents(&mut writer)?;
        // The writer lives until the reference stands, so that no collection comes between.
        if !stands {
            shared.store.put_ref(&name, &record).map_err(failed)?;
        }
    }
    shared.contents.durable()?;
    if let Some(stamp) = &pin.saved {
        note(&paths.scan(), stamp, &pin.project.encode()).map_err(failed)?;
    }
    let outcome = pin.outcome.as_deref();
    let record = outcome.and_then(|outcome| Record::of(pin.root, outcome));
    if let Some(Err(error)) = record.map(|record| record.save(paths)) {
        tracing::warn!(%error, "the next command works out anew what the steps came to");
    }
    Ok(())
}

/// Whether the reference says just this and was written not long ago.
fn is_pinned(shared: &Shared, name: &str, record: &RefRecord) -> bool {
    // One that cannot be read is written anew.
    let stands = shared.store.get_ref(name).ok().flatten();
    stands.is_some_and(|stands| {
        let age_ms = record.at_unix_ms.checked_sub(stands.at_unix_ms);
        stands.links == record.links
            && stands.project == record.project
            && age_ms.is_some_and(|age| age < SAME_USE_MS)
    })
}
