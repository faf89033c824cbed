//! What the outcome of a chain follows from, and whether all of that is as it was.
//!
//! A chain in which every step has a valid result is a pure function of the project tree, the
//! bases, what is declared of each step and the results that are stored, as long as nothing is
//! removed from the store; beside that only observations of the host count. So the outcome need not
//! be worked out again to be known: these are compared, and the host is looked at.

use std::collections::BTreeMap;

use hd_dag::trace::check_host;
use hd_dag::{Rooted, StepResult, TreePath};
use hd_projection::world::CompositeWorld;
use hd_store::{HistoryEntry, Id};
use serde::{Deserialize, Serialize};

use super::hit::CANDIDATES_MAX;
use super::run::{StepRun, view_of};
use super::wanted::Wanted;
use super::world::{World, Worlds};
use crate::base::Base;
use crate::messages::BatchError;
use crate::shared::Shared;

/// What an outcome follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// Epoch of the store before the chain began: nothing was removed, or found damaged, while it is
    /// this.
    pub epoch: u64,
    /// Digest of project, bases and what is declared.
    pub inputs: Id,
    /// What each step got its output from, in order.
    pub chosen: Vec<Chosen>,
}

/// Where the output of a step came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The key that its results are stored under.
    pub key: Id,
    /// Digest of the valid result and of all newer ones.
    pub results: Id,
    /// How many those are.
    pub count: usize,
    /// The tree it stands on.
    pub below: Rooted,
}

impl Chosen {
    /// Notes the last of `entries` as valid; the others are newer and were not.
    pub(super) fn last_of(key: Id, entries: &[HistoryEntry], below: Rooted) -> Self {
        let payloads = entries.iter().map(|entry| &*entry.payload);
        Self {
            key,
            results: digest(payloads),
            count: entries.len(),
            below,
        }
    }

    /// Notes a result that was stored just now.
    pub(super) fn newest(key: Id, payload: &[u8], below: Rooted) -> Self {
        Self {
            key,
            results: digest([payload].into_iter()),
            count: 1,
            below,
        }
    }
}

fn digest<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Id {
    let ids: Vec<u8> = payloads
        .flat_map(|payload| *Id::of(payload).as_bytes())
        .collect();
    Id::derive("hd 2026 chosen results v1", &ids)
}

/// All that the trees and keys of a chain are computed from.
#[derive(Serialize)]
struct Inputs<'a> {
    project: Rooted,
    worlds: Vec<OfWorld<'a>>,
    steps: Vec<OfStep<'a>>,
}

#[derive(Serialize)]
struct OfWorld<'a> {
    stage: Option<&'a str>,
    image: Option<Rooted>,
    /// What of the host is in the tree, and what hides what.
    links: &'a [(String, Vec<u8>)],
    grafts: Vec<String>,
    needed: Vec<String>,
    user: Option<&'a str>,
}

#[derive(Serialize)]
struct OfStep<'a> {
    /// All that is declared, but for kept directories: they are in the trees.
    key: Id,
    stage: Option<&'a str>,
    from: &'a [String],
    user: Option<&'a str>,
    upstream: &'a [usize],
    seen: &'a [Vec<usize>],
}

/// Digests what trees and keys are computed from; `None` when something else plays a part.
pub(super) fn inputs(worlds: &Worlds<'_>, wanted: &[Wanted], project: Rooted) -> Option<Id> {
    let steps = wanted.iter().map(|step| of_step(worlds.world(step), step));
    let inputs = Inputs {
        project,
        worlds: worlds.all().map(of_world).collect(),
        steps: steps.collect::<Option<_>>()?,
    };
    let bytes = serde_json::to_vec(&inputs).ok()?;
    Some(Id::derive("hd 2026 inputs of a chain v2", &bytes))
}

fn of_world<'a>((stage, world): (Option<&'a str>, &'a World<'_>)) -> OfWorld<'a> {
    let needed = world.plan.needed();
    let paths = [&needed.workdir, &needed.home];
    let links = match world.base {
        Base::Host(host) => &*host.links,
        Base::Image(_) => &[],
    };
    let grafts = world.base.grafts();
    OfWorld {
        stage,
        image: world.base.tree(),
        links,
        grafts: grafts.iter().map(|graft| graft.at.to_string()).collect(),
        needed: paths
            .into_iter()
            .chain(&needed.caches)
            .map(TreePath::to_string)
            .collect(),
        user: world.user(),
    }
}

fn of_step<'a>(world: &World<'_>, step: &'a Wanted) -> Option<OfStep<'a>> {
    let options = &step.options;
    // A user of this machine is looked up there.
    let is_of_host = options.user.is_some() && !world.base.is_image();
    (!is_of_host).then(|| OfStep {
        key: world.plan.key(step, &BTreeMap::new()).id(),
        stage: options.stage.as_deref(),
        from: &options.from,
        user: options.user.as_deref(),
        upstream: &step.upstream,
        seen: &step.seen,
    })
}

impl Basis {
    /// Gives the results of all steps in order if the chain would come to the same outcome.
    ///
    /// The store must be held. The epoch is for the caller to compare, before anything else.
    pub fn stands(
        &self,
        shared: &Shared,
        worlds: &Worlds<'_>,
        wanted: &[Wanted],
        project: Rooted,
    ) -> Result<Option<Vec<StepResult>>, BatchError> {
        let same = inputs(worlds, wanted, project) == Some(self.inputs);
        if !same || self.chosen.len() != wanted.len() {
            return Ok(None);
        }
        let mut results = Vec::new();
        for (chosen, step) in self.chosen.iter().zip(wanted) {
            match still_valid(shared, worlds, chosen, step)? {
                Some(result) => results.push(result),
                None => return Ok(None),
            }
        }
        Ok(Some(results))
    }
}

/// Gives the result that was chosen, if it is still the one to choose and the host is as it was.
fn still_valid(
    shared: &Shared,
    worlds: &Worlds<'_>,
    chosen: &Chosen,
    step: &Wanted,
) -> Result<Option<StepResult>, BatchError> {
    let store = |e: hd_store::Error| BatchError::new("store", e);
    let history = shared.store.history(&chosen.key).map_err(store)?;
    let newest = history.get(..chosen.count.min(CANDIDATES_MAX));
    let entries = newest.unwrap_or_default();
    let (Some(entry), now) = (
        entries.last(),
        Chosen::last_of(chosen.key, entries, chosen.below),
    ) else {
        return Ok(None);
    };
    if now != *chosen {
        return Ok(None);
    }
    let Ok(result) = StepResult::decode(&entry.payload) else {
        return Ok(None);
    };
    if result.host && !host_agrees(shared, worlds, &result, (chosen.below, step))? {
        return Ok(None);
    }
    shared.store.note_use(&chosen.key, entry);
    Ok(Some(result))
}

/// Lets the worlds know what of the host a chosen result depends on, and whether it is as it was.
pub(super) fn look_at_host(
    shared: &Shared,
    worlds: &Worlds<'_>,
    chosen: &Chosen,
    step: &Wanted,
) -> Result<(), BatchError> {
    let store = |e: hd_store::Error| BatchError::new("store", e);
    let history = shared.store.history(&chosen.key).map_err(store)?;
    let entry = chosen.count.checked_sub(1).and_then(|at| history.get(at));
    let result = entry.and_then(|entry| StepResult::decode(&entry.payload).ok());
    if let Some(result) = result.filter(|result| result.host)
        && host_agrees(shared, worlds, &result, (chosen.below, step))?
    {
        worlds.host.note_agreed(result.trace);
    }
    Ok(())
}

fn host_agrees(
    shared: &Shared,
    worlds: &Worlds<'_>,
    result: &StepResult,
    (lower, wanted): (Rooted, &Wanted),
) -> Result<bool, BatchError> {
    let world = worlds.world(wanted);
    let step = StepRun {
        wanted,
        plan: &world.plan,
        base: world.base,
        lower,
        kept: Vec::new(),
    };
    let (trace, view) = (shared.trace(&result.trace)?, view_of(shared, &step));
    let now = CompositeWorld::new(&view, &worlds.host);
    let verdict = check_host(&trace, &now).map_err(|e| BatchError::new("store", e))?;
    Ok(verdict.is_valid())
}
