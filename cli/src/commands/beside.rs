//! What is asked of a running instance: `hd kill`, `wait`, `port`, `attach`, `events`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hd_actors::control::protocol::{Request, ServiceAction};
use hd_actors::model::report::{PublishedPort, Report, ServiceReport};
use hd_config::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use serde_json::json;

use super::up::{attach as up_attach, targets};
use crate::args::{KillArgs, Place, PortArgs, WaitArgs};
use crate::client::{Client, PROMPT, not_running};
use crate::error::{CliError, Outcome, exit};
use crate::leftovers;
use crate::output::Output;
use crate::project::{self, Located, shown};

fn connect(located: &Located) -> Result<Client, CliError> {
    leftovers::find(located)?.ok_or_else(|| not_running(&shown(&located.config)))
}

fn report(located: &Located) -> Result<Report, CliError> {
    connect(located)?.report(&Request::Status, Some(PROMPT))
}

fn find<'a>(report: &'a Report, name: &str) -> Result<&'a ServiceReport, CliError> {
    let known = report.services.iter().map(|service| service.name.as_str());
    let found = report.services.iter().find(|service| service.name == name);
    found.ok_or_else(|| targets::unknown(known, name))
}

/// Kills services, or sends a signal to their main processes.
pub(crate) fn kill(args: KillArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    let signal = match args.signal.as_deref() {
        None => Signal::Kill,
        Some(name) => Signal::parse(name).ok_or_else(|| {
            CliError::new("usage", exit::USAGE, format!("{name:?} is no signal"))
                .hint(Signal::names())
        })?,
    };
    let report = report(&located)?;
    let named: Vec<String> = if args.services.is_empty() {
        let all = report.services.iter();
        all.map(|service| service.name.clone()).collect()
    } else {
        args.services
    };
    for name in &named {
        find(&report, name)?;
    }
    if signal == Signal::Kill {
        let (action, names) = (ServiceAction::Kill, named.clone());
        connect(&located)?.done(&Request::Service { action, names }, false)?;
    } else {
        for name in &named {
            send(find(&report, name)?, signal)?;
        }
    }
    if output.json {
        let signal = signal.name();
        output.value(&json!({"schema": 1, "services": named, "signal": signal}))?;
    } else {
        output.talk(&format!("{}: {signal} sent", named.join(", ")));
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
    let number = rustix::process::Signal::from_named_raw(signal.number());
    let number = number.ok_or_else(|| failed(&"it is not known here"))?;
    pidfd_send_signal(&process, number).map_err(|e| failed(&e))
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
        (names.is_empty() || names.contains(&one.name)) && !matches!(one.state, Ready | Exited)
    });
    late.map(|one| one.name.clone()).collect()
}

/// Prints where a service listens.
pub(crate) fn port(args: PortArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    let report = report(&located)?;
    let service = find(&report, &args.service)?;
    if service.network.is_some() {
        return published(service, args.target, output);
    }
    let port = service
        .port
        .filter(|port| args.target.is_none_or(|target| target == *port));
    let port = port.ok_or_else(|| {
        let message = format!("{} has no port", service.name);
        CliError::new("usage", exit::USAGE, message)
            .at(&*service.name)
            .hint("`port = 3000` (or \"auto\") in hd.toml says where it listens")
    })?;
    let loaded = located.load().ok();
    let held = loaded.and_then(|loaded| loaded.project.service(&service.name)?.socket);
    let host = held.unwrap_or(IpAddr::from(Ipv4Addr::LOCALHOST));
    if output.json {
        let host = host.to_string();
        output.value(&json!({"schema": 1, "service": service.name, "host": host, "port": port}))?;
    } else {
        output.data(&format!("{}\n", SocketAddr::new(host, port)))?;
    }
    Ok(0)
}

/// Prints where an isolated service is reached: one line for each port it publishes.
fn published(service: &ServiceReport, target: Option<u16>, output: Output) -> Outcome {
    let all = service.published.iter();
    let all = all.filter(|one| target.is_none_or(|target| target == one.target));
    let all: Vec<&PublishedPort> = all.collect();
    let Some(first) = all.first() else {
        let what = target.map_or("no port".to_owned(), |port| format!("no port {port}"));
        let message = format!("{} publishes {what}", service.name);
        return Err(CliError::new("usage", exit::USAGE, message)
            .at(&*service.name)
            .hint("`ports = [\"8080:80\"]` in hd.toml does"));
    };
    if output.json {
        let value = json!({
            "schema": 1, "service": service.name, "host": first.address, "port": first.port,
            "published": all,
        });
        return output.value(&value).map(|()| 0);
    }
    for one in all {
        let address: IpAddr = one
            .address
            .parse()
            .unwrap_or(IpAddr::from(Ipv4Addr::LOCALHOST));
        output.data(&format!("{}\n", SocketAddr::new(address, one.port)))?;
    }
    Ok(0)
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
