//! What the steps of a chain would do on a tree, with nothing run.

use std::collections::BTreeSet;

use hd_dag::Rooted;

use super::kept::KeptStates;
use super::standing::{Stand, Standing};
use super::step::Job;
use super::wanted::Wanted;
use super::world::Worlds;
use crate::messages::BatchError;
use crate::shared::Shared;

/// What a step would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Would {
    /// A stored result is valid.
    Keep,
    /// Its command would run.
    Run,
    /// A step below would run, and what that makes decides.
    Open,
}

/// A step and what it would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// `step-1`, …
    pub name: String,
    /// Short name.
    pub slug: String,
    /// The command.
    pub command: String,
    /// What it would do.
    pub would: Would,
    /// Why.
    pub reason: String,
}

/// Looks at each step in order.
pub fn look_ahead(
    shared: &Shared,
    worlds: &Worlds<'_>,
    project: Rooted,
    wanted: &[Wanted],
) -> Result<Vec<Expected>, BatchError> {
    let (kept, _) = KeptStates::whole(shared)?;
    let starts = worlds.starts(shared, project)?;
    let mut standing = Standing::new(&*shared.trees, wanted, starts);
    let mut expected: Vec<Expected> = Vec::new();
    for (index, step) in wanted.iter().enumerate() {
        let not_kept = |up: &usize| expected[*up].would != Would::Keep;
        let (would, reason) = match step.after().find(not_kept) {
            Some(up) => (Would::Open, waits_for(&expected[up])),
            None => {
                let (stand, kept) = (standing.below(index)?, kept.clone());
                let job = Job::new(shared, worlds, step, project, stand, kept)?;
                match job.would_run()? {
                    Ok(output) => {
                        standing.add(index, output);
                        (Would::Keep, super::reason::KEPT.to_owned())
                    }
                    Err(reason) => (Would::Run, reason),
                }
            }
        };
        expected.push(Expected {
            name: step.name.clone(),
            slug: step.slug.clone(),
            command: step.command.clone(),
            would,
            reason,
        });
    }
    Ok(expected)
}

/// Gives what a step stands on, given that the steps below it are true.
pub(super) fn true_below(
    shared: &Shared,
    worlds: &Worlds<'_>,
    project: Rooted,
    wanted: &[Wanted],
    index: usize,
) -> Result<Stand, BatchError> {
    let (kept, _) = KeptStates::whole(shared)?;
    let starts = worlds.starts(shared, project)?;
    let mut standing = Standing::new(&*shared.trees, wanted, starts);
    for below in all_below(wanted, index) {
        let (step, stand) = (&wanted[below], standing.below(below)?);
        let job = Job::new(shared, worlds, step, project, stand, kept.clone())?;
        let output = job.would_run()?.map_err(|why| {
            let name = &step.name;
            BatchError::new("busy", format!("{name} has to run first: {why}")).at(name.clone())
        })?;
        standing.add(below, output);
    }
    standing.below(index)
}

/// All steps that have to be true before one, ascending.
fn all_below(wanted: &[Wanted], index: usize) -> BTreeSet<usize> {
    let (mut below, mut open) = (BTreeSet::new(), vec![index]);
    while let Some(at) = open.pop() {
        open.extend(wanted[at].after().filter(|up| below.insert(*up)));
    }
    below
}

fn waits_for(step: &Expected) -> String {
    match step.would {
        Would::Run => format!("{} runs first; what it makes decides", step.name),
        _ => step.reason.clone(),
    }
}
