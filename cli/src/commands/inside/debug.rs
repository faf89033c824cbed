//! `hd debug`: a shell where a step runs, after its command.

use std::time::Instant;

use hd_actors::messages::BatchError;
use hd_actors::recheck::inspect;
use hd_actors::runtime::{self, Mode};

use super::command::Wish;
use super::conduct::{Conductor, Inside};
use crate::commands::up::{Plan, foreground};
use crate::error::{CliError, Outcome, exit};
use crate::output::{Output, Printer, Scope};
use crate::project::Located;
use crate::turn;

/// Makes the steps below true, runs the step's command and then a shell in what it left.
pub(super) fn run(
    located: Located,
    wish: Wish,
    step: &str,
    output: Output,
    started: Instant,
) -> Outcome {
    let hold = turn::take_alone(
        &located,
        output,
        "`hd -p beside debug STEP` does it beside that one; `hd shell` looks at what its services see",
    )?;
    let plan = Plan {
        located,
        base: wish.base.clone(),
        jobs: None,
        services: Vec::new(),
        started,
    };
    let settings = foreground::settings(&plan, output)?;
    let conductor = Conductor::new()?;
    let printer = Printer::start(output, Vec::new(), Scope::Talk)
        .map_err(|e| CliError::new("io", exit::INTERNAL, format!("cannot start a thread: {e}")))?;
    let running = runtime::start(
        settings,
        Mode::Once { rerun: Vec::new() },
        printer.events(),
        hold,
    )?;
    conductor.building(running.stopper());
    let opened = inspect(running, step, wish.tty, wish.stdio()?);
    // What was told of the steps is printed before the shell speaks.
    drop(printer);
    match opened {
        Ok(opened) => {
            conductor.starting();
            let outcome = conductor.conduct(Inside::Sandbox(opened.sandbox), opened.terminal);
            match opened.inspection.end()? {
                None => outcome,
                Some(left) => Err(BatchError::new("step", left).at(step).into()),
            }
        }
        Err(ended) => {
            let signal = conductor.received();
            foreground::conclude(ended.report, ended.exit, signal, output)
        }
    }
}
