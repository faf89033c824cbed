//! `hd verify`: a step run twice from nothing.

use std::time::Instant;

use hd_actors::recheck::recheck;
use hd_actors::runtime::{self, Mode};
use hd_actors::step_runner::twice::Twice;
use hd_dag::Change;
use serde_json::json;

use super::up::{Plan, foreground};
use crate::args::VerifyArgs;
use crate::error::{CliError, Outcome, exit};
use crate::output::human::plural;
use crate::output::style::{Style, Tint, tame};
use crate::output::{Output, Printer, Scope};
use crate::{project, turn};

/// Exit code when the two outputs differ.
const DIFFERENT: i32 = 1;
/// Paths named at most, for people.
const NAMED: usize = 20;

/// Runs the step twice and says where its outputs differ.
pub(crate) fn run(args: VerifyArgs, output: Output, started: Instant) -> Outcome {
    let located = project::locate(&args.place, None)?;
    let hold = turn::take_alone(
        &located,
        output,
        "`hd -p beside verify STEP` does it beside that one; `hd down` ends it",
    )?;
    let plan = Plan {
        located,
        base: args.base,
        jobs: None,
        services: Vec::new(),
        started,
    };
    let settings = foreground::settings(&plan, output)?;
    let printer = Printer::start(output, Vec::new(), Scope::Talk)
        .map_err(|e| CliError::new("io", exit::INTERNAL, format!("cannot start a thread: {e}")))?;
    let mode = Mode::Once { rerun: Vec::new() };
    let running = runtime::start(settings, mode, printer.events(), hold)?;
    let outcome = recheck(running, &args.step);
    // What was told of the steps is printed before the result.
    drop(printer);
    match outcome {
        Ok(Twice::Made(differing)) => told(&args.step, &differing, output),
        Ok(Twice::Failed(failure)) => Err(CliError::from(failure.error())),
        Err(ended) => foreground::conclude(ended.report, ended.exit, None, output),
    }
}

fn told(step: &str, differing: &[Change], output: Output) -> Outcome {
    if output.json {
        let paths: Vec<String> = differing
            .iter()
            .map(|change| format!("/{}", change.path))
            .collect();
        output.value(
            &json!({"schema": 1, "step": step, "same": paths.is_empty(), "differing": paths}),
        )?;
    } else {
        output.data(&text(step, differing, output.out))?;
    }
    Ok(if differing.is_empty() { 0 } else { DIFFERENT })
}

fn text(step: &str, differing: &[Change], style: Style) -> String {
    if differing.is_empty() {
        return format!("{step}: {} twice\n", style.paint(Tint::Good, "the same"));
    }
    let count = plural(differing.len() as u64, "path");
    let mut text = format!("{step}: {count} {}\n", style.paint(Tint::Warn, "differ"));
    for change in differing.iter().take(NAMED) {
        text.push_str(&format!("  /{}\n", tame(&change.path.to_string(), false)));
    }
    if differing.len() > NAMED {
        text.push_str(&format!("  … and {} more\n", differing.len() - NAMED));
    }
    text
}
