//! `hd plan`: what `hd up` would run, and why.

use std::sync::Arc;
use std::time::Instant;

use hd_actors::events::{Events, Silence};
use hd_actors::forecast::{Forecast, forecast};
use hd_actors::step_runner::ahead::{Expected, Would};
use serde_json::{Value, json};

use super::up::{Plan, foreground};
use crate::args::PlanArgs;
use crate::error::{CliError, Outcome};
use crate::output::Output;
use crate::output::style::{Style, Tint};
use crate::output::table::{Cell, table};
use crate::project;

/// Prints what each step would do.
pub(crate) fn run(args: PlanArgs, output: Output, started: Instant) -> Outcome {
    let located = project::locate(&args.place, args.path.as_deref())?;
    let plan = Plan {
        located,
        base: args.base,
        jobs: None,
        services: Vec::new(),
        started,
    };
    let now = look(&plan, output)?;
    let steps = now.steps()?;
    if output.json {
        output.value(&value(&now, &steps))?;
    } else {
        output.data(&text(&steps, output.out))?;
    }
    Ok(0)
}

/// Looks at a project as it is now; nothing is said but what is odd about its hd.toml.
pub(super) fn look(plan: &Plan, output: Output) -> Result<Forecast, CliError> {
    let settings = foreground::settings(plan, output)?;
    Ok(forecast(settings, Events::new(Arc::new(Silence)))?)
}

fn value(now: &Forecast, steps: &[Expected]) -> Value {
    let steps = steps.iter().map(|step| {
        json!({
            "name": step.name,
            "slug": step.slug,
            "command": step.command,
            "plan": word(step.would),
            "reason": step.reason,
        })
    });
    json!({
        "schema": 1,
        "root": now.root().to_string(),
        "steps": steps.collect::<Vec<_>>(),
    })
}

fn text(steps: &[Expected], style: Style) -> String {
    if steps.is_empty() {
        return "there are no steps\n".to_owned();
    }
    let rows: Vec<Vec<Cell>> = steps
        .iter()
        .map(|step| {
            vec![
                Cell::new(&step.name),
                Cell::new(&step.slug),
                Cell::tinted(word(step.would), tint(step.would)),
                Cell::new(&step.reason),
            ]
        })
        .collect();
    table(&["STEP", "NAME", "PLAN", "WHY"], &rows, style)
}

fn word(would: Would) -> &'static str {
    match would {
        Would::Keep => "keep",
        Would::Run => "run",
        Would::Open => "open",
    }
}

fn tint(would: Would) -> Tint {
    match would {
        Would::Keep => Tint::Dim,
        Would::Run => Tint::Warn,
        Would::Open => Tint::Name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_line() {
        let step = |name: &str, would, reason: &str| Expected {
            name: name.to_owned(),
            slug: "make".to_owned(),
            command: "make".to_owned(),
            would,
            reason: reason.to_owned(),
        };
        let steps = [
            step("step-1", Would::Run, "a.c changed 1… → 2…"),
            step("step-2", Would::Open, "step-1 runs first"),
        ];
        let expected = "STEP    NAME  PLAN  WHY\n\
                        step-1  make  run   a.c changed 1… → 2…\n\
                        step-2  make  open  step-1 runs first\n";
        assert_eq!(text(&steps, Style::new(false)), expected);
        assert_eq!(text(&[], Style::new(false)), "there are no steps\n");
    }
}
