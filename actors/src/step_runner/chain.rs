//! The chain of steps: keep what is valid, run the rest, compose the view.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hd_dag::{Meta, Rooted, StepResult, TreePath};
use hd_store::{Id, NodeKind};

use super::cancel::Cancel;
use super::hidden;
use super::hit::{Search, search};
use super::kept::KeptStates;
use super::plan::Plan;
use super::provider::version_in;
use super::reason;
use super::run::{Kept, RunDone, StepRun, run, view_of};
use super::traces::StepTraces;
use crate::base::{Base, skeleton};
use crate::events::Event;
use crate::messages::BatchError;
use crate::model::report::{StepOutcome, StepReport};
use crate::shared::Shared;

/// Code of a version check that found another version, as of any failed check.
const WRONG_VERSION: i32 = 1;

/// A step to make true.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// `step-1`, …
    pub name: String,
    /// Short name.
    pub slug: String,
    /// The command.
    pub command: String,
    /// Run it even if a result is valid.
    pub rerun: bool,
    /// A range that the version it prints must lie in.
    pub version: Option<String>,
}

/// Why a chain stopped.
#[derive(Clone, Debug)]
pub struct StepFailure {
    /// `step-1`, …
    pub step: String,
    /// Exit code of the command.
    pub code: i32,
    /// Its last lines.
    pub tail: Vec<String>,
    /// File with all of its output.
    pub log: String,
}

impl StepFailure {
    /// Says it as an error.
    pub fn error(&self) -> BatchError {
        BatchError::new(
            "step",
            format!("{} failed with exit code {}", self.step, self.code),
        )
        .at(self.step.clone())
        .hint(format!("all of its output: {}", self.log))
    }
}

/// What became of the steps of one generation.
#[derive(Clone, Debug)]
pub struct ChainOutcome {
    /// Every step that was looked at, in order.
    pub steps: Vec<StepReport>,
    /// Base, project and outputs composed; its tree id is what `status` calls the view.
    pub view: Rooted,
    /// Base and outputs without the project: what lies below a live project.
    pub lower: Rooted,
    /// The outputs of the steps, in order.
    pub outputs: Vec<Rooted>,
    /// Working directory inside.
    pub workdir: TreePath,
    /// The step that failed, if one did; then views are of no use.
    pub failure: Option<StepFailure>,
}

/// Makes the steps true for a project tree.
///
/// `None` means that a newer generation took over.
pub fn make_true(
    shared: &Shared,
    base: &Base,
    plan: &Plan,
    project: Rooted,
    wanted: &[Wanted],
    cancel: &Cancel,
) -> Result<Option<ChainOutcome>, BatchError> {
    let below = skeleton::ensure(
        &*shared.trees,
        base,
        base.tree().unwrap_or_else(Rooted::empty),
        &plan.needed(),
    )
    .map_err(tree_error)?;
    let mut chain = Chain::start(shared, base, plan, below, project)?;
    for step in wanted {
        if cancel.is_superseded() {
            return Ok(None);
        }
        match chain.step(step, cancel)? {
            Next::Go => {}
            Next::Failed(failure) => return Ok(Some(chain.finish(Some(failure)))),
            Next::Cancelled => return Ok(None),
        }
    }
    Ok(Some(chain.finish(None)))
}

enum Next {
    Go,
    Failed(StepFailure),
    Cancelled,
}

struct Chain<'a> {
    shared: &'a Shared,
    base: &'a Base,
    plan: &'a Plan,
    view: Rooted,
    lower: Rooted,
    outputs: Vec<Rooted>,
    steps: Vec<StepReport>,
    /// Kept directories as earlier steps of this chain left them.
    upstream: BTreeMap<TreePath, Id>,
    kept: KeptStates,
    traces: StepTraces,
}

impl<'a> Chain<'a> {
    fn start(
        shared: &'a Shared,
        base: &'a Base,
        plan: &'a Plan,
        below: Rooted,
        project: Rooted,
    ) -> Result<Self, BatchError> {
        let layer = hd_dag::graft(
            &*shared.trees,
            &Rooted::empty(),
            &plan.workdir_path,
            &project,
            &Meta::default_dir(),
            0,
        )
        .map_err(tree_error)?;
        let view = hd_dag::compose(&*shared.trees, &below, &layer).map_err(tree_error)?;
        Ok(Self {
            shared,
            base,
            plan,
            view,
            lower: below,
            outputs: Vec::new(),
            steps: Vec::new(),
            upstream: BTreeMap::new(),
            kept: KeptStates::load(&shared.settings.paths),
            traces: StepTraces {
                workdir: plan.workdir_path.to_string(),
                ..StepTraces::default()
            },
        })
    }

    fn step(&mut self, step: &Wanted, cancel: &Cancel) -> Result<Next, BatchError> {
        let began = Instant::now();
        let key = self.plan.key(&step.command, &self.upstream).id();
        let kept = self.kept_for(step)?;
        let run_of = StepRun {
            name: &step.name,
            command: &step.command,
            plan: self.plan,
            base: self.base,
            lower: self.view,
            kept,
        };
        let reason = match search(self.shared, &key, self.view, &view_of(self.shared, &run_of))? {
            _ if step.rerun => "asked to run again".to_owned(),
            Search::Valid(result) => {
                self.traces.traces.insert(step.name.clone(), result.trace);
                self.add_output(result.output)?;
                self.report(step, StepOutcome::Kept, began, reason::KEPT.to_owned());
                return Ok(Next::Go);
            }
            Search::Missed(miss) => reason::missed(&miss, &self.plan.workdir_path),
            Search::Nothing => reason::FIRST.to_owned(),
        };
        self.shared.events.tell(Event::StepStarted {
            name: step.name.clone(),
            command: step.command.clone(),
            reason: reason.clone(),
        });
        let run_of = StepRun {
            lower: self
                .kept
                .raise(&*self.shared.trees, &step.name, self.view, unix_ms())?,
            ..run_of
        };
        let Some(done) = run(self.shared, &run_of, cancel)? else {
            return Ok(Next::Cancelled);
        };
        hidden::tell(self.shared, self.plan, &step.slug, &done);
        self.after(step, key, done, began, reason)
    }

    fn after(
        &mut self,
        step: &Wanted,
        key: Id,
        done: RunDone,
        began: Instant,
        reason: String,
    ) -> Result<Next, BatchError> {
        let RunDone {
            mut code,
            mut tail,
            trace,
            layer,
            kept,
            stable,
            mut writer,
        } = done;
        if let (0, Some(range)) = (code, &step.version)
            && let Err(why) = version_in(range, &tail)
        {
            tail.push(why);
            code = WRONG_VERSION;
        }
        self.keep(step, &kept)?;
        if code != 0 {
            self.shared.commit(&mut writer)?;
            self.kept.save(&self.shared.settings.paths)?;
            self.report(
                step,
                StepOutcome::Failed,
                began,
                format!("exit code {code}; {reason}"),
            );
            let log = self
                .shared
                .settings
                .paths
                .step_log(&step.name)
                .display()
                .to_string();
            return Ok(Next::Failed(StepFailure {
                step: step.name.clone(),
                code,
                tail,
                log,
            }));
        }
        let output = self.with_kept(layer, &kept)?;
        let store = |e: hd_store::Error| BatchError::new("store", e);
        let trace = writer
            .put_node(NodeKind::Trace, &trace.encode())
            .map_err(store)?;
        let result = StepResult {
            key,
            trace,
            output,
            made_on: self.view,
            log: None,
            made_at_unix_ms: unix_ms(),
            ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        self.traces.traces.insert(step.name.clone(), trace);
        if stable {
            let payload = result.encode().map_err(|e| BatchError::new("store", e))?;
            writer.append_history(&key, &payload).map_err(store)?;
        }
        self.shared.commit(&mut writer)?;
        self.kept.save(&self.shared.settings.paths)?;
        self.add_output(output)?;
        let reason = if stable {
            reason
        } else {
            format!("{reason}; not stored: the host changed while it ran")
        };
        self.report(step, StepOutcome::Ran, began, reason);
        Ok(Next::Go)
    }

    fn kept_for(&self, step: &Wanted) -> Result<Vec<Kept>, BatchError> {
        let mut kept = Vec::new();
        for dir in &self.plan.cache {
            let at = self.plan.workdir_path.join_path(dir);
            let upstream =
                hd_dag::subtree(&*self.shared.trees, &self.view, &at).map_err(tree_error)?;
            let from_chain = self.upstream.get(dir).copied();
            let content = self
                .kept
                .content(&step.name, dir, from_chain)
                .or(upstream)
                .unwrap_or_else(Rooted::empty);
            kept.push(Kept { at, content });
        }
        Ok(kept)
    }

    fn keep(&mut self, step: &Wanted, kept: &[Kept]) -> Result<(), BatchError> {
        for (dir, kept) in self.plan.cache.iter().zip(kept) {
            let from_chain = self.upstream.get(dir).copied();
            self.kept
                .set(&step.name, dir, from_chain, kept.content, self.view);
        }
        Ok(())
    }

    /// Kept directories are part of the output: whole, in place of whatever was there.
    fn with_kept(&self, mut layer: Rooted, kept: &[Kept]) -> Result<Rooted, BatchError> {
        for kept in kept {
            if kept.content.tree == hd_dag::empty_tree() {
                continue;
            }
            layer = hd_dag::graft(
                &*self.shared.trees,
                &layer,
                &kept.at,
                &kept.content,
                &Meta::default_dir(),
                0,
            )
            .map_err(tree_error)?;
        }
        Ok(layer)
    }

    fn add_output(&mut self, output: Rooted) -> Result<(), BatchError> {
        let trees = &*self.shared.trees;
        self.view = hd_dag::compose(trees, &self.view, &output).map_err(tree_error)?;
        self.lower = hd_dag::compose(trees, &self.lower, &output).map_err(tree_error)?;
        self.outputs.push(output);
        for dir in &self.plan.cache {
            let at = self.plan.workdir_path.join_path(dir);
            if let Some(content) = hd_dag::subtree(trees, &self.view, &at).map_err(tree_error)? {
                self.upstream.insert(dir.clone(), content.tree);
            }
        }
        Ok(())
    }

    fn report(&mut self, step: &Wanted, result: StepOutcome, began: Instant, reason: String) {
        let report = StepReport {
            name: step.name.clone(),
            slug: step.slug.clone(),
            command: step.command.clone(),
            result,
            ms: began.elapsed().as_secs_f64() * 1000.0,
            reason,
        };
        self.shared.events.tell(Event::StepDone(report.clone()));
        self.steps.push(report);
    }

    fn finish(self, failure: Option<StepFailure>) -> ChainOutcome {
        if let Err(error) = self.traces.save(&self.shared.settings.paths) {
            tracing::warn!(%error, "`hd why` will not know what the steps observed");
        }
        ChainOutcome {
            steps: self.steps,
            view: self.view,
            lower: self.lower,
            outputs: self.outputs,
            workdir: self.plan.workdir_path.clone(),
            failure,
        }
    }
}

fn tree_error(error: hd_dag::TreeError) -> BatchError {
    BatchError::new("store", error)
}

fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
