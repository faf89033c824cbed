//! The phases of one way that is not hd's.

use std::process::Command;
use std::time::{Duration, Instant};

use super::super::subject::Reader;
use super::{At, Way};
use crate::commands::demo::editor::{Change, Editor};
use crate::commands::demo::engine::must;
use crate::commands::demo::goal::Goal;
use crate::commands::demo::process::{finish, shown};
use crate::commands::demo::report::{Series, Side, What};
use crate::commands::demo::{LONG, Run, SOON, disk, http};
use crate::error::{CliError, exit};

/// Time between two looks whether the service still runs: each costs what it disturbs.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Measures all phases but the pull of the base image.
pub(in super::super) fn measure(
    run: &Run<'_>,
    way: &dyn Way,
    goal: &Goal,
) -> Result<Side, CliError> {
    let copy = run.copy(&way.slug(), Reader::Engine)?;
    let at = At {
        copy: &copy,
        word: way.slug(),
    };
    let nonce = format!("{}{}", run.nonce, way.slug().replace('-', ""));
    let mut rounds = Rounds {
        run,
        way,
        editor: Editor::new(goal.clone(), &nonce),
    };
    let mut phases = vec![rounds.cold(&at)?];
    if let Some(series) = rounds.no_change(&at)? {
        phases.push(series);
    }
    let mut disk_per_edit = None;
    let used = || disk::used(&run.watch, way.store()?);
    if rounds.can_tell(&at) {
        let before = used();
        phases.push(rounds.edits(&at)?);
        let after = used();
        disk_per_edit = disk::per_edit(before, after, run.runs);
        if way.build(&at).is_some() {
            phases.extend(rounds.branches(&at)?);
            phases.push(rounds.second(&at)?);
        }
    }
    rounds.quietly(&mut way.remove(&at))?;
    Ok(Side {
        name: way.name(),
        tool: way.tool(),
        phases: phases.into_iter().filter_map(Series::phase).collect(),
        disk_per_edit,
    })
}

/// Rounds of a change, commands and a wait for the answer.
struct Rounds<'a> {
    run: &'a Run<'a>,
    way: &'a dyn Way,
    editor: Editor,
}

impl Rounds<'_> {
    /// Tells whether the end of an edit can be seen at all.
    fn can_tell(&self, at: &At<'_>) -> bool {
        match self.editor.goal {
            Goal::Version(..) => true,
            // Any answer of a new container is one of the new code; a service that follows by
            // itself cannot be told from the old one.
            Goal::Restart(_) => self.way.build(at).is_some(),
            Goal::Nothing => false,
        }
    }

    fn cold(&mut self, at: &At<'_>) -> Result<Series, CliError> {
        let mut series = Series::new(What::Cold);
        for round in 0..self.run.cold_runs {
            // Before the first there is nothing of this run to remove.
            if round > 0 {
                self.quietly(&mut self.way.remove(at))?;
            }
            let commands = self.way.cold(at);
            self.round(at, Change::Source, commands, &mut series)?;
        }
        Ok(series)
    }

    fn no_change(&self, at: &At<'_>) -> Result<Option<Series>, CliError> {
        let mut series = Series::new(What::NoChange);
        // What was built with --no-cache is not taken for cached: this one builds it again.
        if let Some(mut build) = self.way.build(at) {
            self.hold(at)?;
            must(&self.run.watch, &mut build, LONG)?;
        }
        for _ in 0..self.run.runs {
            let Some(mut build) = self.way.build(at) else {
                return Ok(None);
            };
            let took = must(&self.run.watch, &mut build, LONG)?;
            series.add(took, vec![shown(&build)]);
            self.run.tell(&self.way.name(), What::NoChange, took);
        }
        Ok(Some(series))
    }

    fn edits(&mut self, at: &At<'_>) -> Result<Series, CliError> {
        let mut series = Series::new(What::Edit);
        for _ in 0..self.run.runs {
            let commands = self.way.follow(at);
            self.round(at, Change::Source, commands, &mut series)?;
        }
        Ok(series)
    }

    /// Another list of dependencies, and back to what was.
    fn branches(&mut self, at: &At<'_>) -> Result<Vec<Series>, CliError> {
        let Some(list) = &self.run.subject.dependency else {
            return Ok(Vec::new());
        };
        let mut there = Series::new(What::Dependency);
        let mut back = Series::new(What::Back);
        for _ in 0..self.run.cold_runs {
            let before = self.editor.snapshot(Some(list), &at.copy.directory)?;
            let commands = self.way.follow(at);
            self.round(at, Change::Dependency(list), commands, &mut there)?;
            let commands = self.way.follow(at);
            self.round(at, Change::Back(&before), commands, &mut back)?;
        }
        Ok(vec![there, back])
    }

    fn second(&mut self, at: &At<'_>) -> Result<Series, CliError> {
        let mut series = Series::new(What::Second);
        let list = self.run.subject.dependency.as_ref();
        let now = self.editor.snapshot(list, &at.copy.directory)?;
        for index in 0..self.run.cold_runs {
            let copy = self
                .run
                .copy(&format!("{}-second-{index}", at.word), Reader::Engine)?;
            let version = self.editor.make(Change::Back(&now), &copy.directory)?;
            let second = At {
                copy: &copy,
                word: format!("{}-second", at.word),
            };
            let commands = self.way.start(&second);
            let started = Instant::now();
            let commands = self.run_all(commands)?;
            self.answer(&second, version.as_deref())?;
            self.add(&mut series, started, commands);
            self.quietly(&mut self.way.remove(&second))?;
            self.run.discard.take(&copy.directory);
        }
        Ok(series)
    }

    /// Changes, runs the commands, waits for the answer; all of it is timed.
    fn round(
        &mut self,
        at: &At<'_>,
        change: Change<'_>,
        commands: Vec<Command>,
        series: &mut Series,
    ) -> Result<(), CliError> {
        self.hold(at)?;
        self.run.rest()?;
        let started = Instant::now();
        let version = self.editor.make(change, &at.copy.directory)?;
        let commands = self.run_all(commands)?;
        self.answer(at, version.as_deref())?;
        self.add(series, started, commands);
        Ok(())
    }

    fn add(&self, series: &mut Series, started: Instant, commands: Vec<String>) {
        let took = started.elapsed();
        let what = series.what();
        series.add(took, commands);
        self.run.tell(&self.way.name(), what, took);
    }

    fn run_all(&self, commands: Vec<Command>) -> Result<Vec<String>, CliError> {
        let mut said = Vec::new();
        for mut command in commands {
            must(&self.run.watch, &mut command, LONG)?;
            said.push(shown(&command));
        }
        if said.is_empty() {
            said.push("none: the program in the container follows the edit".to_owned());
        }
        Ok(said)
    }

    fn answer(&self, at: &At<'_>, version: Option<&str>) -> Result<(), CliError> {
        let asked = (at.copy.port, self.editor.goal.path());
        let accept = |answer: &http::Answer| self.editor.goal.accepts(answer, version);
        let mut looked = Instant::now();
        let alive = || {
            if looked.elapsed() < LOOK_EVERY {
                return Ok(());
            }
            looked = Instant::now();
            self.must_run(at)
        };
        http::until(&self.run.watch, asked, SOON, accept, alive).map(|_| ())
    }

    /// Not timed: nobody needs it but the demo, which removes all that it made.
    fn hold(&self, at: &At<'_>) -> Result<(), CliError> {
        match self.way.hold(at) {
            Some(mut command) => self.quietly(&mut command),
            None => Ok(()),
        }
    }

    /// Runs a command that may fail.
    fn quietly(&self, command: &mut Command) -> Result<(), CliError> {
        finish(&self.run.watch, command, LONG).map(|_| ())
    }

    /// Fails when the service has ended by itself.
    fn must_run(&self, at: &At<'_>) -> Result<(), CliError> {
        let state = finish(&self.run.watch, &mut self.way.state(at), LONG)?;
        if state.stdout.trim() != "false" {
            return Ok(());
        }
        let said = finish(&self.run.watch, &mut self.way.last_words(at), LONG)?;
        let message = format!("the container ended: {}", said.last_words());
        Err(CliError::new("engine", exit::INTERNAL, message))
    }
}
