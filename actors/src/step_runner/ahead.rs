//! What the steps of a chain would do on a tree, with nothing run.

use hd_dag::Rooted;

use super::chain::start;
use super::kept::KeptStates;
use super::plan::Plan;
use super::standing::{Stand, Standing};
use super::step::Job;
use super::wanted::Wanted;
use crate::base::Base;
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
    base: &Base,
    plan: &Plan,
    project: Rooted,
    wanted: &[Wanted],
) -> Result<Vec<Expected>, BatchError> {
    let kept = KeptStates::load(&shared.settings.paths);
    let begin = start(shared, base, plan, project)?;
    let mut standing = Standing::new(&*shared.trees, wanted, begin);
    let mut expected: Vec<Expected> = Vec::new();
    for (index, step) in wanted.iter().enumerate() {
        let not_kept = |up: &&usize| expected[**up].would != Would::Keep;
        let (would, reason) = match step.upstream.iter().find(not_kept) {
            Some(up) => (Would::Open, waits_for(&expected[*up])),
            None => {
                let job = Job {
                    shared,
                    work: shared.session.work()?,
                    base,
                    plan,
                    step,
                    project,
                    stand: standing.below(index)?,
                    kept: kept.clone(),
                };
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
    base: &Base,
    plan: &Plan,
    project: Rooted,
    wanted: &[Wanted],
    index: usize,
) -> Result<Stand, BatchError> {
    let kept = KeptStates::load(&shared.settings.paths);
    let begin = start(shared, base, plan, project)?;
    let mut standing = Standing::new(&*shared.trees, wanted, begin);
    for below in &wanted[index].upstream {
        let job = Job {
            shared,
            work: shared.session.work()?,
            base,
            plan,
            step: &wanted[*below],
            project,
            stand: standing.below(*below)?,
            kept: kept.clone(),
        };
        let output = job.would_run()?.map_err(|why| {
            let name = &wanted[*below].name;
            BatchError::new("busy", format!("{name} has to run first: {why}")).at(name.clone())
        })?;
        standing.add(*below, output);
    }
    standing.below(index)
}

fn waits_for(step: &Expected) -> String {
    match step.would {
        Would::Run => format!("{} runs first; what it makes decides", step.name),
        _ => step.reason.clone(),
    }
}
