//! `network` and `ports` of a service.

use std::collections::BTreeMap;
use std::net::IpAddr;

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

/// One port that a service listens at.
struct Claim<'a> {
    service: &'a Service,
    /// In the isolated network, not on the machine.
    inside: bool,
    port: u16,
    /// The one address it listens at there, where that is said.
    address: Option<IpAddr>,
    /// The key that says so.
    key: &'static str,
}

impl Claim<'_> {
    fn clashes(&self, other: &Self) -> bool {
        let one_service = self.service.name == other.service.name;
        let [ours, theirs] = [self, other].map(|claim| &claim.service.profiles);
        // Services of different profiles are alternatives.
        let together =
            ours.is_empty() || theirs.is_empty() || ours.iter().any(|name| theirs.contains(name));
        let addresses = self.address.zip(other.address);
        // `[::]` is every address, those of IPv4 too (ipv6(7), IPV6_V6ONLY).
        let covers = |one: IpAddr, other: IpAddr| {
            one == other || (one.is_unspecified() && (one.is_ipv6() || other.is_ipv4()))
        };
        let apart =
            addresses.is_some_and(|(one, other)| !covers(one, other) && !covers(other, one));
        // Inside, a service is published from where it listens as often as it likes.
        together && !apart && !(self.inside && one_service)
    }
}

fn claims(service: &Service) -> Vec<Claim<'_>> {
    let isolated = service.network == ServiceNetwork::Isolated;
    let claim = |inside, port, address, key| Claim {
        service,
        inside,
        port,
        address,
        key,
    };
    let mut claims = Vec::new();
    claims.extend(service.port.map(|port| claim(isolated, port, None, "port")));
    for one in &service.ports {
        claims.push(claim(true, one.target, None, "ports"));
        claims.extend(
            one.port
                .map(|port| claim(false, port, Some(one.address), "ports")),
        );
    }
    claims
}

/// Refuses two services at one port: on the machine, and in the isolated network.
pub(super) fn unique(declared: &[Item<'_>], services: &[Service]) -> Result<()> {
    let mut taken: BTreeMap<(bool, u16), Vec<Claim<'_>>> = BTreeMap::new();
    for (item, service) in declared.iter().zip(services) {
        for claim in claims(service) {
            let others = taken.entry((claim.inside, claim.port)).or_default();
            if let Some(first) = others.iter().find(|other| other.clashes(&claim)) {
                let problem = Problem::DuplicatePort {
                    port: claim.port,
                    first: first.service.name.clone(),
                    second: service.name.clone(),
                };
                let at = item.section()?.get(claim.key);
                return Err(at.as_ref().unwrap_or(item).error(problem));
            }
            others.push(claim);
        }
    }
    Ok(())
}
