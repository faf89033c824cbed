//! Walks the stages that are needed: what is in force at each instruction, and what happens.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Event, What};
use super::instruction::{Instruction, Kind};
use super::lex::lex;
use super::parse::parse;
use super::run::program;
use super::stages::{Stage, find};
use super::state::{State, absolute, is_root};
use super::{Options, platform, variables};
use crate::error::{ConfigError, Problem};
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
}

pub(crate) struct Walk<'a, 'b> {
    pub(crate) source: &'a Source,
    pub(crate) book: &'b mut Book<'a>,
    pub(crate) stages: &'b [Stage],
    pub(crate) options: &'b Options<'b>,
    pub(crate) around: &'b dyn Surroundings,
    pub(crate) globals: BTreeMap<String, String>,
    pub(crate) escape: char,
    pub(crate) events: Vec<Event>,
    pub(crate) workdirs: BTreeSet<String>,
    pub(crate) stage: usize,
}

impl Walk<'_, '_> {
    /// Evaluates the needed stages on one base.
    ///
    /// # Errors
    /// The first instruction that cannot be read, with its place.
    pub(crate) fn run(
        mut self,
        needed: &BTreeSet<usize>,
        target: usize,
        base: &str,
    ) -> Result<Evaluated, ConfigError> {
        let asked = self.around.image(base);
        let (image, unknown) = match asked {
            Ok(image) => (image, None),
            Err(why) => (BaseImage::default(), Some(why)),
        };
        let first = needed.first().copied();
        let mut states: BTreeMap<usize, State> = BTreeMap::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let line = self.book.open(stage.from.span.clone());
            self.stage = index;
            if !needed.contains(&index) {
                self.skip(line, stage, &self.stages[target].title(target));
                continue;
            }
            let parent = find(self.stages, index, &stage.image);
            let mut state = match parent.and_then(|parent| states.get(&parent)) {
                // ARGs are inherited too (Dockerfile reference, ARG, "Scope").
                Some(parent) => parent.clone(),
                None => State::of_image(&image),
            };
            self.from(line, stage, parent, index, base);
            if let Some(why) = unknown.as_ref().filter(|_| first == Some(index)) {
                let note = format!(
                    "the image could not be asked ({why}): its variables, user, command and ONBUILD count as Docker's defaults"
                );
                self.book.approximated(line, note);
            }
            self.on_build(line, &image, parent.is_none(), &mut state)?;
            for instruction in &stage.body {
                let line = self.book.open(instruction.span.clone());
                self.instruction(line, instruction, &mut state)?;
            }
            states.insert(index, state);
        }
        let state = states
            .remove(&target)
            .unwrap_or_else(|| State::of_image(&image));
        Ok(Evaluated {
            events: self.events,
            state,
            image,
            workdirs: self.workdirs,
        })
    }

    fn skip(&mut self, line: usize, stage: &Stage, target: &str) {
        let note = format!("the target `{target}` does not need this stage");
        self.book.translated(line, &note);
        for instruction in &stage.body {
            let line = self.book.open(instruction.span.clone());
            self.book.translated(line, &note);
        }
    }

    fn from(
        &mut self,
        line: usize,
        stage: &Stage,
        parent: Option<usize>,
        index: usize,
        base: &str,
    ) {
        if let Some(parent) = parent {
            let title = self
                .stages
                .get(parent)
                .map(|stage| stage.title(parent))
                .unwrap_or_default();
            self.book
                .translated(line, format!("goes on from `{title}`"));
        } else if stage.image == "scratch" {
            self.book.approximated(
                line,
                format!(
                    "stands on {base}: an environment has one base, and here it needs its tools"
                ),
            );
        } else if stage.image != base {
            self.book
                .approximated(line, format!("stands on {base} instead of {}", stage.image));
        } else {
            self.book.translated(line, "the base");
        }
        if index > 0 {
            self.book.approximated(
                line,
                "stages share one file system: what other stages make is there too",
            );
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
                self.events.push(Event {
                    line,
                    stage: self.stage,
                    what: What::Mkdir(state.cwd.clone()),
                });
            }
            Kind::User(user) => {
                let user = self.expand(one, state, user)?;
                state.user = if is_root(&user) { String::new() } else { user };
                state.user_line = Some(line);
            }
            Kind::Shell(words) => state.shell.clone_from(words),
            Kind::Cmd(form) => state.cmd = program(form, state, line),
            Kind::Entrypoint(form) => {
                state.entrypoint = program(form, state, line);
                // A CMD of the image belongs to the image's ENTRYPOINT.
                if state.cmd.as_ref().is_some_and(|cmd| cmd.line.is_none()) {
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
            let value = match (given, default) {
                (Some(value), _) => Some(value),
                (None, Some(default)) => Some(self.expand(one, state, default)?),
                (None, None) => self.global(name),
            };
            match value {
                Some(value) => {
                    let shown = format!("{name} = {value:?}");
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
