//! Runs one command observed: sandbox, traced lower, write layer, capture.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hd_dag::trace::Trace;
use hd_dag::{Rooted, TreePath};
use hd_projection::{Composite, Recorder, Watch};
use hd_sandbox::{Event as Start, Sandbox, Spec, Stdio, Terminal, TtySize};
use hd_store::{Id, Writer};
use rustix::io::Errno;

use super::agent;
use super::cancel::{Cancel, Running};
use super::harvest::{captured, kept_after};
use super::kept_name::KeptName;
use super::lowers::ShownLowers;
use super::output::pump;
use super::plan::{Plan, grafts};
use super::purge::Purge;
use super::secrets::Secrets;
use super::spec::{kept_mounts, spec, whole_owner};
use super::unsure::Unsure;
use super::view::{KeptMount, LOWER, upper};
use super::wanted::Wanted;
use super::work_dir::WorkDir;
use crate::base::{Base, ROOT_STAGED};
use crate::messages::BatchError;
use crate::model::process_book::Entry;
use crate::session::AtWork;
use crate::shared::Shared;

/// How long a step's view may take to be made.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How often a running step is looked at for a cancel.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Exit code of a step that took too long, as timeout(1) has it.
const TIMED_OUT: i32 = 124;
/// Exit code of a step that wrote a secret down.
const SPILLED: i32 = 1;

/// A kept directory as the step finds it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Which it is.
    pub name: KeptName,
    /// Where it shows, from the root of the view.
    pub at: TreePath,
    /// What it holds.
    pub content: Rooted,
    /// What the steps below left there.
    pub upstream: Option<Id>,
    /// Whether it is part of the step's output.
    pub is_output: bool,
}

/// One command to run.
#[derive(Debug)]
pub struct StepRun<'a> {
    /// What is asked for.
    pub wanted: &'a Wanted,
    /// Facts of the chain.
    pub plan: &'a Plan,
    /// The world below.
    pub base: &'a Base,
    /// The tree so far.
    pub lower: Rooted,
    /// Kept directories.
    pub kept: Vec<Kept>,
}

/// A finished run.
#[derive(Debug)]
pub struct RunDone {
    /// Exit code; 128 + n after signal n.
    pub code: i32,
    /// Why it was killed, if hd did so.
    pub killed: Option<String>,
    /// The last lines it printed.
    pub tail: Vec<String>,
    /// What it observed.
    pub trace: Trace,
    /// Its changes as a layer.
    pub layer: Rooted,
    /// Files that have nothing new but their times; they are no change.
    pub touched: Option<Rooted>,
    /// Kept directories after it.
    pub kept: Vec<Kept>,
    /// The view it ran in, with the times it was shown.
    pub seen: Rooted,
    /// Why what it made is not to be found again, if so.
    pub unsure: Option<Unsure>,
    /// Holds the blobs of the layer until it is committed.
    pub writer: Writer,
}

/// Runs a command to its end.
///
/// `None` means that it was cancelled: its changes are dropped, kept directories too.
pub fn run(
    shared: &Shared,
    step: &StepRun<'_>,
    at_work: &AtWork,
    cancel: &Cancel,
) -> Result<Option<RunDone>, BatchError> {
    let recorder = Arc::new(Recorder::default());
    let kept = kept_mounts(step);
    let work = WorkDir::create(shared, step, &kept)?;
    let (ours, theirs) = std::io::pipe().map_err(|e| BatchError::new("io", e))?;
    let secrets = Secrets::read(shared, step.wanted)?;
    let agent = agent::socket(&shared.settings, step.wanted)?;
    let shown = show(shared, step, Some(&recorder))?;
    let agent = agent.as_deref();
    let spec = spec(shared, step, &work.path, &kept, &secrets, agent, &shown);
    let log = shared.settings.paths.step_log(&step.wanted.name);
    let name = &step.wanted.name;
    let pump = pump(ours.into(), &log, name, &shared.events, secrets.clone())
        .map_err(|e| BatchError::new("io", e).at(log.display().to_string()))?;
    let running = cancel.begin(recorder.clone(), step.wanted);
    let purge = Purge::of(shared, step.plan, secrets.clone(), SystemTime::now());
    let ended = at_work.rest(|| {
        // A newer chain may have been asked for since this one looked, which could not be told of this step.
        if cancel.is_superseded() {
            return Ok(Ended::Cancelled);
        }
        both(theirs.into())
            .and_then(|stdio| start(shared, step, &spec, stdio, shown))
            .and_then(|started| wait(&started.sandbox, &running, step.wanted.options.timeout))
    });
    drop(running);
    let tail = pump.join().unwrap_or_default();
    // Whatever came of the run: download caches stay.
    let cached = purge.done()?;
    let mut writer = shared
        .store
        .writer()
        .map_err(|e| BatchError::new("store", e))?;
    let trace = recorder.trace();
    let code = match ended?? {
        Ended::Code(code) => code,
        Ended::Cancelled => return Ok(None),
        Ended::TimedOut(after) => {
            let why = format!("killed, its timeout of {after:?} is over");
            return Ok(Some(dropped(step, (TIMED_OUT, why), tail, trace, writer)));
        }
    };
    if let Some(why) = cached.map_or_else(
        || spilled(step, &kept, &work.path, &secrets),
        |why| Ok(Some(format!("{why}, and nothing of what it made is kept"))),
    )? {
        return Ok(Some(dropped(step, (SPILLED, why), tail, trace, writer)));
    }
    let view = view_of(shared, step);
    let unsure = Unsure::after(&recorder, &trace, &view);
    let (layer, touched) = captured(shared, step, &view, &work.path, &mut writer)?;
    let kept = kept_after(shared, step, &kept, &work.path, &mut writer)?;
    Ok(Some(RunDone {
        code,
        killed: None,
        tail,
        trace,
        layer,
        touched,
        kept,
        seen: step.lower,
        unsure,
        writer,
    }))
}

/// A run of which nothing is kept: like any kill it leaves kept directories alone.
fn dropped(
    step: &StepRun<'_>,
    (code, why): (i32, String),
    tail: Vec<String>,
    trace: Trace,
    writer: Writer,
) -> RunDone {
    RunDone {
        code,
        killed: Some(why),
        tail,
        trace,
        layer: Rooted::empty(),
        touched: None,
        kept: Vec::new(),
        seen: step.lower,
        unsure: None,
        writer,
    }
}

/// Says which secret stands in what a run left, before any of it is stored.
fn spilled(
    step: &StepRun<'_>,
    kept: &[KeptMount],
    work: &Path,
    secrets: &Secrets,
) -> Result<Option<String>, BatchError> {
    let kept = kept
        .iter()
        .map(|mount| (&*mount.name, mount.at.to_string()));
    for (layer, at) in kept.chain([(LOWER, String::new())]) {
        let found = secrets.found_in(&upper(work, layer));
        let found = found.map_err(|e| BatchError::new("io", e).at(&*step.wanted.name))?;
        if let Some((name, path)) = found {
            return Ok(Some(format!(
                "it wrote the secret `{name}` into {at}{}; nothing of what it made is kept",
                path.display()
            )));
        }
    }
    Ok(None)
}

/// How a run came to its end.
enum Ended {
    /// By itself.
    Code(i32),
    /// Killed, because a newer chain took over or hd ends.
    Cancelled,
    /// Killed after its time.
    TimedOut(Duration),
}

/// A command in the view of a step, with what serves that view.
#[derive(Debug)]
pub struct Started {
    /// Where it runs.
    pub sandbox: Sandbox,
    /// Its terminal, if it was to have one.
    pub terminal: Option<Terminal>,
    /// What must outlive the command.
    pub serving: Serving,
}

/// What serves the view of a command.
#[derive(Debug)]
pub struct Serving {
    _entry: Option<Entry>,
    _shown: ShownLowers,
}

/// Starts a command of a person's in the view of a step, in place of the step's own. Blocks.
///
/// The work directory goes with the second value, when the command has ended; the third is then to be done.
pub(super) fn open(
    shared: &Shared,
    step: &StepRun<'_>,
    argv: Vec<OsString>,
    tty: Option<TtySize>,
    stdio: Stdio,
) -> Result<(Started, WorkDir, Purge), BatchError> {
    let kept = kept_mounts(step);
    let work = WorkDir::create(shared, step, &kept)?;
    let secrets = Secrets::read(shared, step.wanted)?;
    let agent = agent::socket(&shared.settings, step.wanted)?;
    let shown = show(shared, step, None)?;
    let agent = agent.as_deref();
    let mut spec = spec(shared, step, &work.path, &kept, &secrets, agent, &shown);
    (spec.command.argv, spec.command.tty) = (argv, tty);
    let purge = Purge::of(shared, step.plan, secrets, SystemTime::now());
    let started = start(shared, step, &spec, stdio, shown)?;
    Ok((started, work, purge))
}

/// Sends both output streams of a command to one place.
fn both(output: OwnedFd) -> Result<Stdio, BatchError> {
    let stderr = output.try_clone().map_err(|e| BatchError::new("io", e))?;
    Ok(Stdio {
        stdin: None,
        stdout: Some(output),
        stderr: Some(stderr),
        extra: Vec::new(),
    })
}

/// Shows the lowers of a run: the tree so far, then those of kept directories; with a recorder the first is observed,
/// and of all it is noted whether a request failed.
fn show(
    shared: &Shared,
    step: &StepRun<'_>,
    recorder: Option<&Arc<Recorder>>,
) -> Result<ShownLowers, BatchError> {
    let ids = &step.plan.ids;
    let watch = |of: fn(Arc<Recorder>) -> Watch| recorder.cloned().map_or(Watch::Nothing, of);
    let lowers = || {
        let kept = step.kept.iter().map(|kept| {
            let content = shared.composite(kept.content, Vec::new(), whole_owner(step.plan));
            (content.shown_as(ids.shown()), watch(Watch::Failures))
        });
        let lower = (view_of(shared, step), watch(Watch::All));
        std::iter::once(lower).chain(kept).collect()
    };
    let shown = shared.lowers.show(shared, ids, lowers);
    shown.map_err(|error| error.at(&*step.wanted.name))
}

fn start(
    shared: &Shared,
    step: &StepRun<'_>,
    spec: &Spec,
    stdio: Stdio,
    shown: ShownLowers,
) -> Result<Started, BatchError> {
    let broken = |e: hd_sandbox::SandboxError| BatchError::new("sandbox", e).at(&*step.wanted.name);
    let mut pending = shared
        .launcher()?
        .spawn(spec, stdio, Some(shown.namespace()))
        .map_err(broken)?;
    let mut terminal = None;
    loop {
        match pending.next_event(START_WITHIN).map_err(broken)? {
            Start::Started(sandbox) => {
                let entry = sandbox
                    .record()
                    .ok()
                    .map(|record| shared.book.enter(record));
                return Ok(Started {
                    sandbox,
                    terminal,
                    serving: Serving {
                        _entry: entry,
                        _shown: shown,
                    },
                });
            }
            Start::Failed(failure) => return Err(not_started(step, &failure)),
            Start::Terminal(opened) => terminal = Some(opened),
            Start::Fuse { .. }
            | Start::Upper { .. }
            | Start::Mount { .. }
            | Start::Going
            | Start::Done => {}
        }
    }
}

fn not_started(step: &StepRun<'_>, failure: &hd_sandbox::Failure) -> BatchError {
    let is_read_only = failure.errno == Errno::ROFS.raw_os_error();
    // The failure carries no path of its own.
    let at = |kept: &&Kept| {
        failure
            .message
            .contains(&format!("{ROOT_STAGED}/{}:", kept.at))
    };
    if !step.base.is_image()
        && is_read_only
        && let Some(kept) = step.kept.iter().find(at)
    {
        let message = format!(
            "the cache `{}` cannot be at /{}: without a base that is this machine's own, where hd makes no directory",
            kept.name.called(),
            kept.at
        );
        let hint = "a path below ~ or the project, or a `base`";
        return BatchError::new("config", message)
            .at(&*step.wanted.name)
            .hint(hint);
    }
    BatchError::new("sandbox", failure)
        .at(&*step.wanted.name)
        .hint("hd needs root or user namespaces, /dev/fuse and overlayfs to run steps")
}

fn wait(
    sandbox: &Sandbox,
    running: &Running<'_>,
    timeout: Option<Duration>,
) -> Result<Ended, BatchError> {
    let broken = |e| BatchError::new("sandbox", e);
    let began = Instant::now();
    let mut expired = None;
    loop {
        if let Some(status) = sandbox.wait(Some(LOOK_EVERY)).map_err(broken)? {
            return Ok(match expired {
                _ if running.is_killed() => Ended::Cancelled,
                Some(after) => Ended::TimedOut(after),
                None => Ended::Code(status.code()),
            });
        }
        expired = timeout.filter(|timeout| began.elapsed() > *timeout);
        if running.is_killed() || expired.is_some() {
            sandbox.kill().map_err(broken)?;
        }
    }
}

/// The tree a step stands on, with the host's directories and whose the files are.
pub fn view_of(shared: &Shared, step: &StepRun<'_>) -> Composite {
    shared
        .composite(step.lower, grafts(step.base), step.plan.owners())
        .shown_as(step.plan.ids.shown())
}
