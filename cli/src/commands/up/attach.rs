//! `hd up` where an instance runs already.

use hd_actors::control::protocol::Request;
use hd_actors::model::report::Report;

use super::{Plan, background, foreground};
use crate::client::{Client, PROMPT, not_running};
use crate::error::{CliError, Outcome, exit};
use crate::leftovers;
use crate::output::Output;
use crate::output::style::tame;

/// Starts what is missing and prints what happens until the runtime ends or the reader goes.
pub(super) fn follow(plan: &Plan, output: Output) -> Outcome {
    let report = start_missing(plan)?;
    output.talk(&format!(
        "{} runs already: attached; Ctrl-C leaves it running, `hd down` ends it",
        report.name
    ));
    print(connect(plan)?, output)?;
    output.talk(&format!("{} has ended", report.name));
    Ok(0)
}

/// Prints what happens until the runtime ends or the reader goes.
pub(in crate::commands) fn print(client: Client, output: Output) -> Result<(), CliError> {
    let style = output.out.colour();
    client.follow(&Request::Attach, |line| {
        output.data(&format!("{}\n", tame(line, style)))
    })
}

/// Starts what is missing and returns.
pub(super) fn start(plan: &Plan, wait: bool, output: Output) -> Outcome {
    let report = start_missing(plan)?;
    if wait {
        // What else runs, and how that fares, is the business of who asked for it.
        let names = plan.services.clone();
        connect(plan)?.done(&Request::WaitReady { names }, false)?;
    }
    background::tell_up(&report.name, "runs already", connect(plan)?, output)
}

/// Asks the runtime to build.
pub(super) fn build(client: Client, plan: &Plan, rerun: Vec<String>, output: Output) -> Outcome {
    if plan.base.is_some() {
        same_base(
            plan.base.as_deref(),
            &connect(plan)?.report(&Request::Status, Some(PROMPT))?,
        )?;
    }
    let mut report = match client.report(&Request::Build { rerun }, None) {
        Ok(report) => report,
        // What the runtime knows belongs to the answer on failure too.
        Err(error) => match connect(plan)?.report(&Request::Status, Some(PROMPT)) {
            Ok(state) => return Err(error.state(state)),
            Err(_) => return Err(error),
        },
    };
    // The figure is of this command, not of the whole life of the instance.
    report.ms = plan.started.elapsed().as_secs_f64() * 1000.0;
    foreground::conclude(report, 0, None, output)
}

fn start_missing(plan: &Plan) -> Result<Report, CliError> {
    let report = connect(plan)?.report(&Request::Status, Some(PROMPT))?;
    same_base(plan.base.as_deref(), &report)?;
    let request = Request::Up {
        services: plan.services.clone(),
        profiles: plan.located.profiles.clone(),
        scale: plan.located.scale.clone(),
    };
    connect(plan)?.done(&request, false)?;
    Ok(report)
}

/// Refuses another base than that of the running instance.
pub(in crate::commands) fn same_base(
    wanted: Option<&str>,
    report: &Report,
) -> Result<(), CliError> {
    if wanted.is_none() || wanted == report.base.as_deref() {
        return Ok(());
    }
    let other = report
        .base
        .as_deref()
        .unwrap_or("this machine's own system");
    Err(CliError::new(
        "usage",
        exit::USAGE,
        format!("{} runs already, on {other}", report.name),
    )
    .hint("`hd down` ends it; then `hd up --base` starts it anew"))
}

fn connect(plan: &Plan) -> Result<Client, CliError> {
    leftovers::find(&plan.located)?.ok_or_else(|| not_running(&plan.located.title()))
}
