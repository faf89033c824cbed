//! The other sides: the same edits, built and run as people do it with engines of containers.

mod bind;
mod compose;
mod dockerfile;
mod file;
mod measure;

use std::fmt::Debug;
use std::path::Path;
use std::process::Command;

use super::Run;
use super::engine::{Engine, Litter};
use super::report::Missing;
use super::subject::Copy;
use crate::args::EngineName;
use crate::error::CliError;

pub(super) use self::file::{COMPOSE, Files};
pub(super) use self::measure::measure;

/// One way to bring a copy of the project to life, as lists of commands.
pub(super) trait Way: Debug {
    /// Gives the head of the column.
    fn name(&self) -> String;
    /// Gives a word for names of images and containers; no other side has it.
    fn slug(&self) -> String;
    /// Gives the tool with its version, and what it reads.
    fn tool(&self) -> String;
    /// Gives where images are kept, if what they take can be measured.
    fn store(&self) -> Option<&Path>;
    /// Builds all anew and starts it; nothing of it runs.
    fn cold(&self, at: &At<'_>) -> Vec<Command>;
    /// Builds what must be built; `None` when the service follows edits by itself.
    fn build(&self, at: &At<'_>) -> Option<Command>;
    /// Builds, and puts the new in place of what runs.
    fn follow(&self, at: &At<'_>) -> Vec<Command>;
    /// Builds, and starts; nothing of it runs.
    fn start(&self, at: &At<'_>) -> Vec<Command>;
    /// Holds, by a name, what the next build would leave without one, so that it can be removed in the end.
    fn hold(&self, _at: &At<'_>) -> Option<Command> {
        None
    }
    /// Ends what was started; there may be nothing.
    fn remove(&self, at: &At<'_>) -> Command;
    /// Prints `false` when the service ended by itself.
    fn state(&self, at: &At<'_>) -> Command;
    /// Prints what the service said last.
    fn last_words(&self, at: &At<'_>) -> Command;
}

/// A copy of the project, and the word that names what is made of it.
#[derive(Debug)]
pub(super) struct At<'a> {
    /// The copy.
    pub(super) copy: &'a Copy,
    /// For images and containers.
    pub(super) word: String,
}

/// All ways that this machine and this project have.
#[derive(Debug)]
pub(super) struct Ways {
    /// Those to measure.
    pub(super) ways: Vec<(EngineName, Box<dyn Way>)>,
    /// Those that cannot be.
    pub(super) missing: Vec<Missing>,
}

impl Ways {
    /// Chooses: a project with a Compose file is started with it, else each Dockerfile with each
    /// builder; the loop over a bind mount once, with the first engine. What Compose cannot start is
    /// as well a container of its Dockerfile where it is one service.
    pub(super) fn choose(
        run: &Run<'_>,
        files: &Files,
        engines: &[Engine],
        base: &str,
        litters: &mut [Litter],
    ) -> Result<Self, CliError> {
        let mut chosen = Self {
            ways: Vec::new(),
            missing: Vec::new(),
        };
        let mut add = |engine: &Engine, way: Box<dyn Way>| {
            chosen.ways.push((engine.builder.engine(), way));
        };
        let mut by_images = files.compose.is_none();
        if let Some(file) = &files.compose {
            let found = match Files::refusal(&run.subject.directory, file) {
                Some(reason) => Err(reason),
                None => compose::Compose::find(run, engines, file, base)?,
            };
            match found {
                Ok(compose) => {
                    let of_compose = compose.engine().builder;
                    let others = engines.iter().map(|engine| engine.builder);
                    let others = others.filter(|builder| *builder != of_compose);
                    let reason = "the project is started by its Compose file, which Docker Compose alone is measured with";
                    let missing = others.map(|builder| Missing::new(builder.name(), reason));
                    chosen.missing.extend(missing);
                    if let Some(litter) = litters.first_mut() {
                        litter.undo.extend(compose.undo());
                    }
                    add(compose.engine(), Box::new(compose.clone()));
                }
                Err(reason) => {
                    chosen.missing.push(Missing::new("compose", reason));
                    by_images = run.subject.is_one_service;
                }
            }
        }
        for engine in engines {
            for file in files.images.iter().filter(|_| by_images) {
                add(
                    engine,
                    dockerfile::Image::new(engine, file, base, &run.nonce),
                );
            }
        }
        match (&files.dev, engines.first()) {
            (Some(file), Some(engine)) => {
                let bind = bind::Bind::new(engine, file, base, &run.nonce);
                chosen.ways.push((engine.builder.engine(), Box::new(bind)));
            }
            (None, _) if files.fixed.contains(&file::DEV.0) => {}
            (None, _) => {
                let reason = "the project has no Dockerfile.dev whose command reloads";
                chosen.missing.push(Missing::new("bind mount", reason));
            }
            (Some(_), None) => {}
        }
        let fixed = files.fixed.iter();
        let fixed = fixed.map(|name| {
            Missing::new(
                name,
                "it does not begin with `ARG BASE=…` and `FROM ${BASE}`",
            )
        });
        chosen.missing.extend(fixed);
        Ok(chosen)
    }
}

/// Makes the commands stand in the directory of a copy.
fn within(at: &At<'_>, commands: Vec<Command>) -> Vec<Command> {
    let mut commands = commands;
    for command in &mut commands {
        command.current_dir(&at.copy.directory);
    }
    commands
}
