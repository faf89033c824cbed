//! hd's side: this very binary, started as people start it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::goal::{Editor, Goal};
use super::http;
use super::process::{Group, finish, shown};
use super::report::{Series, Side, What};
use super::subject::{Copy, write};
use super::{LONG, Run, SOON};
use crate::error::{CliError, exit};
use crate::project::FILE;

/// A project with nothing but a base: building it brings the image here.
const BARE: &str = "[environment]\nname = \"base\"\n";
/// Last lines of `hd up` that are kept for an error.
const KEPT: usize = 20;

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
    /// What all sides share.
    pub(super) run: &'a Run<'a>,
    /// The binary.
    pub(super) program: PathBuf,
    /// Image below both sides.
    pub(super) base: Option<&'a str>,
}

impl Hd<'_> {
    /// Measures all phases.
    pub(super) fn measure(&self) -> Result<Found, CliError> {
        let mut base = Series::new(What::Base);
        let mut cold = Series::new(What::Cold);
        let mut goal = None;
        let mut last = None;
        for index in 0..self.run.cold_runs {
            let home = self.run.place.join(format!("home-{index}"));
            if let Some(image) = self.base {
                self.pull(&home, image, &mut base)?;
            }
            let copy = self.run.copy(&format!("hd-{index}"))?;
            let up = self.cold(&home, &copy, &mut goal, &mut cold)?;
            if index + 1 < self.run.cold_runs {
                self.down(&home, &copy, up)?;
                self.run.discard(&home);
                self.run.discard(&copy.directory);
            } else {
                last = Some((home, copy, up));
            }
        }
        let goal = goal.unwrap_or(Goal::Nothing);
        let mut no_change = Series::new(What::NoChange);
        let mut edit = Series::new(What::Edit);
        let mut notes = Vec::new();
        if let Some((home, copy, mut up)) = last {
            let mut editor = Editor::new(goal.clone(), &self.run.nonce);
            self.edits(&mut editor, &copy, &mut up, &mut edit)?;
            self.down(&home, &copy, up)?;
            self.no_change(&home, &copy, &mut no_change, &mut notes)?;
        }
        let phases = [base, cold, no_change, edit];
        let side = Side {
            name: "hd".to_owned(),
            tool: format!("hd {}{}", env!("CARGO_PKG_VERSION"), profile()),
            phases: phases.into_iter().filter_map(Series::phase).collect(),
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
    fn cold(
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
        let steps = steps.map(|step| format!("which runs: {step}"));
        series.add(
            took,
            std::iter::once(shown(&command)).chain(steps).collect(),
        );
        self.run.tell("hd", What::Cold, took);
        Ok(up)
    }

    fn edits(
        &self,
        editor: &mut Editor,
        copy: &Copy,
        up: &mut Up,
        series: &mut Series,
    ) -> Result<(), CliError> {
        if matches!(editor.goal, Goal::Nothing) {
            return Ok(());
        }
        for _ in 0..self.run.runs {
            self.settled(up)?;
            let before = up.times_ready();
            let started = Instant::now();
            let version = editor.write(&copy.directory)?;
            let asked = (copy.port, editor.goal.path());
            let restarted = Arc::clone(&up.ready);
            let accept = |answer: &http::Answer| {
                // Without a version the old process may still answer.
                let new = version.is_some() || restarted.load(Ordering::Relaxed) > before;
                new && editor.goal.accepts(answer, version.as_deref())
            };
            http::until(&self.run.watch, asked, SOON, accept, || up.must_run())?;
            let took = started.elapsed();
            series.add(
                took,
                vec!["none: the `hd up` above follows the edit".to_owned()],
            );
            self.run.tell("hd", What::Edit, took);
            if version.is_some() {
                // The next edit begins when this one is over, not on top of it.
                self.ready_since(up, before)?;
            }
        }
        Ok(())
    }

    /// Waits until the service was told to be ready at all.
    fn settled(&self, up: &mut Up) -> Result<(), CliError> {
        self.ready_since(up, 0)
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
        series: &mut Series,
        notes: &mut Vec<String>,
    ) -> Result<(), CliError> {
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
        Ok(())
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
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(directory);
        if let (Some(base), true) = (self.base, args.contains(&"up")) {
            command.args(["--base", base]);
        }
        command.env("HD_HOME", home).env_remove("RUST_LOG");
        command
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

/// Makes an error of the JSON that a failed hd printed, else of its last words.
fn failed(stdout: &str, last_words: &str) -> CliError {
    let report: Value = serde_json::from_str(stdout).unwrap_or_default();
    let of = |key: &str| report["error"][key].as_str().unwrap_or_default().to_owned();
    let message = Some(of("message")).filter(|message| !message.is_empty());
    let message = message.unwrap_or_else(|| last_words.to_owned());
    let error = CliError::new("demo", exit::INTERNAL, format!("hd failed: {message}"));
    error.at(of("place")).hint(of("hint"))
}

fn steps_ran(stdout: &str) -> usize {
    let report: Value = serde_json::from_str(stdout).unwrap_or_default();
    let steps = report["steps"].as_array().map_or(&[][..], Vec::as_slice);
    steps.iter().filter(|step| step["result"] == "ran").count()
}

/// A running `hd up`; dropping it ends it.
#[derive(Debug)]
struct Up {
    group: Group,
    ready: Arc<AtomicU32>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Up {
    fn start(command: &mut Command, service: &str) -> Result<Self, CliError> {
        let mut group = Group::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()))?;
        let ready: Arc<AtomicU32> = Arc::default();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        if let Some(stderr) = group.child().stderr.take() {
            let (ready, said, service) = (ready.clone(), said.clone(), service.to_owned());
            let listen = move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    heard(&line, &service, &ready, &said);
                }
            };
            std::thread::Builder::new()
                .name("hd up".to_owned())
                .spawn(listen)
                .map_err(|e| CliError::io("start a thread for", Path::new("hd up"), &e))?;
        }
        Ok(Self { group, ready, said })
    }

    fn times_ready(&self) -> u32 {
        self.ready.load(Ordering::Relaxed)
    }

    /// Fails when `hd up` has ended by itself.
    fn must_run(&mut self) -> Result<(), CliError> {
        if self.group.ended()?.is_none() {
            return Ok(());
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        Err(failed("", &said.join("; ")))
    }
}

/// Takes one line of `--progress json`: counts how often the service became ready.
fn heard(line: &str, service: &str, ready: &AtomicU32, said: &Mutex<Vec<String>>) {
    let event: Value = serde_json::from_str(line).unwrap_or_default();
    if event["event"] == "service" && event["state"] == "ready" && event["name"] == service {
        ready.fetch_add(1, Ordering::Relaxed);
    }
    // What went wrong is said in plain lines, and in the tail of a failed step.
    if !event.is_object() || event["event"] == "step_failed" {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= KEPT {
            said.remove(0);
        }
        said.push(crate::output::style::tame(line, false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_counted_and_complaints_are_kept() {
        let (ready, said) = (AtomicU32::new(0), Mutex::default());
        for line in [
            r#"{"event":"service","name":"web","state":"ready"}"#,
            r#"{"event":"service","name":"worker","state":"ready"}"#,
            r#"{"event":"service","name":"web","state":"stopping"}"#,
            "hd: no /dev/fuse",
        ] {
            heard(line, "web", &ready, &said);
        }
        assert_eq!(ready.load(Ordering::Relaxed), 1);
        assert_eq!(said.into_inner().unwrap(), ["hd: no /dev/fuse"]);
    }

    #[test]
    fn a_report_tells_what_ran_and_what_failed() {
        let report = r#"{"steps":[{"result":"ran"},{"result":"kept"}],"error":{"message":"m","place":"step-1"}}"#;
        assert_eq!((steps_ran(report), steps_ran("")), (1, 0));
        assert_eq!(failed(report, "w").report().message, "hd failed: m");
        assert_eq!(failed("", "w").report().message, "hd failed: w");
    }
}
