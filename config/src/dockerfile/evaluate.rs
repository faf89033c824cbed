//! Walks the stages that are needed: what is in force at each instruction, and what happens.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Event, What};
use super::grounds::{Grounds, SCRATCH, unused};
use super::instruction::{Instruction, Kind};
use super::lex::lex;
use super::parse::parse;
use super::run::program;
use super::stages::{Stage, find, origin};
use super::state::{State, absolute};
use super::{Options, platform, variables};
use crate::error::{ConfigError, Problem};
use crate::ingest::draft::plain_name;
use crate::ingest::report::Book;
use crate::ingest::{BaseImage, Surroundings};
use crate::signal::Signal;
use crate::source::Source;

/// All that the needed stages do.
#[derive(Debug)]
pub(crate) struct Evaluated {
    /// What happens, in order.
    pub(crate) events: Vec<Event>,
    /// What is in force at the end of the target.
    pub(crate) state: State,
    /// What the base image says.
    pub(crate) image: BaseImage,
    /// Directories named by WORKDIR.
    pub(crate) workdirs: BTreeSet<String>,
    /// Images that files are taken from: name in `hd.toml`, reference.
    pub(crate) others: Vec<(String, String)>,
}

pub(crate) struct Walk<'a, 'b> {
    pub(crate) source: &'a Source,
    pub(crate) book: &'b mut Book<'a>,
    pub(crate) stages: &'b [Stage],
    pub(crate) grounds: &'b Grounds,
    pub(crate) options: &'b Options<'b>,
    pub(crate) around: &'b dyn Surroundings,
    pub(crate) globals: BTreeMap<String, String>,
    pub(crate) escape: char,
    pub(crate) events: Vec<Event>,
    pub(crate) workdirs: BTreeSet<String>,
    pub(crate) others: Vec<(String, String)>,
    pub(crate) stage: usize,
}

impl Walk<'_, '_> {
    /// Evaluates the stages that the target needs.
    ///
    /// # Errors
    /// The first instruction that cannot be read, with its place.
    pub(crate) fn run(mut self, target: usize) -> Result<Evaluated, ConfigError> {
        let mut states: BTreeMap<usize, State> = BTreeMap::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let line = self.book.open(stage.from.span.clone());
            self.stage = index;
            if !self.grounds.needs(index) {
                self.skip(line, stage, &self.stages[target].title(target));
                continue;
            }
            let parent = origin(self.stages, index);
            let image = self.image(line, index, stage);
            let mut state = match parent.and_then(|parent| states.get(&parent)) {
                // ARGs are inherited too (Dockerfile reference, ARG, "Scope").
                Some(parent) => parent.clone(),
                None => State::of_image(&image),
            };
            self.from(line, stage, parent, index);
            self.on_build(line, &image, parent.is_none(), &mut state)?;
            for instruction in &stage.body {
                let line = self.book.open(instruction.span.clone());
                self.instruction(line, instruction, &mut state)?;
            }
            states.insert(index, state);
        }
        let image = self.around.image(&self.grounds.base).unwrap_or_default();
        let state = states
            .remove(&target)
            .unwrap_or_else(|| State::of_image(&image));
        Ok(Evaluated {
            events: self.events,
            state,
            image,
            workdirs: self.workdirs,
            others: self.others,
        })
    }

    /// What the image of a stage says; scratch says nothing.
    fn image(&mut self, line: usize, index: usize, stage: &Stage) -> BaseImage {
        let reference = self.grounds.image(index);
        if stage.image == SCRATCH && self.options.base.is_none() {
            return BaseImage::default();
        }
        self.around.image(reference).unwrap_or_else(|why| {
            let note = format!(
                "the image could not be asked ({why}): its variables, user, command and ONBUILD count as Docker's defaults"
            );
            self.book.approximated(line, note);
            BaseImage::default()
        })
    }

    /// The name in `hd.toml` of the stage or image that something is taken from.
    pub(super) fn source_of(&mut self, name: &str) -> String {
        let stage = find(self.stages, self.stage, name);
        if let Some(known) = stage.and_then(|index| self.grounds.apart.get(&index)) {
            return known.clone();
        }
        if let Some((known, _)) = self.others.iter().find(|(_, image)| image == name) {
            return known.clone();
        }
        let taken = self
            .grounds
            .apart
            .values()
            .chain(self.others.iter().map(|(name, _)| name));
        let mut taken: BTreeSet<String> = taken.cloned().collect();
        let path = name.split('@').next().unwrap_or(name);
        let last = path.rsplit('/').next().unwrap_or(path);
        let plain = plain_name(last.split(':').next().unwrap_or(last), "image");
        let own = unused(&plain, &mut taken);
        self.others.push((own.clone(), name.to_owned()));
        own
    }

    fn skip(&mut self, line: usize, stage: &Stage, target: &str) {
        let note = format!("the target `{target}` does not need this stage");
        self.book.translated(line, &note);
        for instruction in &stage.body {
            let line = self.book.open(instruction.span.clone());
            self.book.translated(line, &note);
        }
    }

    fn from(&mut self, line: usize, stage: &Stage, parent: Option<usize>, index: usize) {
        let base = self.grounds.image(index);
        let apart = self.grounds.apart.get(&index);
        let place = match apart {
            Some(name) => format!("the stage `{name}`"),
            None => "the environment".to_owned(),
        };
        if let Some(parent) = parent {
            let parent = self.stages[parent].title(parent);
            self.book
                .translated(line, format!("{place} goes on from `{parent}`"));
        } else if stage.image == SCRATCH {
            let note = format!("{place} stands on {base}: steps need its tools");
            self.book.approximated(line, note);
        } else if stage.image != base {
            let note = format!("{place} stands on {base} instead of {}", stage.image);
            self.book.approximated(line, note);
        } else {
            self.book.translated(line, format!("the base of {place}"));
        }
        if let Some(platform) = stage.from.flag("platform") {
            let wanted = variables::word(platform, self.escape, &|name| self.global(name))
                .unwrap_or_default();
            if !wanted.is_empty() && wanted != platform::docker() {
                self.book.approximated(
                    line,
                    format!(
                        "the platform is that of this machine, {}",
                        platform::docker()
                    ),
                );
            }
        }
    }

    fn global(&self, name: &str) -> Option<String> {
        self.globals
            .get(name)
            .cloned()
            .or_else(|| platform::argument(name))
    }

    /// ONBUILD of the image or of the stage this one begins with.
    fn on_build(
        &mut self,
        line: usize,
        image: &BaseImage,
        of_image: bool,
        state: &mut State,
    ) -> Result<(), ConfigError> {
        let mut triggers = std::mem::take(&mut state.on_build);
        if of_image {
            for text in &image.on_build {
                let source = Source::new("ONBUILD of the base image", text);
                for logical in lex(&source, text)?.instructions {
                    triggers.push(parse(&source, &logical, '\\')?);
                }
            }
        }
        for trigger in &triggers {
            self.book
                .translated(line, "its ONBUILD instructions are carried out");
            self.instruction(line, trigger, state)?;
        }
        Ok(())
    }

    pub(crate) fn wrong(
        &self,
        instruction: &Instruction,
        message: String,
        hint: &str,
    ) -> ConfigError {
        let hint = hint.to_owned();
        self.source
            .error(instruction.span.clone(), Problem::Import { message, hint })
    }

    pub(crate) fn expand(
        &self,
        instruction: &Instruction,
        state: &State,
        text: &str,
    ) -> Result<String, ConfigError> {
        let hint = "variables are written `$NAME`, `${NAME}` or `${NAME:-default}`";
        state
            .expand(text, self.escape)
            .map_err(|message| self.wrong(instruction, message, hint))
    }

    fn instruction(
        &mut self,
        line: usize,
        one: &Instruction,
        state: &mut State,
    ) -> Result<(), ConfigError> {
        match &one.kind {
            Kind::From { .. } => {}
            Kind::Arg(args) => self.arg(line, one, args, state)?,
            Kind::Env(pairs) => {
                // All values see the variables as they were before the instruction.
                let mut values = Vec::new();
                for (name, value) in pairs {
                    values.push((name.clone(), self.expand(one, state, value)?));
                }
                for (name, value) in values {
                    state.env_lines.insert(name.clone(), line);
                    state.env.insert(name, value);
                }
            }
            Kind::Run(form) => self.command(line, one, form, state)?,
            Kind::Copy { .. } => self.copy(line, one, state)?,
            Kind::Workdir(dir) => {
                let dir = self.expand(one, state, dir)?;
                state.cwd = state.absolute(&dir);
                self.workdirs.insert(state.cwd.clone());
                state.dirs.insert(state.cwd.clone());
                self.events.push(Event {
                    line,
                    stage: self.stage,
                    what: What::Mkdir(state.cwd.clone()),
                });
            }
            Kind::User(user) => {
                state.user = self.expand(one, state, user)?;
                state.user_line = Some(line);
            }
            Kind::Shell(words) => state.shell.clone_from(words),
            Kind::Cmd(form) => {
                state.cmd = program(form, state, line);
                state.cmd_stage = Some(self.stage);
            }
            Kind::Entrypoint(form) => {
                state.entrypoint = program(form, state, line);
                // A CMD of the image, or of the stage this one goes on from, belongs to the ENTRYPOINT there.
                if state.cmd_stage != Some(self.stage) {
                    state.cmd = None;
                }
            }
            Kind::Expose(ports) => {
                for port in ports {
                    let port = self.expand(one, state, port)?;
                    state.ports.push((port, Some(line)));
                }
            }
            Kind::Healthcheck(test) => self.health(line, one, test.as_ref(), state),
            Kind::OnBuild(inner) => {
                self.book.translated(line, "for stages built upon this one");
                state.on_build.push((**inner).clone());
            }
            Kind::Volume(dirs) => {
                self.book.approximated(
                    line,
                    "an ordinary directory: it is new with each new view of the service",
                );
                for dir in dirs {
                    let dir = state.absolute(&self.expand(one, state, dir)?);
                    let what = What::Mkdir(dir);
                    self.events.push(Event {
                        line,
                        stage: self.stage,
                        what,
                    });
                }
            }
            Kind::StopSignal(signal) => {
                let signal = self.expand(one, state, signal)?;
                if Signal::parse(&signal).is_some() {
                    state.stop_signal = Some(signal);
                } else {
                    self.book.left_out(
                        line,
                        "services cannot be stopped by that signal: it is SIGTERM",
                    );
                }
            }
            Kind::Metadata => self.book.left_out(
                line,
                "metadata of an image; nothing runs otherwise without it",
            ),
        }
        Ok(())
    }

    fn arg(
        &mut self,
        line: usize,
        one: &Instruction,
        args: &[(String, Option<String>)],
        state: &mut State,
    ) -> Result<(), ConfigError> {
        for (name, default) in args {
            let given = self.options.build_args.get(name).cloned();
            let is_given = given.is_some();
            let value = match (given, default) {
                (Some(value), _) => Some(value),
                (None, Some(default)) => Some(self.expand(one, state, default)?),
                (None, None) => self.global(name),
            };
            match value {
                Some(value) => {
                    // What is handed to a build may be a secret.
                    let shown = match is_given {
                        true => format!("{name} is given"),
                        false => format!("{name} = {value:?}"),
                    };
                    self.book.translated(line, shown);
                    state.args.insert(name.clone(), value);
                }
                None => self.book.translated(
                    line,
                    format!("{name} is not set; --build-arg {name}=… sets it"),
                ),
            }
        }
        Ok(())
    }
}

/// Resolves a destination: its path, and whether it is said to be a directory.
pub(crate) fn destination(cwd: &str, text: &str) -> (String, bool) {
    let into = text.ends_with('/') || text == "." || text.ends_with("/.");
    (absolute(cwd, text), into)
}
