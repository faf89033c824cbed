//! What an instance keeps from being collected.

use std::time::{SystemTime, UNIX_EPOCH};

use hd_dag::Rooted;
use hd_store::{Link, NodeKind, RefRecord};

use crate::base::Base;
use crate::messages::{BatchError, PinRoot};
use crate::shared::Shared;
use crate::step_runner::kept::KeptStates;

/// Makes a root durable and writes the instance's reference. Blocks.
pub fn pin(shared: &Shared, pin: &PinRoot) -> Result<(), BatchError> {
    let failed = |e: hd_store::Error| BatchError::new("store", e);
    let mut writer = shared.store.writer().map_err(failed)?;
    shared.commit(&mut writer)?;
    let paths = &shared.settings.paths;
    let mut links = vec![Link::Node(NodeKind::Node, pin.root)];
    let mut trees = vec![pin.project];
    if let Base::Image(image) = &*pin.base {
        trees.push(image.rooted);
    }
    if let Some(outcome) = &pin.outcome {
        trees.extend([outcome.view, outcome.lower]);
        trees.extend(outcome.outputs.iter().copied());
    }
    trees.extend(KeptStates::load(paths).contents());
    links.extend(trees.into_iter().flat_map(links_of));
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let record = RefRecord {
        links,
        project: shared.settings.project_dir.display().to_string(),
        at_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
    };
    // The writer lives until the reference stands, so that no collection comes between.
    shared
        .store
        .put_ref(&format!("instance-{}", paths.id()), &record)
        .map_err(failed)?;
    drop(writer);
    Ok(())
}

fn links_of(rooted: Rooted) -> [Link; 2] {
    [
        Link::Node(NodeKind::Tree, rooted.tree),
        Link::Node(NodeKind::Times, rooted.times),
    ]
}
