//! RUN and HEALTHCHECK with their flags.

use std::collections::BTreeMap;

use super::evaluate::Walk;
use super::event::{Event, Run, What};
use super::instruction::{Flag, Form, Instruction};
use super::state::{Health, Program, State};
use crate::error::ConfigError;

impl Walk<'_, '_> {
    pub(super) fn command(
        &mut self,
        line: usize,
        one: &Instruction,
        form: &Form,
        state: &State,
    ) -> Result<(), ConfigError> {
        let (mut mounts, mut sources) = (Vec::new(), BTreeMap::new());
        for mount in one.all("mount") {
            let mount = self.expand(one, state, mount)?;
            let from = mount
                .split(',')
                .find_map(|part| part.trim().strip_prefix("from="));
            // What a cache begins with is left out.
            if let Some(from) = from.filter(|_| !mount.contains("type=cache")) {
                sources.insert(from.to_owned(), self.source_of(from));
            }
            mounts.push(mount);
        }
        match one.flag("network") {
            None | Some("default" | "none") => {}
            Some("host") => {}
            Some(other) => self
                .book
                .approximated(line, format!("no network `{other}`: it has the host's")),
        }
        if one.flag("security").is_some_and(|mode| mode != "sandbox") {
            self.book.missing(
                line,
                "steps never run without the sandbox (--security=insecure)",
            );
        }
        if one.flag("device").is_some() {
            self.book.missing(line, "steps get no devices");
        }
        let run = Run {
            form: form.clone(),
            heredocs: one.heredocs.clone(),
            joints: one.joints.clone(),
            offline: one.flag("network") == Some("none"),
            mounts,
            sources,
            env: state.env.clone(),
            args: state.args.clone(),
            cwd: state.cwd.clone(),
            context: self.options.prefix.to_owned(),
            user: state.user.clone(),
            shell: state.shell.clone(),
        };
        self.events.push(Event {
            line,
            stage: self.stage,
            what: What::Run(Box::new(run)),
        });
        Ok(())
    }

    pub(super) fn health(
        &mut self,
        line: usize,
        one: &Instruction,
        test: Option<&Form>,
        state: &mut State,
    ) {
        let option = |flag: &Flag| (flag.name.clone(), flag.value.clone());
        state.unprobed = test.is_none();
        state.health = test.and_then(|form| {
            Some(Health {
                program: program(form, state, line)?,
                options: one.flags.iter().map(option).collect(),
            })
        });
        if test.is_none() {
            self.book.translated(line, "no health check");
        }
    }
}

/// A command with what is in force; `None` when it is empty, which takes it back.
pub(super) fn program(form: &Form, state: &State, line: usize) -> Option<Program> {
    let empty = match form {
        Form::Shell(text) => text.trim().is_empty(),
        Form::Exec(words) => words.is_empty(),
    };
    (!empty).then(|| Program {
        form: form.clone(),
        shell: state.shell.clone(),
        line: Some(line),
    })
}
