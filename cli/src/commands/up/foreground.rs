//! The runtime in this process: the one place that knows how it is started.

use std::sync::{Arc, OnceLock};

use hd_actors::Settings;
use hd_actors::events::{Event, Events};
use hd_actors::hold::Hold;
use hd_actors::model::report::Report;
use hd_actors::runtime::{self, Ended, Mode, Running, Stopper};

use super::{Plan, own, reader, user};
use crate::error::{CliError, Outcome, exit};
use crate::output::{Output, Printer, Scope, lines};
use crate::signals::{self, Received};
use crate::turn;

/// Builds without starting services.
pub(super) fn once(plan: &Plan, hold: Hold, rerun: Vec<String>, output: Output) -> Outcome {
    let (ended, signal) = run(plan, hold, Mode::Once { rerun }, output, Scope::All)?;
    conclude(ended.report, ended.exit, signal.exit(), output)
}

/// Runs until the end of the runtime, printing what happens.
pub(super) fn serve(plan: &Plan, hold: Hold, output: Output) -> Outcome {
    let (ended, signal) = run(plan, hold, Mode::Serve, output, Scope::All)?;
    conclude(ended.report, ended.exit, signal.exit(), output)
}

/// The same away from any terminal; the logs of services are on disk already.
pub(super) fn serve_in_background(plan: &Plan, output: Output) -> Outcome {
    // It fails only for the leader of a group, who has no terminal to lose.
    let _ = rustix::process::setsid();
    let hint = "`hd status` shows it, `hd down` ends it";
    let hold = turn::take_alone(&plan.located, output, hint)?;
    let (ended, signal) = run(plan, hold, Mode::Serve, output, Scope::Talk)?;
    conclude(ended.report, ended.exit, signal.exit(), output)
}

fn run(
    plan: &Plan,
    hold: Hold,
    mode: Mode,
    output: Output,
    scope: Scope,
) -> Result<(Ended, Received), CliError> {
    run_with(plan, hold, mode, output, scope, Running::wait)
}

/// Starts the runtime, prints what happens, and lets `work` bring it to its end.
pub(in crate::commands) fn run_with<T>(
    plan: &Plan,
    hold: Hold,
    mode: Mode,
    output: Output,
    scope: Scope,
    work: impl FnOnce(Running) -> T,
) -> Result<(T, Received), CliError> {
    let settings = settings_for(plan, mode == Mode::Serve, output)?;
    let names = settings
        .first
        .project
        .services
        .iter()
        .map(|service| service.name.clone())
        .collect();
    let started: Arc<OnceLock<(Stopper, Events)>> = Arc::default();
    let signal = signals::handle(stop_by(Arc::clone(&started)))?;
    let printer = Printer::start(output, names, scope)
        .map_err(|e| CliError::new("io", exit::INTERNAL, format!("cannot start a thread: {e}")))?;
    let running = runtime::start(settings, mode, printer.events(), hold)?;
    // Nobody else sets it.
    let _ = started.set((running.stopper(), printer.events()));
    let ended = work(running);
    // What was told before the end is printed before the end.
    drop(printer);
    Ok((ended, signal))
}

/// Gives what a runtime starts with that runs no services.
pub(in crate::commands) fn settings(plan: &Plan, output: Output) -> Result<Settings, CliError> {
    settings_for(plan, false, output)
}

fn settings_for(plan: &Plan, serves: bool, output: Output) -> Result<Settings, CliError> {
    // What an earlier hd left was found from outside; nothing runs here yet that a thread is for.
    user::become_root_inside()?;
    let (first, reader) = reader::begin(plan, serves, output)?;
    let mut settings = Settings {
        host_env: reader.host_env().clone(),
        first,
        reader: Arc::new(reader),
        project_dir: plan.located.directory.clone(),
        config_path: plan.located.config.clone(),
        paths: plan.located.paths.clone(),
        base_override: plan.base.clone(),
        jobs: plan.jobs,
        own: own::paths(&plan.located),
        started: plan.started,
    };
    user::check_ports(&settings.first.project)?;
    settings.own.extend(own::secrets(&settings));
    Ok(settings)
}

/// The first signal stops in peace, the second at once. What is said of it waits its turn: who does not read what
/// `hd up` prints can still end it.
fn stop_by(started: Arc<OnceLock<(Stopper, Events)>>) -> impl FnMut(u32, i32) + Send + 'static {
    move |count, code| match started.get() {
        Some((stopper, events)) => {
            stopper.stop(count > 1);
            if count == 1 {
                events.tell(Event::Note("stopping; once more: at once".to_owned()));
            }
        }
        // Nothing runs yet that could be stopped in peace; what was begun, the guardian ends.
        None => std::process::exit(code),
    }
}

/// Says how it ended.
pub(in crate::commands) fn conclude(
    mut report: Report,
    code: i32,
    signal: Option<i32>,
    output: Output,
) -> Outcome {
    let code = signal.unwrap_or(code);
    if signal.is_none()
        && code != 0
        && let Some(error) = report.error.take()
    {
        return Err(CliError::from_report(error, code).state(report));
    }
    if output.json {
        output.value(&report)?;
    } else if report.root.is_some() {
        output.talk(&lines::summary(&report, output.err));
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use hd_actors::model::report::ErrorReport;

    use crate::args::Progress;
    use crate::output::style::Style;

    use super::*;

    fn output() -> Output {
        let style = Style::new(false);
        Output {
            json: false,
            out: style,
            err: style,
            progress: Progress::Quiet,
        }
    }

    fn failed() -> Report {
        let error = ErrorReport {
            code: "step".to_owned(),
            ..ErrorReport::default()
        };
        Report {
            name: "demo".to_owned(),
            error: Some(error),
            ..Report::default()
        }
    }

    #[test]
    fn a_failure_keeps_its_code_and_what_was_known() {
        let error = conclude(failed(), 3, None, output()).unwrap_err();
        assert_eq!((error.exit(), error.json().name.as_str()), (3, "demo"));
    }

    #[test]
    fn a_signal_is_the_reason_whatever_else_happened() {
        assert_eq!(conclude(failed(), 3, Some(130), output()).unwrap(), 130);
        assert_eq!(conclude(Report::default(), 0, None, output()).unwrap(), 0);
    }
}
