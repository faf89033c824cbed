//! `network` and `ports` of a service.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::services::port;
use crate::error::Problem;
use crate::network::{Published, ServiceNetwork};
use crate::read::{Item, Result, Section};
use crate::service::{Probe, Service};

const HINT: &str = "ports = [\"8080:80\", \"127.0.0.1:9000:9000\", \"auto:80\"]";

pub(super) fn network(item: &Item<'_>) -> Result<ServiceNetwork> {
    let all = [
        ServiceNetwork::Host,
        ServiceNetwork::None,
        ServiceNetwork::Isolated,
    ];
    item.one_of(&all.map(|one| (one.as_str(), one)))
}

/// A list; a number alone is published on any free port.
pub(super) fn ports(item: &Item<'_>) -> Result<Vec<Published>> {
    let elements = item.elements_of("a list of published ports", HINT)?;
    let one = |item: &Item<'_>| match item.value() {
        DeValue::Integer(_) => {
            let target = port(item)?;
            Published::parse(&format!("auto:{target}")).map_err(|why| item.invalid(why, HINT))
        }
        _ => Published::parse(item.text()?).map_err(|why| item.invalid(why, HINT)),
    };
    elements.iter().map(one).collect()
}

/// Refuses what contradicts the network of a service.
pub(super) fn check(section: &Section<'_>, service: &Service) -> Result<()> {
    if let Some(item) = section.get("ports")
        && service.network != ServiceNetwork::Isolated
        && !service.ports.is_empty()
    {
        let hint = match service.network {
            ServiceNetwork::None => "leave `ports` out, or network = \"isolated\"",
            _ => "add network = \"isolated\"; on the host's network it listens at its own `port`",
        };
        return Err(item.invalid_key("only an isolated service has ports to publish", hint));
    }
    if service.network != ServiceNetwork::None {
        return Ok(());
    }
    let hint = "network = \"isolated\" is one that services share";
    if let Some(item) = section.get("port") {
        return Err(item.invalid_key("nobody reaches a service without network", hint));
    }
    let probe = service.healthcheck.as_ref().map(|check| &check.test);
    match (section.get("healthcheck"), probe) {
        (Some(item), Some(Probe::Http { .. } | Probe::Https { .. } | Probe::Tcp { .. })) => {
            let why = "nobody reaches a service without network";
            Err(item.invalid_key(why, "`test` runs a command beside it"))
        }
        _ => Ok(()),
    }
}

/// Refuses two services at one port: on the machine, and in the isolated network.
pub(super) fn unique(declared: &[Item<'_>], services: &[Service]) -> Result<()> {
    let mut taken: BTreeMap<(bool, u16), &str> = BTreeMap::new();
    for (item, service) in declared.iter().zip(services) {
        let isolated = service.network == ServiceNetwork::Isolated;
        let own = service.port.map(|port| ((isolated, port), "port"));
        let published = service.ports.iter().filter_map(|one| one.port);
        let published = published.map(|port| ((false, port), "ports"));
        for ((isolated, port), key) in own.into_iter().chain(published) {
            let Some(first) = taken.insert((isolated, port), &service.name) else {
                continue;
            };
            let problem = Problem::DuplicatePort {
                port,
                first: first.to_owned(),
                second: service.name.clone(),
            };
            let at = item.section()?.get(key);
            return Err(at.as_ref().unwrap_or(item).error(problem));
        }
    }
    Ok(())
}
