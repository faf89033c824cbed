//! The hit rule: is a stored result of this key valid for this tree?

use hd_dag::trace::{Miss, Verdict, check, check_host, touched_by};
use hd_dag::{Rooted, StepResult, StoreLinks, TreeError};
use hd_projection::world::CompositeWorld;
use hd_projection::{Composite, HostMemo};
use hd_store::{Id, Link};

use super::basis::Chosen;
use super::made::Output;
use super::traces::StepTraces;
use crate::messages::BatchError;
use crate::shared::Shared;

/// Stored results of one key that are looked at, newest first.
pub(super) const CANDIDATES_MAX: usize = 64;

/// What became of the search.
#[derive(Debug)]
pub enum Search {
    /// This result is valid.
    Valid(Box<StepResult>, Chosen),
    /// None is; the one that the instance stood on last misses by this.
    Missed(Box<Miss>),
    /// None is, and the instance stood on none of them: other projects made them, or they are long past.
    OfOthers,
    /// There is one, but what it made is no longer whole.
    Broken,
    /// There is none.
    Nothing,
}

/// Looks for a valid result of `key` on `lower`.
///
/// The tree the result was made on, if it is still there, reduces the work to the difference;
/// observations of the host are always looked at again, but for what `host` knows from just now.
pub fn search(
    shared: &Shared,
    key: &Id,
    lower: Rooted,
    (view, host): (&Composite, &HostMemo),
) -> Result<Search, BatchError> {
    let world = CompositeWorld::new(view, host);
    let history = shared
        .store
        .history(key)
        .map_err(|e| BatchError::new("store", e))?;
    let (mut misses, mut broken) = (Vec::new(), false);
    for (newer, entry) in history.iter().take(CANDIDATES_MAX).enumerate() {
        let Ok(result) = StepResult::decode(&entry.payload) else {
            continue;
        };
        match miss(shared, &result, lower, (&world, host))? {
            None if !is_whole(shared, &result)? => broken = true,
            None => {
                shared.store.note_use(key, entry);
                let chosen = Chosen::last_of(*key, &history[..=newer], lower);
                return Ok(Search::Valid(Box::new(result), chosen));
            }
            Some(miss) => misses.push((result.trace, miss)),
        }
    }
    if misses.is_empty() {
        return Ok(if broken {
            Search::Broken
        } else {
            Search::Nothing
        });
    }
    let last = StepTraces::load(&shared.settings.paths);
    Ok(miss_of_last(misses, &last))
}

/// Gives the miss of what a step of the instance stood on last. The newest result is another one after
/// an edit was undone, and results of one command are shared by all projects.
fn miss_of_last(misses: Vec<(Id, Miss)>, last: &StepTraces) -> Search {
    let stood_on = |trace: &Id| last.traces.values().any(|known| known == trace);
    let mut misses = misses.into_iter();
    let found = misses.find(|(trace, _)| stood_on(trace));
    found.map_or(Search::OfOthers, |(_, miss)| Search::Missed(Box::new(miss)))
}

/// Damage may have cost a part of what a step made; then the result is of no use.
fn is_whole(shared: &Shared, result: &StepResult) -> Result<bool, BatchError> {
    let trees = Output::of(result).trees();
    let roots: Vec<Link> = trees.flat_map(|tree| hd_dag::links_of(&tree)).collect();
    let whole = shared.store.is_whole(&StoreLinks, &roots);
    whole.map_err(|e| BatchError::new("store", e))
}

fn miss(
    shared: &Shared,
    result: &StepResult,
    lower: Rooted,
    (world, host): (&CompositeWorld<'_>, &HostMemo),
) -> Result<Option<Miss>, BatchError> {
    if result.made_on.tree == lower.tree && !result.host {
        // All it can have observed is in that tree: what exactly need not be read.
        return Ok(None);
    }
    // A result whose trace is lost or damaged proves nothing.
    let Ok(trace) = shared.trace(&result.trace) else {
        return Ok(Some(lost(result)));
    };
    let failed = |e: TreeError| BatchError::new("store", e);
    let host = || match host.agreed(&result.trace) {
        true => Ok(Verdict::Valid),
        false => check_host(&trace, world).map_err(failed),
    };
    let verdict = if result.made_on.tree == lower.tree {
        host()?
    } else {
        match hd_dag::diff(&*shared.trees, &result.made_on.tree, &lower.tree) {
            Ok(changes) => match touched_by(&trace, &changes) {
                Some(mut miss) => {
                    miss.evaluate(world).map_err(failed)?;
                    return Ok(Some(miss));
                }
                None => host()?,
            },
            Err(TreeError::Missing { .. }) => check(&trace, world).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        }
    };
    Ok(match verdict {
        Verdict::Valid => None,
        Verdict::Missed { first, .. } => Some(*first),
    })
}

fn lost(result: &StepResult) -> Miss {
    let old = hd_dag::trace::Observation::List(result.trace);
    Miss {
        path: hd_dag::TreePath::root(),
        old,
        new: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hd_dag::TreePath;
    use hd_dag::trace::{Observation, Seen};

    use super::*;

    fn missing(path: &str) -> Miss {
        Miss {
            path: TreePath::new(path.as_bytes()).unwrap(),
            old: Observation::Lookup(Seen::Absent),
            new: None,
        }
    }

    #[test]
    fn the_miss_of_what_was_used_last_counts_not_that_of_the_newest() {
        let trace = |name: &str| Id::of(name.as_bytes());
        let misses = || {
            vec![
                (trace("newest"), missing("a")),
                (trace("older"), missing("b")),
            ]
        };
        let cases = [("newest", Some("a")), ("older", Some("b")), ("other", None)];
        for (stood_on, expected) in cases {
            let last = StepTraces {
                traces: BTreeMap::from([("step-1".to_owned(), trace(stood_on))]),
                ..StepTraces::default()
            };
            let found = match miss_of_last(misses(), &last) {
                Search::Missed(miss) => Some(miss.path.to_string()),
                _ => None,
            };
            assert_eq!(found.as_deref(), expected, "stood on {stood_on}");
        }
    }
}
