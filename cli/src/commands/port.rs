//! `hd port`: where services are reached.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hd_actors::model::report::ServiceReport;
use serde_json::{Value, json};

use super::beside::{find, report};
use crate::args::{Place, PortArgs};
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;
use crate::project::{self, Located};

/// Prints where a service listens: a line for each place, of each replica.
pub(crate) fn run(args: PortArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    let report = report(&located)?;
    let (mut lines, mut values) = (Vec::new(), Vec::new());
    for service in find(&report, &args.service)? {
        let (places, value) = match service.network {
            Some(_) => published(service, args.target)?,
            None => own(&located, service, args.target)?,
        };
        // Replicas may share one.
        for place in places {
            if !lines.contains(&place) {
                lines.push(place);
            }
        }
        values.push(value);
    }
    if output.json {
        // All are below the first, which is one alone as a rule.
        let mut first = values.first().cloned().unwrap_or_default();
        if values.len() > 1 {
            first["replicas"] = json!(values);
        }
        first["schema"] = json!(1);
        return output.value(&first).map(|()| 0);
    }
    let lines: String = lines.iter().map(|place| format!("{place}\n")).collect();
    output.data(&lines)?;
    Ok(0)
}

/// Where a service on this machine's network listens.
fn own(
    located: &Located,
    service: &ServiceReport,
    target: Option<u16>,
) -> Result<(Vec<SocketAddr>, Value), CliError> {
    let port = service
        .port
        .filter(|port| target.is_none_or(|target| target == *port));
    let port = port.ok_or_else(|| {
        let message = format!("{} has no port", service.name);
        CliError::new("usage", exit::USAGE, message)
            .at(&*service.name)
            .hint("`port = 3000` (or \"auto\") in hd.toml says where it listens")
    })?;
    let loaded = located.load().ok();
    let held = loaded.and_then(|loaded| loaded.project.named(service.declared()).next()?.socket);
    let host = held.unwrap_or(IpAddr::from(Ipv4Addr::LOCALHOST));
    let value = json!({"service": service.name, "host": host.to_string(), "port": port});
    Ok((vec![SocketAddr::new(host, port)], value))
}

/// Where an isolated service is reached: at each port it publishes.
fn published(
    service: &ServiceReport,
    target: Option<u16>,
) -> Result<(Vec<SocketAddr>, Value), CliError> {
    let all = service.published.iter();
    let all = all.filter(|one| target.is_none_or(|target| target == one.target));
    let all: Vec<_> = all.collect();
    let Some(first) = all.first() else {
        let what = target.map_or("no port".to_owned(), |port| format!("no port {port}"));
        let message = format!("{} publishes {what}", service.name);
        return Err(CliError::new("usage", exit::USAGE, message)
            .at(&*service.name)
            .hint("`ports = [\"8080:80\"]` in hd.toml does"));
    };
    let value = json!({
        "service": service.name, "host": first.address, "port": first.port, "published": all,
    });
    let local = IpAddr::from(Ipv4Addr::LOCALHOST);
    let place = |address: &str, port| SocketAddr::new(address.parse().unwrap_or(local), port);
    let places = all.iter().map(|one| place(&one.address, one.port));
    Ok((places.collect(), value))
}
