//! Docker's side: the same edits, built and run as people do it with a Dockerfile.

mod engine;
mod file;
mod litter;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub(super) use self::engine::Engine;
pub(super) use self::file::{Dockerfile, dockerfiles};
pub(super) use self::litter::Litter;

use super::goal::{Editor, Goal};
use super::http;
use super::process::{finish, shown};
use super::report::{Series, Side, What};
use super::subject::Copy;
use super::{LONG, Run, SOON};
use crate::error::{CliError, exit};

/// Label of everything that is made, with the nonce of the run.
const LABEL: &str = "hd-demo";

/// Docker, ready to be measured with one Dockerfile.
#[derive(Debug)]
pub(super) struct Docker<'a> {
    /// What all sides share.
    pub(super) run: &'a Run<'a>,
    /// The engine.
    pub(super) engine: &'a Engine,
    /// What is built.
    pub(super) file: &'a Dockerfile,
    /// Image below both sides.
    pub(super) base: &'a str,
}

impl Docker<'_> {
    /// Measures all phases but the pull of the base image.
    pub(super) fn measure(&self, goal: &Goal) -> Result<Side, CliError> {
        let copy = self.run.copy(&format!("docker-{}", self.file.kind))?;
        let mut editor = Editor::new(
            goal.clone(),
            &format!("{}{}", self.run.nonce, self.file.kind),
        );
        let mut cold = Series::new(What::Cold);
        for _ in 0..self.run.cold_runs {
            self.quietly(&mut self.remove())?;
            self.round(&mut editor, &copy, true, &mut cold, What::Cold)?;
        }
        let mut no_change = Series::new(What::NoChange);
        for _ in 0..self.run.runs {
            let mut build = self.build(&copy, false);
            let took = self.must(&mut build)?;
            no_change.add(took, vec![shown(&build)]);
            self.run.tell(&self.name(), What::NoChange, took);
        }
        let mut edit = Series::new(What::Edit);
        if !matches!(goal, Goal::Nothing) {
            for _ in 0..self.run.runs {
                self.round(&mut editor, &copy, false, &mut edit, What::Edit)?;
            }
        }
        self.quietly(&mut self.remove())?;
        Ok(Side {
            name: self.name(),
            tool: format!("{}, {}", self.engine, self.file.name),
            phases: [cold, no_change, edit]
                .into_iter()
                .filter_map(Series::phase)
                .collect(),
        })
    }

    /// Gives the head of the column.
    pub(super) fn name(&self) -> String {
        format!("docker {}", self.file.kind)
    }

    /// Edits, builds, replaces the container, waits for the answer; all of it is timed.
    fn round(
        &self,
        editor: &mut Editor,
        copy: &Copy,
        cold: bool,
        series: &mut Series,
        what: What,
    ) -> Result<(), CliError> {
        let mut build = self.build(copy, cold);
        let mut remove = self.remove();
        let mut start = self.start(copy);
        let started = Instant::now();
        let version = editor.write(&copy.directory)?;
        self.must(&mut build)?;
        let mut commands = vec![shown(&build)];
        if !cold {
            self.must(&mut remove)?;
            commands.push(shown(&remove));
        }
        self.must(&mut start)?;
        commands.push(shown(&start));
        let asked = (copy.port, editor.goal.path());
        let accept = |answer: &http::Answer| editor.goal.accepts(answer, version.as_deref());
        let mut looked = Instant::now();
        let alive = || {
            // Each look costs what it disturbs: one every two seconds.
            if looked.elapsed() < Duration::from_secs(2) {
                return Ok(());
            }
            looked = Instant::now();
            self.must_run()
        };
        http::until(&self.run.watch, asked, SOON, accept, alive)?;
        let took = started.elapsed();
        series.add(took, commands);
        self.run.tell(&self.name(), what, took);
        Ok(())
    }

    fn build(&self, copy: &Copy, cold: bool) -> Command {
        let mut command = self.engine.command(&["build", "-f", &self.file.name]);
        command.current_dir(&copy.directory);
        command.env(
            "DOCKER_BUILDKIT",
            if self.engine.buildkit { "1" } else { "0" },
        );
        if cold {
            command.arg("--no-cache");
        }
        if !self.engine.buildkit {
            // Else containers of an interrupted build stay.
            command.arg("--force-rm");
        }
        command.args(["--build-arg", &format!("BASE={}", self.base)]);
        command.args(["--label", &self.label(), "-t", &self.tag(), "."]);
        command
    }

    fn start(&self, copy: &Copy) -> Command {
        let mut command = self.engine.command(&["run", "-d", "--network", "host"]);
        command.args(["-e", &format!("PORT={}", copy.port)]);
        command.args([
            "--label",
            &self.label(),
            "--name",
            &self.container(),
            &self.tag(),
        ]);
        command
    }

    fn remove(&self) -> Command {
        self.engine.command(&["rm", "-f", &self.container()])
    }

    fn label(&self) -> String {
        format!("{LABEL}={}", self.run.nonce)
    }

    fn tag(&self) -> String {
        format!("{LABEL}-{}:{}", self.run.nonce, self.file.kind)
    }

    fn container(&self) -> String {
        format!("{LABEL}-{}-{}", self.run.nonce, self.file.kind)
    }

    /// Runs a command that must succeed; gives how long it took.
    fn must(&self, command: &mut Command) -> Result<Duration, CliError> {
        let ended = finish(&self.run.watch, command, LONG)?;
        if ended.good {
            return Ok(ended.took);
        }
        let message = format!("{} failed: {}", shown(command), ended.last_words());
        Err(CliError::new("docker", exit::INTERNAL, message))
    }

    /// Runs a command that may fail.
    fn quietly(&self, command: &mut Command) -> Result<(), CliError> {
        finish(&self.run.watch, command, LONG).map(|_| ())
    }

    /// Fails when the container has ended by itself.
    fn must_run(&self) -> Result<(), CliError> {
        let format = "{{.State.Running}}";
        let mut look = self
            .engine
            .command(&["inspect", "-f", format, &self.container()]);
        let state = finish(&self.run.watch, &mut look, LONG)?;
        if state.stdout.trim() != "false" {
            return Ok(());
        }
        let mut logs = self
            .engine
            .command(&["logs", "--tail", "5", &self.container()]);
        let said = finish(&self.run.watch, &mut logs, LONG)?;
        let message = format!("the container ended: {}", said.last_words());
        Err(CliError::new("docker", exit::INTERNAL, message))
    }
}

/// Makes the base available to the engine; says how long a pull took, and whether there was one.
pub(super) fn base(
    run: &Run<'_>,
    engine: &Engine,
    image: &str,
) -> Result<Result<Pulled, String>, CliError> {
    let inspect = |format: &str| engine.command(&["image", "inspect", "-f", format, image]);
    let here = finish(&run.watch, &mut inspect("{{.Id}}"), LONG)?.good;
    let mut pull = engine.command(&["pull", image]);
    let pulled = finish(&run.watch, &mut pull, LONG)?;
    if !pulled.good && !here {
        return Ok(Err(format!(
            "it cannot get the image {image}: {}",
            pulled.last_words()
        )));
    }
    let mut series = Series::new(What::Base);
    if !here {
        series.add(pulled.took, vec![shown(&pull)]);
        run.tell("docker", What::Base, pulled.took);
    }
    Ok(Ok(Pulled {
        phase: series.phase(),
        was_here: here,
        stale: !pulled.good,
    }))
}

/// How the base image came to the engine.
#[derive(Debug)]
pub(super) struct Pulled {
    /// The pull, if there was one.
    pub(super) phase: Option<super::report::Phase>,
    /// Whether it was there before.
    pub(super) was_here: bool,
    /// Whether the registry could not be asked for a newer one.
    pub(super) stale: bool,
}

/// Tells whether a path can be started.
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
