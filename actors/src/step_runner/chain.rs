//! The chain of steps: keep what is valid, run the rest, side by side where they are independent,
//! compose the view.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use hd_dag::{Rooted, TreePath};
use hd_supervision::describe;

use super::basis::{Basis, Chosen, inputs};
use super::cancel::Cancel;
use super::kept::{KeptState, KeptStates};
use super::kept_name::KeptName;
use super::made::{Done, Made, Output};
use super::run::Kept;
use super::schedule::Schedule;
use super::standing::Standing;
use super::step::Job;
use super::traces::StepTraces;
use super::wanted::Wanted;
use super::world::Worlds;
use crate::messages::{BatchError, RunSteps};
use crate::model::report::StepReport;
use crate::session::{AtWork, Needed, unix_ms};
use crate::shared::Shared;

/// Why a chain stopped.
#[derive(Clone, Debug)]
pub struct StepFailure {
    /// `step-1`, …
    pub step: String,
    /// Exit code of the command; 1 or 124 when hd found it wanting or too slow.
    pub code: i32,
    /// What was wrong, when it is not the exit code that tells.
    pub wrong: Option<String>,
    /// Its last lines.
    pub tail: Vec<String>,
    /// File with all of its output.
    pub log: String,
    /// What a person can do about it, where hd knows.
    pub advice: Option<&'static str>,
}

impl StepFailure {
    /// Says in a few words what was wrong.
    pub fn cause(&self) -> String {
        let code = || format!("exit code {}", self.code);
        self.wrong.clone().unwrap_or_else(code)
    }

    /// Says it as an error.
    pub fn error(&self) -> BatchError {
        let message = match &self.wrong {
            Some(wrong) => format!("{} failed: {wrong}", self.step),
            None => format!("{} failed with exit code {}", self.step, self.code),
        };
        BatchError::new("step", message)
            .at(self.step.clone())
            .hint(match self.advice {
                Some(advice) => format!("{advice}; all of its output: {}", self.log),
                None => format!("all of its output: {}", self.log),
            })
    }
}

/// What became of the steps of one generation.
#[derive(Clone, Debug)]
pub struct ChainOutcome {
    /// Every step that came to its end, in order.
    pub steps: Vec<StepReport>,
    /// Base, project and outputs composed; its tree id is what `status` calls the view.
    pub view: Rooted,
    /// Base and outputs without the project: what lies below a live project.
    pub lower: Rooted,
    /// The project that `view` holds.
    pub project: Rooted,
    /// The outputs of the steps, in order.
    pub outputs: Vec<Rooted>,
    /// Working directory inside.
    pub workdir: TreePath,
    /// The step that failed, if one did; then views are of no use.
    pub failure: Option<StepFailure>,
    /// What all this follows from; nothing when a step has no stored result.
    pub basis: Option<Basis>,
}

/// Makes the steps true for a project tree, at most `plan.jobs` of them at a time.
///
/// `None` means that a newer generation took over. After a failure no further step begins; those
/// that run come to their end, and their results are kept.
pub fn make_true(
    shared: &Shared,
    wish: &RunSteps,
    worlds: &Worlds<'_>,
    wanted: &[Wanted],
    cancel: &Cancel,
) -> Result<Option<ChainOutcome>, BatchError> {
    let epoch = shared.store.epoch().ok();
    let starts = worlds.starts(shared, wish.project)?;
    let mut chain = Chain {
        shared,
        worlds,
        work: &wish.work,
        needed: Vec::new(),
        project: wish.project,
        wanted,
        cancel,
        standing: Standing::new(&*shared.trees, wanted, starts),
        reports: vec![None; wanted.len()],
        failures: vec![None; wanted.len()],
        chosen: vec![None; wanted.len()],
        epoch,
        cancelled: false,
        kept: KeptStates::begin(shared)?,
        found: vec![BTreeSet::new(); wanted.len()],
        traces: StepTraces::load(&shared.settings.paths).begin(
            worlds.environment.plan.workdir_path.to_string(),
            wanted.iter().map(|step| &*step.name),
        ),
    };
    chain.run()?;
    if chain.cancelled || (cancel.is_superseded() && !chain.is_complete()) {
        return Ok(None);
    }
    chain.finish().map(Some)
}

/// Gives the outcome of a chain without steps, where the store is at this epoch.
pub fn without_steps(
    shared: &Shared,
    worlds: &Worlds<'_>,
    project: Rooted,
    epoch: u64,
) -> Result<ChainOutcome, BatchError> {
    let starts = worlds.starts(shared, project)?;
    let whole = Standing::new(&*shared.trees, &[], starts).whole()?;
    let basis = inputs(worlds, &[], project).map(|inputs| Basis {
        epoch,
        inputs,
        chosen: Vec::new(),
    });
    Ok(ChainOutcome {
        steps: Vec::new(),
        view: whole.view,
        lower: whole.lower,
        project,
        outputs: Vec::new(),
        workdir: worlds.environment.plan.workdir_path.clone(),
        failure: None,
        basis,
    })
}

/// What became of a step, and the work that found it: over only once the chain is at work again.
type Answer = (usize, Result<Made, BatchError>, Arc<AtWork>);

struct Chain<'a> {
    shared: &'a Shared,
    worlds: &'a Worlds<'a>,
    /// The work that all this is found in; rests while only the jobs work.
    work: &'a AtWork,
    /// The outputs, meanwhile.
    needed: Vec<Needed>,
    project: Rooted,
    wanted: &'a [Wanted],
    cancel: &'a Cancel,
    standing: Standing<'a>,
    reports: Vec<Option<StepReport>>,
    failures: Vec<Option<StepFailure>>,
    chosen: Vec<Option<Chosen>>,
    /// That of the store before anything was looked at.
    epoch: Option<u64>,
    cancelled: bool,
    kept: KeptStates,
    /// What was kept when each step began.
    found: Vec<BTreeSet<KeptName>>,
    traces: StepTraces,
}

impl<'a> Chain<'a> {
    fn run(&mut self) -> Result<(), BatchError> {
        let (answer, answers) = channel();
        std::thread::scope(|scope| {
            let outcome = self.drive(scope, &answer, &answers);
            if outcome.is_err() {
                // The scope waits for those that still run.
                self.cancel.kill();
            }
            outcome
        })
    }

    fn drive<'s>(
        &mut self,
        scope: &'s Scope<'s, '_>,
        answer: &Sender<Answer>,
        answers: &Receiver<Answer>,
    ) -> Result<(), BatchError>
    where
        'a: 's,
    {
        let mut schedule = Schedule::new(self.wanted, self.worlds.environment.plan.jobs);
        loop {
            let mut begun = Vec::new();
            while self.may_go_on()
                && let Some(index) = schedule.begin()
            {
                begun.push((index, self.job(index)?));
            }
            match (begun.pop(), schedule.running()) {
                (None, 0) => return Ok(()),
                // Alone, a step needs no thread of its own.
                (Some((index, job)), 1) => {
                    let made = self.work.rest(|| guarded(&job, self.cancel))?;
                    schedule.done(index);
                    self.done(index, made?)?;
                    continue;
                }
                (last, _) => begun.extend(last),
            }
            for (index, job) in begun {
                let (answer, cancel, work) = (answer.clone(), self.cancel, job.work.clone());
                let run = move || {
                    // Nobody listens any more only when the chain has ended with an error.
                    let _ = answer.send((index, guarded(&job, cancel), work));
                };
                let named = std::thread::Builder::new().name(self.wanted[index].name.clone());
                named
                    .spawn_scoped(scope, run)
                    .map_err(|e| BatchError::new("io", format!("cannot start a thread: {e}")))?;
            }
            if let Ok((index, made, _work)) = self.work.rest(|| answers.recv())? {
                schedule.done(index);
                self.done(index, made?)?;
            }
        }
    }

    fn may_go_on(&self) -> bool {
        !self.cancelled && !self.cancel.is_superseded() && self.failures.iter().all(Option::is_none)
    }

    fn is_complete(&self) -> bool {
        self.reports.iter().all(Option::is_some)
    }

    fn job(&mut self, index: usize) -> Result<Job<'a>, BatchError> {
        self.found[index] = self.kept.names().cloned().collect();
        Job::new(
            self.shared,
            self.worlds,
            &self.wanted[index],
            self.project,
            self.standing.below(index)?,
            self.kept.clone(),
        )
    }

    fn done(&mut self, index: usize, made: Made) -> Result<(), BatchError> {
        let (done, failure) = match made {
            Made::Cancelled => {
                self.cancelled = true;
                return Ok(());
            }
            Made::Failed(done, failure) => (done, Some(failure)),
            Made::Done(done) => (done, None),
        };
        let Done {
            report,
            output,
            trace,
            kept,
            seen,
            chosen,
        } = done;
        // One that failed, or of which nothing can be kept, is still to be run where that was asked for.
        if chosen.is_some() {
            self.cancel.ended(&self.wanted[index]);
        }
        self.reports[index] = Some(report);
        self.failures[index] = failure;
        self.chosen[index] = chosen;
        if let Some(output) = output {
            self.standing.add(index, output);
        }
        let contents = kept.iter().map(|kept| kept.content);
        let stays: Vec<Rooted> = contents
            .chain(output.into_iter().flat_map(Output::trees))
            .chain([seen])
            .collect();
        self.needed.push(self.shared.session.need(&stays));
        if let Some(trace) = trace {
            let name = self.wanted[index].name.clone();
            self.traces.traces.insert(name, trace);
        }
        if kept.is_empty() {
            return Ok(());
        }
        // Somebody may have wiped others meanwhile (`hd cache rm`), or these: then what comes of them goes, too.
        let now = KeptStates::load(&self.shared.settings.paths);
        let is_wiped = |name: &KeptName| self.found[index].contains(name) && !now.has(name);
        let kept: Vec<Kept> = kept
            .into_iter()
            .filter(|kept| !is_wiped(&kept.name))
            .collect();
        self.kept = KeptStates::begin(self.shared)?;
        for kept in kept {
            let state = KeptState {
                upstream: kept.upstream,
                content: kept.content,
                seen,
                parted_unix_ms: None,
            };
            self.kept.set(kept.name, state);
        }
        self.kept.save(&self.shared.settings.paths)
    }

    fn finish(mut self) -> Result<ChainOutcome, BatchError> {
        if let Err(error) = self.traces.save(&self.shared.settings.paths) {
            tracing::warn!(%error, "`hd why` will not know what the steps observed");
        }
        if self.is_complete() && self.failures.iter().all(Option::is_none) {
            self.part()?;
        }
        let whole = self.standing.whole()?;
        let basis = self.basis();
        Ok(ChainOutcome {
            steps: self.reports.into_iter().flatten().collect(),
            view: whole.view,
            lower: whole.lower,
            project: self.project,
            outputs: self.standing.outputs(),
            workdir: self.worlds.environment.plan.workdir_path.clone(),
            failure: self.failures.into_iter().flatten().next(),
            basis,
        })
    }

    /// Forgets what steps kept that are no more.
    fn part(&mut self) -> Result<(), BatchError> {
        let cache = &self.worlds.environment.plan.cache;
        let of = |step| cache.iter().map(move |dir| KeptName::of_dir(step, dir));
        let wanted: BTreeSet<KeptName> = self.wanted.iter().flat_map(of).collect();
        let now = unix_ms();
        if !self.kept.part(&wanted, now) {
            return Ok(());
        }
        // Somebody may have wiped another one meanwhile, as above.
        self.kept = KeptStates::begin(self.shared)?;
        self.kept.part(&wanted, now);
        self.kept.save(&self.shared.settings.paths)
    }

    fn basis(&self) -> Option<Basis> {
        Some(Basis {
            epoch: self.epoch?,
            inputs: inputs(self.worlds, self.wanted, self.project)?,
            chosen: self.chosen.iter().copied().collect::<Option<_>>()?,
        })
    }
}

/// Makes a step true; a panic is an error like another, lest nobody hears of its end.
fn guarded(job: &Job<'_>, cancel: &Cancel) -> Result<Made, BatchError> {
    let made = catch_unwind(AssertUnwindSafe(|| job.make(cancel)));
    made.unwrap_or_else(|panic| {
        let why = describe(&*panic);
        Err(BatchError::new(
            "internal",
            format!("the job of a step panicked: {why}"),
        ))
    })
}
