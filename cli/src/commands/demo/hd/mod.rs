//! hd's side: this very binary, started as people start it.

mod up;

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::up::{Up, failed};
use super::editor::{Change, Editor};
use super::goal::Goal;
use super::http;
use super::process::{finish, shown};
use super::report::{Series, Side, What};
use super::subject::{Copy, Reader, write};
use super::{LONG, Run, SOON, disk};
use crate::error::{CliError, exit};
use crate::project::FILE;

/// Looks at the disk, one after the other, that find it as the last did: then it is at rest.
const STILL: u32 = 3;
/// How long hd may take, after an answer, to begin with the restart that the edit is the cause of.
const BEGINS: Duration = Duration::from_secs(3);
/// A project with nothing but a base: building it brings the image here.
const BARE: &str = "[environment]\nname = \"base\"\n";

/// What hd's side found out beside the figures.
#[derive(Debug)]
pub(super) struct Found {
    /// The figures.
    pub(super) side: Side,
    /// How edits are seen.
    pub(super) goal: Goal,
    /// What a reader should know.
    pub(super) notes: Vec<String>,
}

/// hd, ready to be measured.
#[derive(Debug)]
pub(super) struct Hd<'a> {
    run: &'a Run<'a>,
    program: &'a Path,
    base: Option<&'a str>,
    first: u32,
    /// A service has answered: what fails now does not fail of the base.
    pub(super) stands: Cell<bool>,
}

impl<'a> Hd<'a> {
    /// Takes the binary and the image below both sides. Directories are numbered from `first` on: what
    /// a try that failed left is not found by the next.
    pub(super) fn new(
        run: &'a Run<'a>,
        program: &'a Path,
        base: Option<&'a str>,
        first: u32,
    ) -> Self {
        Self {
            run,
            program,
            base,
            first,
            stands: Cell::new(false),
        }
    }

    /// Measures all phases.
    pub(super) fn measure(&self) -> Result<Found, CliError> {
        let mut base = Series::new(What::Base);
        let mut cold = Series::new(What::Cold);
        let mut goal = None;
        let mut last = None;
        for index in 0..self.run.cold_runs {
            let number = self.first + index;
            let home = self.run.place.join(format!("home-{number}"));
            if let Some(image) = self.base {
                self.pull(&home, image, &mut base)?;
            }
            let copy = self.run.copy(&format!("hd-{number}"), Reader::Hd)?;
            let up = self.start(&home, &copy, &mut goal, &mut cold)?;
            self.stands.set(true);
            if index + 1 < self.run.cold_runs {
                self.down(&home, &copy, up)?;
                self.run.discard.take(&home);
                self.run.discard.take(&copy.directory);
            } else {
                last = Some((home, copy, up));
            }
        }
        let goal = goal.unwrap_or(Goal::Nothing);
        let mut phases = vec![base, cold];
        let mut notes = Vec::new();
        let mut disk_per_edit = None;
        if let Some((home, copy, mut up)) = last {
            let mut editor = Editor::new(goal.clone(), &self.run.nonce);
            if !matches!(goal, Goal::Nothing) {
                let before = self.disk_at_rest(&home)?;
                phases.push(self.edits(&mut editor, &copy, &mut up)?);
                disk_per_edit = disk::per_edit(before, self.disk_at_rest(&home)?, self.run.runs);
                phases.extend(self.branches(&mut editor, &copy, &mut up, &mut notes)?);
                phases.push(self.second(&mut editor, &home, &copy)?);
            }
            self.down(&home, &copy, up)?;
            phases.push(self.no_change(&home, &copy, &mut notes)?);
        }
        let side = Side {
            name: "hd".to_owned(),
            tool: format!("hd {}{}", env!("CARGO_PKG_VERSION"), profile()),
            phases: phases.into_iter().filter_map(Series::phase).collect(),
            disk_per_edit,
        };
        Ok(Found { side, goal, notes })
    }

    /// Brings the image into an empty `HD_HOME`.
    fn pull(&self, home: &Path, image: &str, series: &mut Series) -> Result<(), CliError> {
        let bare = self.run.place.join("bare");
        std::fs::create_dir_all(&bare).map_err(|e| CliError::io("make", &bare, &e))?;
        write(&bare.join(FILE), BARE)?;
        let mut command = self.command(home, &bare, &["up", "--once", "--json"]);
        let ended = finish(&self.run.watch, &mut command, LONG)?;
        if !ended.good {
            return Err(failed(&ended.stdout, &ended.last_words()).at(image));
        }
        series.add(ended.took, vec![shown(&command)]);
        self.run.tell("hd", What::Base, ended.took);
        Ok(())
    }

    /// Starts `hd up` and waits for the first answer, which decides how edits are seen.
    fn start(
        &self,
        home: &Path,
        copy: &Copy,
        goal: &mut Option<Goal>,
        series: &mut Series,
    ) -> Result<Up, CliError> {
        let mut command = self.command(home, &copy.directory, &["--progress", "json", "up"]);
        let started = Instant::now();
        let mut up = Up::start(&mut command, &self.run.subject.service)?;
        let path = goal
            .as_ref()
            .map_or_else(|| Goal::first_path(self.run.subject), Goal::path);
        let known = goal.as_ref();
        let accept = |answer: &http::Answer| match known {
            Some(goal) => goal.accepts(answer, None),
            None => answer.status < 500,
        };
        let answer = http::until(&self.run.watch, (copy.port, path), LONG, accept, || {
            up.must_run()
        })?;
        let took = started.elapsed();
        goal.get_or_insert_with(|| Goal::of(self.run.subject, &answer));
        let steps = self.run.subject.steps.iter();
        let steps = steps.map(|step| format!("whose steps are: {step}"));
        let what = series.what();
        series.add(
            took,
            std::iter::once(shown(&command)).chain(steps).collect(),
        );
        self.run.tell("hd", what, took);
        Ok(up)
    }

    /// Lets what is kept for later views be written: before the edits none of them is the cause of it, after
    /// them it is theirs.
    fn disk_at_rest(&self, home: &Path) -> Result<Option<u64>, CliError> {
        let deadline = Instant::now() + SOON;
        let used_now = || disk::used(&self.run.watch, home);
        let (mut used, mut still) = (used_now(), 0);
        while still < STILL && Instant::now() < deadline {
            self.run.rest()?;
            let now = used_now();
            still = if now == used { still + 1 } else { 0 };
            used = now;
        }
        Ok(used)
    }

    fn edits(&self, editor: &mut Editor, copy: &Copy, up: &mut Up) -> Result<Series, CliError> {
        let mut series = Series::new(What::Edit);
        for _ in 0..self.run.runs {
            self.follow(editor, Change::Source, copy, up, &mut series)?;
        }
        Ok(series)
    }

    /// Another list of dependencies, and back to what was.
    fn branches(
        &self,
        editor: &mut Editor,
        copy: &Copy,
        up: &mut Up,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Series>, CliError> {
        let Some(list) = &self.run.subject.dependency else {
            return Ok(Vec::new());
        };
        let mut there = Series::new(What::Dependency);
        let mut back = Series::new(What::Back);
        let (mut none_ran, mut some_ran) = (false, 0);
        for _ in 0..self.run.cold_runs {
            let before = editor.snapshot(Some(list), &copy.directory)?;
            let ran = up.heard.ran.load(Ordering::Relaxed);
            self.follow(editor, Change::Dependency(list), copy, up, &mut there)?;
            let then = up.heard.ran.load(Ordering::Relaxed);
            none_ran |= then == ran;
            self.follow(editor, Change::Back(&before), copy, up, &mut back)?;
            some_ran += up.heard.ran.load(Ordering::Relaxed) - then;
        }
        if none_ran {
            let list = list.file.display();
            notes.push(format!(
                "hd ran no step after an edit of {list}: no step had read it"
            ));
        }
        if some_ran > 0 {
            notes.push(format!(
                "hd ran {some_ran} steps on the way back to known files"
            ));
        }
        Ok(vec![there, back])
    }

    /// Another copy of the project with the same content, while the first runs.
    fn second(&self, editor: &mut Editor, home: &Path, copy: &Copy) -> Result<Series, CliError> {
        let mut series = Series::new(What::Second);
        let list = self.run.subject.dependency.as_ref();
        let now = editor.snapshot(list, &copy.directory)?;
        for index in 0..self.run.cold_runs {
            let copy = self.run.copy(&format!("hd-second-{index}"), Reader::Hd)?;
            editor.make(Change::Back(&now), &copy.directory)?;
            let mut goal = Some(editor.goal.clone());
            let up = self.start(home, &copy, &mut goal, &mut series)?;
            self.down(home, &copy, up)?;
            self.run.discard.take(&copy.directory);
        }
        Ok(series)
    }

    /// Makes a change and waits for the answer of the `hd up` that follows it.
    fn follow(
        &self,
        editor: &mut Editor,
        change: Change<'_>,
        copy: &Copy,
        up: &mut Up,
        series: &mut Series,
    ) -> Result<(), CliError> {
        self.settled(up)?;
        self.run.rest()?;
        let (before, left) = (up.times_ready(), up.times_left());
        let started = Instant::now();
        let version = editor.make(change, &copy.directory)?;
        let asked = (copy.port, editor.goal.path());
        let heard = Arc::clone(&up.heard);
        let accept = |answer: &http::Answer| {
            // Without a version the old process may still answer.
            let new = version.is_some() || heard.ready.load(Ordering::Relaxed) > before;
            new && editor.goal.accepts(answer, version.as_deref())
        };
        http::until(&self.run.watch, asked, patience(change), accept, || {
            up.must_run()
        })?;
        let took = started.elapsed();
        let what = series.what();
        series.add(
            took,
            vec!["none: the `hd up` above follows the edit".to_owned()],
        );
        self.run.tell("hd", what, took);
        if version.is_some() {
            // The next edit begins when this one is over, not on top of it. A service that follows by
            // itself is not started again.
            if self.is_restarted(up, left)? {
                self.ready_since(up, before)?;
            }
        }
        Ok(())
    }

    /// Waits until the service was told to be ready at all.
    fn settled(&self, up: &mut Up) -> Result<(), CliError> {
        self.ready_since(up, 0)
    }

    /// Waits a while for a restart to begin.
    fn is_restarted(&self, up: &mut Up, left: u32) -> Result<bool, CliError> {
        let deadline = Instant::now() + BEGINS;
        while up.times_left() <= left && Instant::now() < deadline {
            self.run.watch.check()?;
            up.must_run()?;
            crate::client::pause(Duration::from_millis(2));
        }
        Ok(up.times_left() > left)
    }

    fn ready_since(&self, up: &mut Up, before: u32) -> Result<(), CliError> {
        let deadline = Instant::now() + SOON;
        while up.times_ready() <= before {
            self.run.watch.check()?;
            up.must_run()?;
            if Instant::now() > deadline {
                let message = format!("{} was not told to be ready", self.run.subject.service);
                return Err(CliError::new("timeout", exit::TIMEOUT, message));
            }
            crate::client::pause(Duration::from_millis(2));
        }
        Ok(())
    }

    fn no_change(
        &self,
        home: &Path,
        copy: &Copy,
        notes: &mut Vec<String>,
    ) -> Result<Series, CliError> {
        let mut series = Series::new(What::NoChange);
        let mut ran = 0;
        for _ in 0..self.run.runs {
            let mut command = self.command(home, &copy.directory, &["up", "--once", "--json"]);
            let ended = finish(&self.run.watch, &mut command, LONG)?;
            if !ended.good {
                return Err(failed(&ended.stdout, &ended.last_words()));
            }
            ran += steps_ran(&ended.stdout);
            series.add(ended.took, vec![shown(&command)]);
            self.run.tell("hd", What::NoChange, ended.took);
        }
        if ran > 0 {
            notes.push(format!("hd ran {ran} steps although nothing had changed"));
        }
        Ok(series)
    }

    fn down(&self, home: &Path, copy: &Copy, mut up: Up) -> Result<(), CliError> {
        let mut command = self.command(home, &copy.directory, &["down"]);
        let ended = finish(&self.run.watch, &mut command, LONG)?;
        if !ended.good || !up.group.wait(LONG) {
            return Err(failed(&ended.stdout, &ended.last_words()));
        }
        Ok(())
    }

    fn command(&self, home: &Path, directory: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(args).current_dir(directory);
        if let (Some(base), true) = (self.base, args.contains(&"up")) {
            command.args(["--base", base]);
        }
        for profile in &self.run.subject.profiles {
            command.args(["--profile", profile]);
        }
        command.env("HD_HOME", home).env_remove("RUST_LOG");
        command
    }
}

/// How long the answer may take: where dependencies change, steps run that may load them.
fn patience(change: Change<'_>) -> Duration {
    match change {
        Change::Source => SOON,
        Change::Dependency(_) | Change::Back(_) => LONG,
    }
}

/// Figures of a build that is not optimised are no figures of hd.
fn profile() -> &'static str {
    if cfg!(debug_assertions) {
        " (debug build)"
    } else {
        ""
    }
}

fn steps_ran(stdout: &str) -> usize {
    let report: Value = serde_json::from_str(stdout).unwrap_or_default();
    let steps = report["steps"].as_array().map_or(&[][..], Vec::as_slice);
    steps.iter().filter(|step| step["result"] == "ran").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_what_ran() {
        let report = r#"{"steps":[{"result":"ran"},{"result":"kept"}]}"#;
        assert_eq!((steps_ran(report), steps_ran("")), (1, 0));
    }
}
