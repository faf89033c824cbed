//! `hd demo`: what a loop of edits costs with hd, and with Docker where both do equal work.

mod docker;
mod edit;
mod goal;
mod hd;
mod http;
mod machine;
mod process;
mod report;
mod subject;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::docker::{Docker, Dockerfile, Engine, Litter};
use self::goal::Goal;
use self::hd::{Found, Hd};
use self::process::Watch;
use self::report::{Missing, Report, SCHEMA, What};
use self::subject::{Copy, Subject};
use crate::args::DemoArgs;
use crate::error::{CliError, Outcome};
use crate::output::Output;
use crate::output::human::duration;
use crate::{project, signals};

/// How long one command or one answer may take: a cold build on a slow network.
const LONG: Duration = Duration::from_secs(600);

/// How long the answer to an edit may take once everything is built.
const SOON: Duration = Duration::from_secs(120);

/// What all sides share.
#[derive(Debug)]
struct Run<'a> {
    subject: &'a Subject,
    watch: Watch,
    output: Output,
    /// Everything on disk is below it.
    place: &'a Path,
    nonce: String,
    runs: u32,
    cold_runs: u32,
}

impl Run<'_> {
    fn copy(&self, name: &str) -> Result<Copy, CliError> {
        self.subject.copy(&self.place.join(name))
    }

    /// Removes what is not needed any more; what stays goes at the end.
    fn discard(&self, directory: &Path) {
        let _ = std::fs::remove_dir_all(directory);
    }

    fn tell(&self, side: &str, what: What, took: Duration) {
        let line = format!("{side}  {}  {}", what.label(), duration(took));
        self.output.talk(&line);
    }
}

/// Measures a project.
pub(crate) fn run(args: &DemoArgs, output: Output) -> Outcome {
    let located = project::locate(&args.place, args.path.as_deref())?;
    let subject = Subject::read(&located)?;
    let watch = Watch::default();
    let interrupted = watch.clone();
    let signal = signals::handle(move |_| interrupted.interrupt())?;
    let directory = temporary()?;
    let run = Run {
        subject: &subject,
        watch,
        output,
        place: directory.path(),
        nonce: goal::nonce(),
        runs: args.runs,
        // A cold run takes long and varies little.
        cold_runs: args.runs.div_ceil(2),
    };
    let measured = measure(&run, args.base.as_deref());
    let path = directory.path().to_owned();
    let closed = directory.close();
    let report = match (measured, signal.exit()) {
        (Err(error), Some(code)) => return Err(error.with_exit(code)),
        (measured, _) => measured?,
    };
    closed.map_err(|e| CliError::io("remove", &path, &e))?;
    if output.json {
        output.value(&report)?;
    } else {
        output.data(&table::text(&report, output.out))?;
    }
    Ok(0)
}

/// Makes the directory that all is below: its name is short, for sockets live there; everybody may
/// enter, for services run as the owner of the project.
fn temporary() -> Result<tempfile::TempDir, CliError> {
    use std::os::unix::fs::PermissionsExt;
    let made = tempfile::Builder::new().prefix("hd-demo-").tempdir();
    let made = made.map_err(|e| CliError::io("make a directory in", &std::env::temp_dir(), &e))?;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(made.path(), open)
        .map_err(|e| CliError::io("open", made.path(), &e))?;
    Ok(made)
}

/// What Docker is compared with, and on which image.
#[derive(Debug)]
struct Rival {
    engine: Engine,
    files: Vec<Dockerfile>,
    base: String,
    pulled: docker::Pulled,
    litter: Litter,
}

fn measure(run: &Run<'_>, base: Option<&str>) -> Result<Report, CliError> {
    let machine = machine::look();
    let wanted = base.or(run.subject.base.as_deref());
    let program: PathBuf = std::env::current_exe()
        .map_err(|e| CliError::io("find", Path::new("/proc/self/exe"), &e))?;
    let mut rival = rival(run, wanted)?;
    if let Err(why) = &rival {
        run.output.talk(&format!("only hd is measured: {why}"));
    }
    let on = |base: Option<&str>| {
        let program = program.clone();
        Hd { run, program, base }.measure()
    };
    // An image that only the Dockerfile names may be out of hd's reach: then hd is measured as
    // its own file says.
    let chosen = rival.as_ref().ok().map(|rival| rival.base.clone());
    let mut stands_on = wanted.map(str::to_owned).or(chosen);
    let found = match on(stands_on.as_deref()) {
        Err(error) if wanted.is_none() && stands_on.is_some() => {
            run.watch.check()?;
            let why = error.text(false, 200).replace('\n', " ");
            rival = Err(format!("hd cannot work on the Dockerfile's base: {why}"));
            stands_on = None;
            on(None)?
        }
        other => other?,
    };
    let mut report = Report {
        schema: SCHEMA,
        project: run.subject.name.clone(),
        base: stands_on,
        asked: found.goal.asked(),
        edit: found.goal.edit(),
        machine,
        sides: Vec::new(),
        missing: Vec::new(),
        notes: Vec::new(),
    };
    let Found { side, goal, notes } = found;
    report.sides.push(side);
    report.notes.extend(notes);
    match rival {
        Ok(rival) => compare(run, rival, &goal, &mut report)?,
        Err(reason) => report.missing.push(Missing {
            side: "docker".to_owned(),
            reason,
        }),
    }
    Ok(report)
}

/// Finds out whether Docker can be measured; the inner error says why not.
fn rival(run: &Run<'_>, wanted: Option<&str>) -> Result<Result<Rival, String>, CliError> {
    let files = match docker::dockerfiles(&run.subject.directory) {
        Ok(files) => files,
        Err(why) => return Ok(Err(why)),
    };
    let engine = match Engine::find(&run.watch, run.place)? {
        Ok(engine) => engine,
        Err(why) => return Ok(Err(why)),
    };
    let named = files.iter().find_map(|file| file.default.clone());
    let Some(base) = wanted.map(str::to_owned).or(named) else {
        let why = "no image is named for both sides: `--base IMAGE` names one";
        return Ok(Err(why.to_owned()));
    };
    let mut litter = Litter::new(&engine, &run.nonce);
    let pulled = match docker::base(run, &engine, &base)? {
        Ok(pulled) => pulled,
        Err(why) => return Ok(Err(format!("{why}; `--base IMAGE` names another"))),
    };
    litter.pulled = (!pulled.was_here).then(|| base.clone());
    Ok(Ok(Rival {
        engine,
        files,
        base,
        pulled,
        litter,
    }))
}

fn compare(run: &Run<'_>, rival: Rival, goal: &Goal, report: &mut Report) -> Result<(), CliError> {
    let pull = rival.pulled.phase;
    if rival.pulled.was_here {
        let note = "docker had the base image already: its pull was not measured";
        report.notes.push(note.to_owned());
    }
    if rival.pulled.stale {
        let note = format!(
            "docker's {} could not be compared with the registry's",
            rival.base
        );
        report.notes.push(note);
    }
    let first = report.sides.len();
    for file in &rival.files {
        let docker = Docker {
            run,
            engine: &rival.engine,
            file,
            base: &rival.base,
        };
        match docker.measure(goal) {
            Ok(side) => report.sides.push(side),
            Err(error) => {
                run.watch.check()?;
                report.missing.push(Missing {
                    side: docker.name(),
                    reason: error.text(false, 200).trim_end().replace('\n', "; "),
                });
            }
        }
    }
    if let Some(side) = report.sides.get_mut(first) {
        side.phases.splice(0..0, pull);
    }
    run.output
        .talk("removing containers, images and their build cache");
    drop(rival.litter);
    Ok(())
}
