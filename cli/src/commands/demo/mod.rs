//! `hd demo`: what a loop of edits costs with hd, and with the engines that are found, on equal work.

mod dependency;
mod discard;
mod disk;
mod edit;
mod editor;
mod engine;
mod goal;
mod hd;
mod html;
mod http;
mod machine;
mod outside;
mod plot;
mod process;
mod pull;
mod report;
mod rival;
mod subject;
mod table;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::discard::Discard;
use self::engine::{Engine, Litter};
use self::goal::Goal;
use self::hd::{Found, Hd};
use self::process::Watch;
use self::report::{Missing, Report, SCHEMA, What};
use self::rival::{Files, Ways};
use self::subject::{Copy, Reader, Subject, write};
use crate::args::{DemoArgs, EngineName};
use crate::error::{CliError, Outcome};
use crate::output::Output;
use crate::output::human::duration;
use crate::signals::Received;
use crate::{project, signals};

/// How long one command or one answer may take: a cold build on a slow network.
const LONG: Duration = Duration::from_secs(600);

/// How long the answer to an edit may take once everything is built.
const SOON: Duration = Duration::from_secs(120);

/// Between an answer and the next edit: nobody saves at the moment of the answer, and what reloads by
/// itself may not look yet.
const REST: Duration = Duration::from_secs(1);

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
    discard: Discard,
}

impl Run<'_> {
    fn copy(&self, name: &str, reader: Reader) -> Result<Copy, CliError> {
        self.subject
            .copy(&self.watch, &self.place.join(name), reader)
    }

    /// Lets a service come to rest before it is edited.
    fn rest(&self) -> Result<(), CliError> {
        crate::client::pause(REST);
        self.watch.check()
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
    for file in args.html.iter().chain(&args.svg) {
        // Not after an hour of measuring; and a report of before stays until there is another.
        let opened = File::options().append(true).create(true).open(file);
        opened.map_err(|e| CliError::io("write", file, &e))?;
    }
    let watch = Watch::default();
    let signal = ends(&watch, output)?;
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
        discard: Discard::default(),
    };
    let measured = measure(&run, args);
    let path = directory.path().to_owned();
    let closed = directory.close();
    if let Err(error) = &closed {
        // Nothing that was measured is lost for it.
        let text = format!("{} could not be removed: {error}", path.display());
        output.talk(&text);
    }
    let report = match (measured, signal.exit()) {
        (Err(error), Some(code)) => return Err(error.with_exit(code)),
        (measured, _) => measured?,
    };
    if let Some(file) = &args.html {
        write(file, &html::page(&report))?;
    }
    if let Some(file) = &args.svg {
        write(file, &plot::picture(&report))?;
    }
    if output.json {
        output.value(&report)?;
    } else {
        output.data(&table::text(&report, output.out))?;
    }
    Ok(0)
}

/// Lets a signal end the demo in peace: however many come, what it made is removed, for nobody else would.
fn ends(watch: &Watch, output: Output) -> Result<Received, CliError> {
    let (watch, received) = (watch.clone(), Received::default());
    let first = received.clone();
    signals::each(&signals::ENDING, move |signal| {
        if !watch.is_interrupted() {
            output.talk("ending: what was made is removed first, which may take a minute");
        }
        first.note(signal);
        watch.interrupt();
    })?;
    Ok(received)
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

/// What hd is compared with, and on which image.
#[derive(Debug)]
struct Rivals {
    files: Files,
    base: String,
    engines: Vec<Engine>,
    missing: Vec<Missing>,
    litters: Vec<Litter>,
    pulls: Vec<(EngineName, pull::Pulled)>,
}

fn measure(run: &Run<'_>, args: &DemoArgs) -> Result<Report, CliError> {
    let machine = machine::look();
    let base = args.base.as_deref();
    let wanted = base.or(run.subject.base.as_deref());
    let program: PathBuf = std::env::current_exe()
        .map_err(|e| CliError::io("find", Path::new("/proc/self/exe"), &e))?;
    let mut rivals = rivals(run, wanted, &args.engines())?;
    if let Err(missing) = &rivals {
        for Missing { side, reason } in missing {
            run.output
                .talk(&format!("{side} is not measured: {reason}"));
        }
    }
    // An image that only the Dockerfile names may be out of hd's reach: then hd is measured as
    // its own file says.
    let chosen = rivals.as_ref().ok().map(|rivals| rivals.base.clone());
    let mut stands_on = wanted.map(str::to_owned).or(chosen);
    let hd = Hd::new(run, &program, stands_on.as_deref(), 0);
    let measured = hd.measure();
    let is_of_base = wanted.is_none() && stands_on.is_some() && !hd.stands.get();
    let found = match measured {
        Err(error) if is_of_base => {
            run.watch.check()?;
            let why = one_line(&error);
            let why = format!("hd cannot work on the Dockerfile's base: {why}");
            rivals = Err(vec![Missing::new("docker and podman", why)]);
            stands_on = None;
            Hd::new(run, &program, None, run.cold_runs).measure()?
        }
        other => other?,
    };
    let Found { side, goal, notes } = found;
    let mut report = Report {
        schema: SCHEMA,
        project: run.subject.name.clone(),
        base: stands_on,
        asked: goal.asked(),
        edit: goal.edit(),
        machine,
        sides: vec![side],
        missing: Vec::new(),
        notes,
    };
    match rivals {
        Ok(rivals) => compare(run, rivals, &goal, &mut report)?,
        Err(missing) => report.missing.extend(missing),
    }
    report.notes.push(run.discard.note());
    Ok(report)
}

/// Finds out what can be measured beside hd; the inner error says why nothing can.
fn rivals(
    run: &Run<'_>,
    wanted: Option<&str>,
    names: &[EngineName],
) -> Result<Result<Rivals, Vec<Missing>>, CliError> {
    let nothing = |reason: &str| {
        let missing = |name: &EngineName| Missing::new(name.program(), reason);
        names.iter().map(missing).collect::<Vec<_>>()
    };
    let files = match Files::read(&run.subject.directory) {
        Ok(files) => files,
        Err(why) => return Ok(Err(nothing(&why))),
    };
    let (engines, missing) = engine::find(&run.watch, run.place, names)?;
    if engines.is_empty() {
        return Ok(Err(missing));
    }
    let Some(base) = wanted.map(str::to_owned).or(files.default_base()) else {
        let why = "no image is named for all sides: `--base IMAGE` names one";
        return Ok(Err(nothing(why)));
    };
    let mut rivals = Rivals {
        files,
        base,
        engines: Vec::new(),
        missing,
        litters: Vec::new(),
        pulls: Vec::new(),
    };
    for engine in engines {
        rivals.litters.push(Litter::new(&engine, run));
        rivals.admit(run, engine)?;
    }
    if rivals.engines.is_empty() {
        return Ok(Err(std::mem::take(&mut rivals.missing)));
    }
    Ok(Ok(rivals))
}

impl Rivals {
    /// Takes an engine in once it has the base image; builders of one engine share it.
    fn admit(&mut self, run: &Run<'_>, engine: Engine) -> Result<(), CliError> {
        let name = engine.builder.engine();
        if !self.pulls.iter().any(|(pulled, _)| *pulled == name) {
            match pull::pull(run, &engine, &self.base)? {
                Ok(pulled) => {
                    if let Some(litter) = self.litters.last_mut().filter(|_| !pulled.was_here) {
                        litter.pulled.push(self.base.clone());
                    }
                    self.pulls.push((name, pulled));
                }
                Err(why) => {
                    let why = format!("{why}; `--base IMAGE` names another");
                    self.missing.push(Missing::new(engine.builder.name(), why));
                    return Ok(());
                }
            }
        }
        self.engines.push(engine);
        Ok(())
    }
}

fn compare(
    run: &Run<'_>,
    mut rivals: Rivals,
    goal: &Goal,
    report: &mut Report,
) -> Result<(), CliError> {
    report.missing.append(&mut rivals.missing);
    let (engines, base) = (&rivals.engines, &rivals.base);
    let ways = Ways::choose(run, &rivals.files, engines, base, &mut rivals.litters)?;
    report.missing.extend(ways.missing);
    for (engine, way) in ways.ways {
        match rival::measure(run, way.as_ref(), goal) {
            Ok(mut side) => {
                let pulled = rivals.pulls.iter_mut().find(|(name, _)| *name == engine);
                // The pull stands with the first side of its engine.
                let pulled = pulled.and_then(|(_, pulled)| pulled.phase.take());
                side.phases.splice(0..0, pulled);
                report.sides.push(side);
            }
            Err(error) => {
                run.watch.check()?;
                let missing = Missing::new(&way.name(), one_line(&error));
                report.missing.push(missing);
            }
        }
    }
    for (name, pulled) in &rivals.pulls {
        let program = name.program();
        if pulled.was_here {
            let note = "had the base image already, perhaps an older one: it was not pulled";
            report.notes.push(format!("{program} {note}"));
        }
    }
    run.output
        .talk("removing containers, images and their build cache");
    let stayed = rivals.litters.into_iter().flat_map(Litter::clean);
    report.notes.extend(stayed);
    Ok(())
}

fn one_line(error: &CliError) -> String {
    error.text(false, 200).trim_end().replace('\n', "; ")
}
