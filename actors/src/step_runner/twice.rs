//! A step run twice from nothing, to see whether it makes the same.

use hd_dag::{Change, Rooted, diff};

use super::ahead::true_below;
use super::cancel::Cancel;
use super::chain::StepFailure;
use super::kept::KeptStates;
use super::standing::tree_error;
use super::step::Job;
use super::wanted::Wanted;
use super::world::Worlds;
use crate::messages::BatchError;
use crate::shared::Shared;

/// What two runs of a step made.
#[derive(Clone, Debug)]
pub enum Twice {
    /// Both came to their end: where their outputs differ, sorted by path from the root.
    Made(Vec<Change>),
    /// One of them failed.
    Failed(StepFailure),
}

/// Runs a step twice with empty caches on what it stands on, whose steps must be true; stores no
/// result. Blocks.
pub fn twice(
    shared: &Shared,
    worlds: &Worlds<'_>,
    project: Rooted,
    wanted: &[Wanted],
    index: usize,
) -> Result<Twice, BatchError> {
    let stand = true_below(shared, worlds, project, wanted, index)?;
    let kept = KeptStates::default();
    let job = Job::new(shared, worlds, &wanted[index], project, stand, kept)?;
    let mut made = Vec::new();
    for _ in 0..2 {
        match job.anew(&Cancel::default())? {
            Ok(output) => made.push(output),
            Err(failure) => return Ok(Twice::Failed(failure)),
        }
    }
    let differing = diff(&*shared.trees, &made[0].tree, &made[1].tree).map_err(tree_error)?;
    Ok(Twice::Made(differing))
}
