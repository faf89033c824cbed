//! What is asked of a running instance: `hd kill`, `wait`, `attach`, `events`.

use std::os::fd::AsFd;

use hd_actors::control::protocol::{Request, ServiceAction};
use hd_actors::model::report::{Report, ServiceReport};
use hd_config::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::json;

use super::up::{attach as up_attach, targets};
use crate::args::{KillArgs, Place, WaitArgs};
use crate::client::{Client, PROMPT, not_running};
use crate::error::{CliError, Outcome, exit};
use crate::leftovers;
use crate::output::Output;
use crate::project::{self, Located};

fn connect(located: &Located) -> Result<Client, CliError> {
    leftovers::find(located)?.ok_or_else(|| not_running(&located.title()))
}

pub(super) fn report(located: &Located) -> Result<Report, CliError> {
    connect(located)?.report(&Request::Status, Some(PROMPT))
}

/// The services that a name means: one, or all replicas of one.
pub(super) fn find<'a>(report: &'a Report, name: &str) -> Result<Vec<&'a ServiceReport>, CliError> {
    let all = report.services.iter();
    let found: Vec<_> = all.clone().filter(|one| one.is_named(name)).collect();
    match found.is_empty() {
        true => Err(targets::unknown(all.map(|one| one.name.as_str()), name)),
        false => Ok(found),
    }
}

/// Kills services, or sends a signal to their main processes.
pub(crate) fn kill(args: KillArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    let signal = match args.signal.as_deref() {
        None => Signal::KILL,
        Some(name) => Signal::parse(name).ok_or_else(|| {
            CliError::new("usage", exit::USAGE, format!("{name:?} is no signal"))
                .hint(Signal::names())
        })?,
    };
    let report = report(&located)?;
    let mut named = args.services;
    let mut meant = Vec::new();
    if named.is_empty() {
        // Without a process there is nobody to hear of it; kept from a start it is, when killed.
        let hears = |one: &&ServiceReport| signal == Signal::KILL || one.pid.is_some();
        meant.extend(report.services.iter().filter(hears));
        named.extend(meant.iter().map(|service| service.name.clone()));
    } else {
        for name in &named {
            meant.extend(find(&report, name)?);
        }
    }
    if signal == Signal::KILL {
        let (action, names) = (ServiceAction::Kill, named.clone());
        connect(&located)?.done(&Request::Service { action, names }, false)?;
    } else {
        for service in meant {
            send(service, signal)?;
        }
    }
    if output.json {
        let signal = signal.to_string();
        output.value(&json!({"schema": 1, "services": named, "signal": signal}))?;
    } else {
        match named.is_empty() {
            true => output.talk("no service has a process"),
            false => output.talk(&format!("{}: {signal} sent", named.join(", "))),
        }
    }
    Ok(0)
}

/// Sends a signal to the main process of a service.
fn send(service: &ServiceReport, signal: Signal) -> Result<(), CliError> {
    let name = &service.name;
    let failed = |why: &dyn std::fmt::Display| {
        CliError::new(
            "service",
            exit::SERVICE,
            format!("{name} got no signal: {why}"),
        )
        .at(&**name)
    };
    let pid = service.pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let pid = pid.ok_or_else(|| failed(&"it does not run").hint("`hd ps` shows why"))?;
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| failed(&e))?;
    hd_sandbox::signal_process(process.as_fd(), signal.number()).map_err(|e| failed(&e))
}

/// Waits until services are ready.
pub(crate) fn wait(args: WaitArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    let within = match args.timeout.as_deref().map(hd_config::duration::parse) {
        None => None,
        Some(Ok(time)) if !time.is_zero() => Some(time),
        Some(other) => {
            let why = other
                .err()
                .map_or("it is zero".to_owned(), |e| e.to_string());
            let error = CliError::new("usage", exit::USAGE, format!("--timeout: {why}"));
            return Err(error.hint("`30s`, `2m`"));
        }
    };
    let names = args.services;
    let asked = connect(&located)?.ask(
        &Request::WaitReady {
            names: names.clone(),
        },
        within,
    );
    match asked {
        Err(error) if error.exit() == exit::TIMEOUT => {
            let late = waiting(&report(&located)?, &names).join(", ");
            let message = format!("not ready in time: {late}");
            return Err(CliError::new("timeout", exit::SERVICE, message)
                .hint("`hd status` says what each of them waits for"));
        }
        other => drop(other?),
    }
    if output.json {
        let services = report(&located)?.services;
        output.value(&json!({"schema": 1, "services": services}))?;
    }
    Ok(0)
}

fn waiting(report: &Report, names: &[String]) -> Vec<String> {
    use hd_actors::model::report::ServiceState::{Exited, Ready};
    let all = report.services.iter();
    let late = all.filter(|one| {
        (names.is_empty() || names.iter().any(|name| one.is_named(name)))
            && !matches!(one.state, Ready | Exited)
    });
    late.map(|one| one.name.clone()).collect()
}

/// Prints what happens until hd ends.
pub(crate) fn attach(place: &Place, output: Output) -> Outcome {
    let located = project::locate(place, None)?;
    let name = report(&located)?.name;
    output.talk(&format!("attached to {name}; Ctrl-C leaves it running"));
    up_attach::print(connect(&located)?, output)?;
    output.talk(&format!("{name} has ended"));
    Ok(0)
}

/// Prints events as JSON until hd ends.
pub(crate) fn events(place: &Place, output: Output) -> Outcome {
    let located = project::locate(place, None)?;
    let client = connect(&located)?;
    client.follow(&Request::Events, |line| output.data(&format!("{line}\n")))?;
    Ok(0)
}
