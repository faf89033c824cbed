//! One step made true: a valid result kept, or the command run and its result stored.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Instant;

use hd_dag::{Rooted, StepResult};
use hd_projection::HostMemo;
use hd_sandbox::{Stdio, TtySize};
use hd_store::{Id, NodeKind};

use super::basis::Chosen;
use super::cancel::Cancel;
use super::chain::StepFailure;
use super::hit::{Search, search};
use super::kept::{KeptStates, Shown};
use super::kept_name::KeptName;
use super::kept_output::{Left, laid};
use super::made::{Done, Made, Output};
use super::plan::Plan;
use super::provider::version_in;
use super::purge::Purge;
use super::run::{Kept, RunDone, Started, StepRun, open, run, view_of};
use super::standing::{Stand, left_in, tree_error};
use super::unsure::Unsure;
use super::wanted::Wanted;
use super::work_dir::WorkDir;
use super::{hidden, inputs, reason};
use crate::base::Base;
use crate::events::Event;
use crate::messages::BatchError;
use crate::model::report::{StepOutcome, StepReport};
use crate::session::{AtWork, Needed, unix_ms};
use crate::shared::Shared;

/// Code of a version check that found another version, as of any failed check.
const WRONG_VERSION: i32 = 1;
/// Code of a step that did not make what it declares.
const NO_OUTPUT: i32 = 1;

/// All that one step needs; made before it begins, so that it can run beside others.
pub(super) struct Job<'a> {
    pub(super) shared: &'a Shared,
    pub(super) base: &'a Base,
    pub(super) plan: Cow<'a, Plan>,
    /// The work it is done in; rests while its command runs.
    pub(super) work: Arc<AtWork>,
    pub(super) step: &'a Wanted,
    /// The project's own tree.
    pub(super) project: Rooted,
    /// What it stands on.
    pub(super) stand: Stand,
    /// What the host was just found to hold, by the checks of the steps before.
    pub(super) host: &'a HostMemo,
    /// Kept directories as the last runs left them.
    pub(super) kept: KeptStates,
}

impl Job<'_> {
    /// Makes the step true.
    pub(super) fn make(&self, cancel: &Cancel) -> Result<Made, BatchError> {
        let began = Instant::now();
        let kept = self.kept()?;
        let key = self.key(&kept);
        let run_of = self.run_of(kept);
        let reason = match self.look(&key, &run_of)? {
            Look::Valid(result, chosen) => {
                let report = self.report(StepOutcome::Kept, began, reason::KEPT.to_owned());
                return Ok(Made::Done(Done {
                    report,
                    output: Some(Output::of(&result)),
                    trace: Some(result.trace),
                    kept: Vec::new(),
                    seen: self.stand.view,
                    chosen: Some(chosen),
                }));
            }
            Look::Run(reason) => reason,
        };
        self.shared.events.tell(Event::StepStarted {
            name: self.step.name.clone(),
            command: self.step.command.clone(),
            reason: reason.clone(),
        });
        let run_of = self.shown(run_of)?;
        let _needed = self.name_needs(&run_of)?;
        let done = run(self.shared, &run_of, &self.work, cancel)?;
        self.host.forget();
        let Some(done) = done else {
            return Ok(Made::Cancelled);
        };
        let done = self.with_kept(done)?;
        hidden::tell(self.shared, &self.plan, &self.step.slug, &done);
        self.tell_undeclared(&done)?;
        self.after(key, done, began, reason)
    }

    /// A command may run for long, and a collection need not wait for it: makes durable all that it
    /// stands on, and names that.
    fn name_needs(&self, run_of: &StepRun<'_>) -> Result<Needed, BatchError> {
        self.shared.flush()?;
        let mut trees = vec![
            self.project,
            self.stand.view,
            self.stand.lower,
            run_of.lower,
        ];
        trees.extend(run_of.kept.iter().map(|kept| kept.content));
        Ok(self.shared.session.need(&trees))
    }

    /// Gives the output of a valid result, else why the command would run. Runs nothing.
    pub(super) fn would_run(&self) -> Result<Result<Output, String>, BatchError> {
        let kept = self.kept()?;
        let key = self.key(&kept);
        let run_of = self.run_of(kept);
        Ok(match self.look(&key, &run_of)? {
            Look::Valid(result, _) => Ok(Output::of(&result)),
            Look::Run(reason) => Err(reason),
        })
    }

    /// Starts a command of a person's in the view the step's own command gets.
    pub(super) fn open(
        &self,
        argv: Vec<OsString>,
        tty: Option<TtySize>,
        stdio: Stdio,
    ) -> Result<(Started, WorkDir, Purge, Needed), BatchError> {
        let run_of = self.shown(self.run_of(self.kept()?))?;
        let needed = self.name_needs(&run_of)?;
        let (started, work, purge) = open(self.shared, &run_of, argv, tty, stdio)?;
        Ok((started, work, purge, needed))
    }

    /// Runs the command and gives its output; stores no result and no kept directory.
    pub(super) fn anew(&self, cancel: &Cancel) -> Result<Result<Rooted, StepFailure>, BatchError> {
        let run_of = self.run_of(self.kept()?);
        let _needed = self.name_needs(&run_of)?;
        let Some(done) = run(self.shared, &run_of, &self.work, cancel)? else {
            return Err(BatchError::new("gone", "the run was cancelled"));
        };
        let done = self.with_kept(done)?;
        Ok(match self.wrong(&done)? {
            Some((code, wrong)) => Err(self.failure(code, wrong, done.tail)),
            None => Ok(done.layer),
        })
    }

    /// Tells what is wrong with a run, if anything: a code, and words where that says too little.
    fn wrong(&self, done: &RunDone) -> Result<Option<(i32, Option<String>)>, BatchError> {
        if done.code != 0 {
            return Ok(Some((done.code, done.killed.clone())));
        }
        let unmet = self.unmet(&done.tail, &done.layer)?;
        Ok(unmet.map(|(code, why)| (code, Some(why))))
    }

    fn run_of(&self, kept: Vec<Kept>) -> StepRun<'_> {
        StepRun {
            wanted: self.step,
            plan: &self.plan,
            base: self.base,
            lower: self.stand.view,
            kept,
        }
    }

    /// The run in the view with the times that its kept directories need.
    fn shown<'a>(&self, run_of: StepRun<'a>) -> Result<StepRun<'a>, BatchError> {
        let names: Vec<KeptName> = run_of.kept.iter().map(|kept| kept.name.clone()).collect();
        let of = Shown {
            view: run_of.lower,
            project: self.project,
            workdir: &self.plan.workdir_path,
        };
        let lower = self
            .kept
            .show(&*self.shared.trees, &names, &of, unix_ms())?;
        Ok(StepRun { lower, ..run_of })
    }

    fn look(&self, key: &Id, run_of: &StepRun<'_>) -> Result<Look, BatchError> {
        if self.step.rerun {
            return Ok(Look::Run("asked to run again".to_owned()));
        }
        let view = view_of(self.shared, run_of);
        Ok(
            match search(self.shared, key, self.stand.view, (&view, self.host))? {
                Search::Valid(result, chosen) => Look::Valid(result, chosen),
                Search::Missed(miss) => Look::Run(reason::missed(&miss, &self.plan.workdir_path)),
                Search::Broken => Look::Run(reason::BROKEN.to_owned()),
                Search::OfOthers => Look::Run(reason::OF_OTHERS.to_owned()),
                Search::Nothing => Look::Run(reason::FIRST.to_owned()),
            },
        )
    }

    fn key(&self, kept: &[Kept]) -> Id {
        let outputs = kept.iter().filter(|kept| kept.is_output);
        let upstream: BTreeMap<_, _> = outputs
            .zip(&self.plan.cache)
            .filter_map(|(kept, dir)| Some((dir.clone(), kept.upstream?)))
            .collect();
        self.plan.key(self.step, &upstream).id()
    }

    /// The kept directories it gets, as it finds them: those of `[build] cache` in their order,
    /// then its named caches.
    fn kept(&self) -> Result<Vec<Kept>, BatchError> {
        let trees = &*self.shared.trees;
        let mut kept = Vec::new();
        for dir in &self.plan.cache {
            let name = KeptName::of_dir(self.step, dir);
            let at = self.plan.workdir_path.join_path(dir);
            let shown = hd_dag::subtree(trees, &self.stand.view, &at).map_err(tree_error)?;
            let upstream = left_in(trees, &self.stand, &at)?;
            let content = self.kept.content(&name, upstream).or(shown);
            kept.push(Kept {
                name,
                at,
                content: content.unwrap_or_else(Rooted::empty),
                upstream,
                is_output: true,
            });
        }
        for cache in &self.plan.caches {
            if !self.step.options.caches.contains(&cache.name) {
                continue;
            }
            let name = KeptName::of_cache(&cache.name);
            kept.push(Kept {
                at: self.plan.cache_place(trees, self.base, &cache.path)?,
                content: self.kept.content(&name, None).unwrap_or_else(Rooted::empty),
                name,
                upstream: None,
                is_output: false,
            });
        }
        Ok(kept)
    }

    fn after(
        &self,
        key: Id,
        done: RunDone,
        began: Instant,
        reason: String,
    ) -> Result<Made, BatchError> {
        let wrong = self.wrong(&done)?;
        let RunDone {
            tail,
            trace,
            layer,
            touched,
            kept,
            seen,
            unsure,
            mut writer,
            ..
        } = done;
        if let Some((code, wrong)) = wrong {
            self.shared.commit(&mut writer)?;
            let failure = self.failure(code, wrong, tail);
            let reason = format!("{}; {reason}", failure.cause());
            let report = self.report(StepOutcome::Failed, began, reason);
            let done = Done {
                report,
                output: None,
                trace: None,
                kept: Unsure::kept(unsure.as_ref(), kept),
                seen,
                chosen: None,
            };
            return Ok(Made::Failed(done, failure));
        }
        let host = trace.on_host().next().is_some();
        let store = |e: hd_store::Error| BatchError::new("store", e);
        let trace = writer.put_node(NodeKind::Trace, &trace.encode());
        let trace = trace.map_err(store)?;
        let mut chosen = None;
        if unsure.is_none() {
            let result = StepResult {
                key,
                trace,
                output: layer,
                touched,
                made_on: self.stand.view,
                log: None,
                made_at_unix_ms: unix_ms(),
                ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                host,
            };
            let payload = result.encode().map_err(|e| BatchError::new("store", e))?;
            writer.append_history(&key, &payload).map_err(store)?;
            chosen = Some(Chosen::newest(key, &payload, self.stand.view));
        }
        self.shared.commit(&mut writer)?;
        let reason = match &unsure {
            None => {
                writer.vouch(&hd_dag::links_of(&layer));
                reason
            }
            Some(why) => format!("{reason}; not stored: {why}"),
        };
        Ok(Made::Done(Done {
            report: self.report(StepOutcome::Ran, began, reason),
            output: Some(Output { layer, touched }),
            trace: Some(trace),
            kept: Unsure::kept(unsure.as_ref(), kept),
            seen,
            chosen,
        }))
    }

    /// Checks what a command that exited with 0 must have brought about: code and sentence if not.
    fn unmet(&self, tail: &[String], layer: &Rooted) -> Result<Option<(i32, String)>, BatchError> {
        let version = self.step.version.as_ref();
        if let Some(Err(why)) = version.map(|range| version_in(range, tail)) {
            return Ok(Some((WRONG_VERSION, why)));
        }
        let outputs = &self.step.options.outputs;
        if outputs.is_empty() {
            return Ok(None);
        }
        let trees = &*self.shared.trees;
        // What stood there before and was left alone is there too.
        let after = hd_dag::compose(trees, &self.stand.view, layer).map_err(tree_error)?;
        for output in outputs {
            let at = self.plan.workdir_path.join_path(output);
            let made = hd_dag::get(trees, &after.tree, &at).map_err(tree_error)?;
            if made.is_none() {
                let why = format!("it did not make its output {output}");
                return Ok(Some((NO_OUTPUT, why)));
            }
        }
        Ok(None)
    }

    /// Kept directories of `[build] cache` are part of what a run left.
    fn with_kept(&self, mut done: RunDone) -> Result<RunDone, BatchError> {
        for kept in done.kept.iter().filter(|kept| kept.is_output) {
            let left = Left {
                at: &kept.at,
                before: kept.upstream,
                content: kept.content,
            };
            let laid = laid(&*self.shared.trees, &done.layer, &self.stand.view, &left);
            done.layer = laid.map_err(tree_error)?;
        }
        Ok(done)
    }

    fn tell_undeclared(&self, done: &RunDone) -> Result<(), BatchError> {
        let workdir = &self.plan.workdir_path;
        let trees = &*self.shared.trees;
        let remark = inputs::remark(trees, self.step, &done.trace, workdir, &self.project);
        if let Some(remark) = remark.map_err(tree_error)? {
            self.shared.events.tell(Event::Note(remark));
        }
        Ok(())
    }

    fn failure(&self, code: i32, wrong: Option<String>, tail: Vec<String>) -> StepFailure {
        let log = self.shared.settings.paths.step_log(&self.step.name);
        let advice = self.plan.ids.advice(&tail);
        StepFailure {
            step: self.step.name.clone(),
            code,
            wrong,
            tail,
            log: log.display().to_string(),
            advice,
        }
    }

    fn report(&self, result: StepOutcome, began: Instant, reason: String) -> StepReport {
        let report = StepReport {
            name: self.step.name.clone(),
            slug: self.step.slug.clone(),
            command: self.step.command.clone(),
            result,
            ms: began.elapsed().as_secs_f64() * 1000.0,
            reason,
        };
        self.shared.events.tell(Event::StepDone(report.clone()));
        report
    }
}

enum Look {
    Valid(Box<StepResult>, Chosen),
    Run(String),
}
