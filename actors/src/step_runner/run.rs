//! Runs one command observed: sandbox, traced lower, write layer, capture.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hd_dag::trace::{Trace, check};
use hd_dag::{Rooted, TreePath};
use hd_projection::capture::{CaptureRules, capture};
use hd_projection::world::CompositeWorld;
use hd_projection::{Composite, Recorder, ServeOptions, Served, serve};
use hd_sandbox::{
    Capabilities, Command, Event as Start, Limits, Network, Privileges, Sandbox, Spec, Stdio,
};
use hd_store::Writer;

use super::cancel::Cancel;
use super::output::pump;
use super::plan::{Plan, grafts};
use super::view::{KeptMount, LOWER, mounts, upper};
use crate::base::{Base, ROOT_STAGED};
use crate::messages::BatchError;
use crate::shared::{Shared, owner_of};

/// How long a step's view may take to be made.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How often a running step is looked at for a cancel.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Threads that serve one view; each has its own clone of the device.
const FUSE_THREADS: usize = 2;

/// A kept directory as the step finds it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Where it shows, from the root of the view.
    pub at: TreePath,
    /// What it holds.
    pub content: Rooted,
}

/// One command to run.
#[derive(Debug)]
pub struct StepRun<'a> {
    /// `step-1`, …
    pub name: &'a str,
    /// The command, for `sh -c`.
    pub command: &'a str,
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
    /// The last lines it printed.
    pub tail: Vec<String>,
    /// What it observed.
    pub trace: Trace,
    /// Its changes as a layer.
    pub layer: Rooted,
    /// Kept directories after it.
    pub kept: Vec<Kept>,
    /// Whether what it saw of the host is still so.
    pub stable: bool,
    /// Holds the blobs of the layer until it is committed.
    pub writer: Writer,
}

/// Runs a command to its end.
///
/// `None` means that it was cancelled: its changes are dropped, kept directories too.
pub fn run(
    shared: &Shared,
    step: &StepRun<'_>,
    cancel: &Cancel,
) -> Result<Option<RunDone>, BatchError> {
    let recorder = Arc::new(Recorder::default());
    let kept: Vec<KeptMount> = step
        .kept
        .iter()
        .enumerate()
        .map(|(number, kept)| KeptMount {
            name: format!("kept-{number}"),
            at: kept.at.clone(),
        })
        .collect();
    let work = WorkDir::create(shared, step, &kept)?;
    let (ours, theirs) = std::io::pipe().map_err(|e| BatchError::new("io", e))?;
    let spec = spec(shared, step, &work.path, &kept);
    let pump = pump(
        ours.into(),
        &shared.settings.paths.step_log(step.name),
        step.name,
        &shared.events,
    )
    .map_err(|e| {
        BatchError::new("io", e).at(shared
            .settings
            .paths
            .step_log(step.name)
            .display()
            .to_string())
    })?;
    cancel.set_running(Some(recorder.clone()));
    let ended = start(shared, step, &spec, theirs.into(), &recorder)
        .and_then(|started| wait(&started.sandbox, cancel));
    cancel.set_running(None);
    let tail = pump.join().unwrap_or_default();
    let Some(code) = ended? else { return Ok(None) };
    let trace = recorder.trace();
    let view = view_of(shared, step);
    let stable = check(&trace.host_part(), &CompositeWorld::new(&view))
        .is_ok_and(|verdict| verdict.is_valid());
    let mut writer = shared
        .store
        .writer()
        .map_err(|e| BatchError::new("store", e))?;
    let layer = captured(shared, step, &view, &work.path, &mut writer)?;
    let kept = kept_after(shared, step, &kept, &work.path, &mut writer)?;
    Ok(Some(RunDone {
        code,
        tail,
        trace,
        layer,
        kept,
        stable,
        writer,
    }))
}

struct Started {
    sandbox: Sandbox,
    _entry: Option<crate::model::process_book::Entry>,
    _sessions: Vec<Served>,
}

fn start(
    shared: &Shared,
    step: &StepRun<'_>,
    spec: &Spec,
    output: std::os::fd::OwnedFd,
    recorder: &Arc<Recorder>,
) -> Result<Started, BatchError> {
    let both = output.try_clone().map_err(|e| BatchError::new("io", e))?;
    let stdio = Stdio {
        stdin: None,
        stdout: Some(output),
        stderr: Some(both),
        extra: Vec::new(),
    };
    let broken = |e: hd_sandbox::SandboxError| BatchError::new("sandbox", e).at(step.name);
    let mut pending = shared
        .launcher()?
        .spawn(spec, stdio, None)
        .map_err(broken)?;
    let mut lowers: HashMap<String, (Composite, Option<Arc<Recorder>>)> = HashMap::new();
    lowers.insert(
        LOWER.to_owned(),
        (view_of(shared, step), Some(recorder.clone())),
    );
    for (number, kept) in step.kept.iter().enumerate() {
        let content = shared.composite(kept.content, Vec::new(), whole_owner(step.plan));
        lowers.insert(format!("kept-{number}"), (content, None));
    }
    let mut sessions = Vec::new();
    loop {
        match pending.next_event(START_WITHIN).map_err(broken)? {
            Start::Fuse { name, fd } => {
                let Some((lower, recorder)) = lowers.remove(&name) else {
                    continue;
                };
                let options = ServeOptions {
                    name: format!("{} {name}", step.name),
                    threads: FUSE_THREADS,
                    recorder,
                };
                sessions.push(serve(fd, lower, options).map_err(|e| BatchError::new("fuse", e))?);
            }
            Start::Started(sandbox) => {
                let entry = sandbox
                    .record()
                    .ok()
                    .map(|record| shared.book.enter(record));
                return Ok(Started {
                    sandbox,
                    _entry: entry,
                    _sessions: sessions,
                });
            }
            Start::Failed(failure) => return Err(not_started(step, &failure)),
            Start::Upper { .. } | Start::Terminal(_) | Start::Done => {}
        }
    }
}

fn not_started(step: &StepRun<'_>, failure: &hd_sandbox::Failure) -> BatchError {
    BatchError::new("sandbox", failure)
        .at(step.name)
        .hint("hd needs root or user namespaces, /dev/fuse and overlayfs to run steps")
}

fn wait(sandbox: &Sandbox, cancel: &Cancel) -> Result<Option<i32>, BatchError> {
    loop {
        if let Some(status) = sandbox
            .wait(Some(LOOK_EVERY))
            .map_err(|e| BatchError::new("sandbox", e))?
        {
            return Ok((!cancel.is_killed()).then(|| status.code()));
        }
        if cancel.is_killed() {
            sandbox.kill().map_err(|e| BatchError::new("sandbox", e))?;
        }
    }
}

/// The tree a step stands on, with the host's directories and whose the files are.
pub fn view_of(shared: &Shared, step: &StepRun<'_>) -> Composite {
    shared.composite(step.lower, grafts(step.base), step.plan.owners())
}

fn whole_owner(plan: &Plan) -> Vec<hd_projection::Owner> {
    let (uid, gid) = (plan.account.uid, plan.account.gid);
    vec![hd_projection::Owner {
        at: TreePath::root(),
        uid,
        gid,
    }]
}

fn spec(shared: &Shared, step: &StepRun<'_>, work: &Path, kept: &[KeptMount]) -> Spec {
    let plan = step.plan;
    let mut command = Command::new(["/bin/sh", "-c", step.command]);
    command.env = plan
        .full_environment()
        .into_iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect();
    command.cwd = PathBuf::from(&plan.workdir);
    (command.uid, command.gid) = (plan.account.uid, plan.account.gid);
    Spec {
        name: step.name.to_owned(),
        hostname: shared.settings.project.name.clone(),
        stage: shared.settings.paths.stage(),
        root: PathBuf::from(ROOT_STAGED),
        mounts: mounts(step.base, plan, &shared.settings.paths, work, kept),
        command,
        privileges: Privileges {
            capabilities: Capabilities::DockerDefault,
            ..Privileges::default()
        },
        limits: Limits::default(),
        network: Network::Host,
        user_namespace: hd_sandbox::idmap::required(),
    }
}

fn captured(
    shared: &Shared,
    step: &StepRun<'_>,
    view: &Composite,
    work: &Path,
    writer: &mut Writer,
) -> Result<Rooted, BatchError> {
    let skip: Vec<TreePath> = step.kept.iter().map(|kept| kept.at.clone()).collect();
    let owners = step.plan.owners();
    let rules = CaptureRules {
        lower: view,
        skip: &skip,
        owners: &owners,
        project: &step.plan.workdir_path,
    };
    layer(shared, &upper(work, LOWER), writer, &rules)
}

fn layer(
    shared: &Shared,
    upper: &Path,
    writer: &mut Writer,
    rules: &CaptureRules<'_>,
) -> Result<Rooted, BatchError> {
    let entries =
        capture(upper, &shared.store, writer, rules).map_err(|e| BatchError::new("io", e))?;
    let entries = entries
        .into_iter()
        .map(|found| (found.path, found.entry, found.mtime_ns));
    hd_dag::build(&*shared.trees, entries).map_err(|e| BatchError::new("store", e))
}

fn kept_after(
    shared: &Shared,
    step: &StepRun<'_>,
    mounts: &[KeptMount],
    work: &Path,
    writer: &mut Writer,
) -> Result<Vec<Kept>, BatchError> {
    let mut after = Vec::new();
    // Nothing is the project's own source in a kept directory, so no name is dropped there.
    let nowhere = TreePath::new(b"\xff").unwrap_or_default();
    for (kept, mount) in step.kept.iter().zip(mounts) {
        let owners = whole_owner(step.plan);
        let content = shared.composite(kept.content, Vec::new(), owners.clone());
        let rules = CaptureRules {
            lower: &content,
            skip: &[],
            owners: &owners,
            project: &nowhere,
        };
        let changes = layer(shared, &upper(work, &mount.name), writer, &rules)?;
        let composed = hd_dag::compose(&*shared.trees, &kept.content, &changes)
            .map_err(|e| BatchError::new("store", e))?;
        after.push(Kept {
            at: kept.at.clone(),
            content: composed,
        });
    }
    Ok(after)
}

/// Write layers of one run; removed with it, and at the next start if this one is killed.
#[derive(Debug)]
struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    fn create(shared: &Shared, step: &StepRun<'_>, kept: &[KeptMount]) -> Result<Self, BatchError> {
        let paths = &shared.settings.paths;
        let run = format!(
            "{}-{}",
            step.name,
            shared.settings.started.elapsed().as_nanos()
        );
        let work = Self {
            path: paths.work(&run),
        };
        let owner = (step.plan.account.uid, step.plan.account.gid);
        let downloads = step.plan.downloads();
        let owned = downloads.iter().map(|(_, name)| paths.download_cache(name));
        // The top of an overlay shows owner and mode of its upper, so kept directories need
        // uppers of their user.
        let owned = owned.chain(kept.iter().map(|mount| upper(&work.path, &mount.name)));
        for dir in [paths.stage(), upper(&work.path, LOWER)] {
            made(&dir, None)?;
        }
        for dir in owned {
            made(&dir, Some(owner))?;
        }
        Ok(work)
    }
}

/// Makes a directory, for a user if one is given.
fn made(dir: &Path, owner: Option<(u32, u32)>) -> Result<(), BatchError> {
    let done = std::fs::create_dir_all(dir).and_then(|()| match owner {
        Some((uid, gid)) if owner_of(dir) != (uid, gid) => {
            std::os::unix::fs::chown(dir, Some(uid), Some(gid))
        }
        _ => Ok(()),
    });
    done.map_err(|e| BatchError::new("io", e).at(dir.display().to_string()))
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a write layer could not be removed");
        }
    }
}
