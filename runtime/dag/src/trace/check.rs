//! Evaluating every observation of a trace.

use super::{Observation, Observed, Trace, World};
use crate::path::TreePath;
use crate::trees::TreeError;

/// An observation that does not hold any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// Where.
    pub path: TreePath,
    /// What the step observed.
    pub old: Observation,
    /// What it would observe now; none when a listed directory is not there, and for a listing
    /// found by [`touched_by`](super::touched_by), see [`Miss::evaluate`].
    pub new: Option<Observation>,
}

impl Miss {
    /// Fills in what would be observed now.
    pub fn evaluate(&mut self, world: &dyn World) -> Result<(), TreeError> {
        self.new = match self.old {
            Observation::Lookup(_) => Some(Observation::Lookup(world.lookup(&self.path)?)),
            Observation::List(_) => world.list(&self.path)?.map(Observation::List),
        };
        Ok(())
    }
}

/// Whether a trace still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every observation evaluates equal.
    Valid,
    /// Some do not.
    Missed {
        /// The first in the order of paths, lookup before listing.
        first: Box<Miss>,
        /// How many.
        misses: usize,
    },
}

impl Verdict {
    /// Says whether every observation holds.
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid)
    }
}

/// Evaluates a trace against the world as it is now.
pub fn check(trace: &Trace, world: &dyn World) -> Result<Verdict, TreeError> {
    evaluate(trace.iter(), world)
}

/// Evaluates only what was observed on the host's own files, which no diff of trees covers.
pub fn check_host(trace: &Trace, world: &dyn World) -> Result<Verdict, TreeError> {
    evaluate(trace.on_host(), world)
}

fn evaluate<'t>(
    observations: impl Iterator<Item = (&'t TreePath, &'t Observed)>,
    world: &dyn World,
) -> Result<Verdict, TreeError> {
    let mut first = None;
    let mut misses = 0;
    for (path, observed) in observations {
        if let Some(seen) = observed.lookup {
            let now = world.lookup(path)?;
            if now != seen {
                misses += 1;
                first.get_or_insert_with(|| Miss {
                    path: path.clone(),
                    old: Observation::Lookup(seen),
                    new: Some(Observation::Lookup(now)),
                });
            }
        }
        if let Some(digest) = observed.list {
            let now = world.list(path)?;
            if now != Some(digest) {
                misses += 1;
                first.get_or_insert_with(|| Miss {
                    path: path.clone(),
                    old: Observation::List(digest),
                    new: now.map(Observation::List),
                });
            }
        }
    }
    Ok(match first {
        None => Verdict::Valid,
        Some(first) => Verdict::Missed {
            first: Box::new(first),
            misses,
        },
    })
}
