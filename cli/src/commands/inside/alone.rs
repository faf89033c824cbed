//! A command in an environment of its own: the steps made true, then nothing but the command.

use std::time::Instant;

use hd_actors::hold::Hold;
use hd_actors::mount_server::launch::NotStarted;
use hd_actors::one_off::{self, OneOff};
use hd_actors::runtime::{self, Mode};

use super::command::{Wish, not_started};
use super::conduct::{Conductor, Inside};
use crate::commands::up::{Plan, foreground, targets};
use crate::error::{CliError, Outcome, exit};
use crate::output::{Output, Printer, Scope};
use crate::project::Located;

/// Runs the command as the service named, else as the first.
pub(super) fn run(
    located: Located,
    hold: Hold,
    wish: Wish,
    output: Output,
    started: Instant,
) -> Outcome {
    let plan = Plan {
        located,
        base: wish.base.clone(),
        jobs: None,
        services: Vec::new(),
        started,
    };
    let settings = foreground::settings(&plan, output)?;
    let services = &settings.first.project.services;
    let names: Vec<String> = services.iter().map(|one| one.name.clone()).collect();
    let service = match &wish.service {
        Some(name) if !names.contains(name) => {
            return Err(targets::unknown(names.iter().map(String::as_str), name));
        }
        Some(name) => Some(name.clone()),
        // The environment is meant, which is not what a service on a base of its own sees.
        None => services
            .iter()
            .find(|one| one.base.is_none())
            .map(|one| one.name.clone()),
    };
    let conductor = Conductor::new()?;
    let printer = Printer::start(output, names, Scope::Talk)
        .map_err(|e| CliError::new("io", exit::INTERNAL, format!("cannot start a thread: {e}")))?;
    let mode = Mode::Once { rerun: Vec::new() };
    let running = runtime::start(settings, mode, printer.events(), hold)?;
    conductor.building(running.stopper());
    let prepared = one_off::prepare(running);
    // What was told of the steps is printed before the command begins.
    drop(printer);
    let one = match prepared {
        Ok(one) => one,
        Err(ended) => {
            let signal = conductor.received();
            return foreground::conclude(ended.report, ended.exit, signal, output);
        }
    };
    conductor.starting();
    let outcome = match conductor.received() {
        Some(code) => Ok(code),
        None => within(&one, &wish, service.as_deref(), &conductor),
    };
    one.end();
    outcome
}

fn within(one: &OneOff, wish: &Wish, service: Option<&str>, conductor: &Conductor) -> Outcome {
    let command = wish.within(one.command(service)?);
    let (launched, _entry) = one
        .launch(service, command, wish.stdio()?)
        .map_err(|error| match error {
            NotStarted::Command(failure) => not_started(&failure),
            NotStarted::Sandbox(error) => CliError::from(error),
        })?;
    conductor.conduct(Inside::Sandbox(launched.sandbox), launched.terminal)
}
