//! The look.

use std::sync::Arc;
use std::time::Instant;

use hd_dag::{Rooted, StepResult};

use super::record::Record;
use crate::base::Bases;
use crate::chunk_store::filter::ProjectFilter;
use crate::chunk_store::{ingest, pins};
use crate::dag_engine::project::advance;
use crate::dag_engine::root::environment;
use crate::events::Event;
use crate::messages::{BatchError, Found, Ingested, Origin, Paths, PinRoot, PrepareView};
use crate::model::declared::Declared;
use crate::model::project_tree::ProjectTree;
use crate::model::report::{StepOutcome, StepReport};
use crate::model::state::StateBoard;
use crate::mount_server::mount_points::MountPoints;
use crate::oci_fetcher::image;
use crate::session::AtWork;
use crate::shared::Shared;
use crate::step_runner::chain::{self, ChainOutcome};
use crate::step_runner::reason;
use crate::step_runner::traces::StepTraces;
use crate::step_runner::wanted::Wanted;
use crate::step_runner::world::Worlds;

/// Tells whether nothing has changed since the last outcome, or nothing that a step could have seen, for there is none;
/// then what that comes to is told, pinned and published.
///
/// Whatever fails here is for the actors to meet, and to say. Blocks.
pub fn look(shared: &Arc<Shared>, state: &StateBoard) -> bool {
    let Some(record) = Record::load(&shared.settings.paths) else {
        return false;
    };
    let found = at_work(shared, &record, state);
    if let Err(error) = &found {
        tracing::debug!(%error, "whether anything has changed could not be seen");
    }
    found.unwrap_or(false)
}

fn at_work(shared: &Arc<Shared>, record: &Record, state: &StateBoard) -> Result<bool, BatchError> {
    let work = shared.session.work()?;
    let epoch = shared.store.epoch();
    if epoch.map_err(|e| BatchError::new("store", e))? != record.basis.epoch {
        return Ok(false);
    }
    let declared = shared.declared();
    let Some(bases) = image::remembered(shared, &declared.images())? else {
        return Ok(false);
    };
    let declared = (*declared).clone().completed(&bases)?;
    let points = MountPoints::beside(&shared.settings);
    let files = declared.project.file_filter();
    let filter = ProjectFilter::new(files, points);
    let looked = ingest::ingest(shared, &filter, &Paths::Rescan)?;
    let now = Now {
        shared,
        record,
        bases,
        declared,
        work,
    };
    match now.stands(&looked) {
        Ok(Some(still)) => now.publish(looked, still, state).map(|()| true),
        none => {
            shared.first_look.put(looked, now.work);
            none.map(|_| false)
        }
    }
}

/// What is to be compared with the record.
struct Now<'a> {
    shared: &'a Arc<Shared>,
    record: &'a Record,
    bases: Bases,
    declared: Declared,
    work: Arc<AtWork>,
}

/// What was found to be as it was.
struct Still {
    project: ProjectTree,
    outcome: ChainOutcome,
    traces: StepTraces,
}

impl Now<'_> {
    fn stands(&self, looked: &Ingested) -> Result<Option<Still>, BatchError> {
        // A project that is read anew as a whole is not worth a second computation of its tree.
        let Found::Since(..) = looked.found else {
            return Ok(None);
        };
        let began = Instant::now();
        let advanced = advance(&*self.shared.trees, None, &looked.found);
        let project = advanced.map_err(|e| BatchError::new("store", e))?.project;
        let worlds = Worlds::of(self.shared, &self.declared, &self.bases)?;
        let (wanted, basis) = (&self.declared.steps, &self.record.basis);
        if wanted.is_empty() {
            return self.without_steps(&worlds, project);
        }
        let results = basis.stands(self.shared, &worlds, wanted, project.rooted)?;
        let composed = [self.record.view, self.record.lower];
        let whole = |results: &Vec<StepResult>| self.are_there(outputs(results), composed);
        Ok(results.filter(whole).map(|results| {
            let ms = began.elapsed().as_secs_f64() * 1000.0;
            let workdir = worlds.environment.plan.workdir_path.clone();
            let named = wanted.iter().map(|step| step.name.clone());
            let traces = named.zip(results.iter().map(|result| result.trace));
            Still {
                project,
                traces: StepTraces {
                    workdir: workdir.to_string(),
                    traces: traces.collect(),
                },
                outcome: ChainOutcome {
                    steps: reports(wanted, ms),
                    view: self.record.view,
                    lower: self.record.lower,
                    project: project.rooted,
                    outputs: outputs(&results),
                    workdir,
                    failure: None,
                    basis: Some(basis.clone()),
                },
            }
        }))
    }

    /// Works out what a project without steps comes to: that follows from it alone, whatever it was.
    fn without_steps(
        &self,
        worlds: &Worlds<'_>,
        project: ProjectTree,
    ) -> Result<Option<Still>, BatchError> {
        let epoch = self.record.basis.epoch;
        let outcome = chain::without_steps(self.shared, worlds, project.rooted, epoch)?;
        let is_as_it_was = outcome.basis.as_ref() == Some(&self.record.basis);
        let composed = is_as_it_was.then_some([outcome.view, outcome.lower]);
        let whole = self.are_there(Vec::new(), composed.into_iter().flatten());
        Ok(whole.then(|| Still {
            project,
            traces: StepTraces {
                workdir: outcome.workdir.to_string(),
                traces: Default::default(),
            },
            outcome,
        }))
    }

    /// Looks for the top of each tree. The epoch says that nothing was removed by hd; of a disk that
    /// lost a file this is all that shows without a walk.
    fn are_there(&self, outputs: Vec<Rooted>, composed: impl IntoIterator<Item = Rooted>) -> bool {
        let bases = self.bases.images().map(|image| image.rooted);
        let all = outputs.into_iter().chain(bases).chain(composed);
        let ids = all.flat_map(|Rooted { tree, times }| [tree, times]);
        let mut ids = ids.chain([self.record.root]);
        let none = Rooted::empty();
        let is_there = |id| self.shared.store.contains(&id).unwrap_or(false);
        ids.all(|id| id == none.tree || id == none.times || is_there(id))
    }

    /// Does what the actors would have done once the steps were done.
    fn publish(self, looked: Ingested, still: Still, state: &StateBoard) -> Result<(), BatchError> {
        let (shared, declared) = (self.shared, Arc::new(self.declared));
        // With what images say, as whoever starts something finds it once the actors have worked.
        shared.declare(declared.clone());
        let (wanted, tree) = (&declared.steps, still.project.rooted.tree);
        let (env, project) = (&declared.env, &declared.project);
        let nodes = environment(project, env, &self.bases, wanted, tree);
        let nodes = nodes.map_err(|e| BatchError::new("internal", e))?;
        let root = nodes.root;
        if root != self.record.root {
            let saved = nodes.save(&*shared.trees);
            saved.map_err(|e| BatchError::new("store", e))?;
        }
        let (outcome, base) = (Arc::new(still.outcome), Arc::new(self.bases));
        let pin = PinRoot {
            root,
            outcome: Some(outcome.clone()),
            project: still.project,
            saved: looked.saved,
            base: base.clone(),
            work: self.work,
        };
        pins::pin(shared, &pin)?;
        if let Err(error) = still.traces.save(&shared.settings.paths) {
            tracing::warn!(%error, "`hd why` will not know what the steps observed");
        }
        let what = match root == self.record.root {
            true => "nothing has changed",
            false => "there is no step to run",
        };
        tracing::debug!(%root, "{what}");
        state.update(|state| {
            (state.root, state.view) = (Some(root), Some(outcome.view.tree));
            let size = still.project.size;
            (state.files, state.bytes) = (size.files, size.bytes);
            state.steps.clone_from(&outcome.steps);
        });
        let steps = outcome.steps.iter().cloned().map(Event::StepDone);
        let notes = looked.notes.into_iter().map(Event::Note);
        notes
            .chain(steps)
            .for_each(|event| shared.events.tell(event));
        let origin = Origin {
            batch: 0,
            seen_at: shared.settings.started,
        };
        // Nobody else sets it: this runtime has no conductor.
        let _ = shared.built.set(PrepareView {
            main: None,
            origin,
            declared,
            base,
            project: outcome.project,
            outcome,
        });
        Ok(())
    }
}

/// Says of each step that it was kept; all were looked at together.
fn reports(wanted: &[Wanted], ms: f64) -> Vec<StepReport> {
    let report = |step: &Wanted| StepReport {
        name: step.name.clone(),
        slug: step.slug.clone(),
        command: step.command.clone(),
        result: StepOutcome::Kept,
        ms: ms / wanted.len() as f64,
        reason: reason::KEPT.to_owned(),
    };
    wanted.iter().map(report).collect()
}

fn outputs(results: &[StepResult]) -> Vec<Rooted> {
    results.iter().map(|result| result.output).collect()
}
