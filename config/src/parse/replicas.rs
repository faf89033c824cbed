//! `replicas` of a service.

use std::collections::BTreeMap;

use crate::read::{Item, Result};
use crate::replica;
use crate::service::Service;

/// Most replicas on one machine: more is a typing error.
pub(crate) const MAX: u32 = 100;

/// Gives how many replicas each service has, if it says so, and refuses those that could not run side
/// by side. `scale` beats the file.
pub(super) fn counts(
    declared: &[Item<'_>],
    services: &[Service],
    scale: &BTreeMap<String, u32>,
) -> Result<Vec<Option<u32>>> {
    let mut counts = Vec::with_capacity(services.len());
    for (item, service) in declared.iter().zip(services) {
        let said = item.section()?.get("replicas");
        let in_file = said.as_ref().map(count).transpose()?;
        let asked = scale.get(&service.name).copied();
        let count = asked.or(in_file);
        let at = said.as_ref().unwrap_or(item);
        if let Some(count) = count {
            in_range(at, i128::from(count))?;
            names(at, service, count, declared)?;
            if count > 1 {
                together(item, service, count)?;
            }
        }
        counts.push(count);
    }
    Ok(counts)
}

fn count(item: &Item<'_>) -> Result<u32> {
    in_range(item, item.integer()?)
}

fn in_range(item: &Item<'_>, number: i128) -> Result<u32> {
    match u32::try_from(number) {
        Ok(0) => Err(item.invalid(
            "0 replicas are no service",
            "`profiles` leave a service out until it is asked for; `hd stop` stops one",
        )),
        Ok(count) if count <= MAX => Ok(count),
        _ => Err(item.invalid(
            format!("{number} is no number of replicas"),
            format!("1 to {MAX}"),
        )),
    }
}

/// Refuses a replica whose name another service has, or that is too long for one.
fn names(at: &Item<'_>, service: &Service, count: u32, declared: &[Item<'_>]) -> Result<()> {
    let mut all = (1..=count).map(|number| replica::name(&service.name, number));
    let taken = all.find(|name| declared.iter().any(|one| one.key() == name));
    if let Some(name) = taken {
        let why = format!("its replica `{name}` would have the name of [services.{name}]");
        return Err(at.invalid(why, "rename one of both"));
    }
    if replica::name(&service.name, count).len() > 63 {
        let why = "names of replicas would be longer than 63 characters";
        return Err(at.invalid(why, "shorten the name of the service"));
    }
    Ok(())
}

/// Refuses what only one of several can have: a port of the network that they share.
fn together(item: &Item<'_>, service: &Service, count: u32) -> Result<()> {
    let section = item.section()?;
    let shared = service.port.filter(|_| service.socket.is_some());
    if let Some(at) = section.get("port")
        && let Some(port) = service.port.filter(|_| shared.is_none())
    {
        let why = format!("{count} replicas cannot each listen on port {port}");
        let hint = "socket = true shares one socket among them, port = \"auto\" gives each its own \
                    (as PORT)";
        return Err(at.invalid(why, hint));
    }
    let other = service.ports.iter().find(|one| shared != Some(one.target));
    if let Some(at) = section.get("ports")
        && let Some(other) = other
    {
        let target = other.target;
        let why = format!(
            "{count} replicas share the isolated network: only one of them could listen on port {target}"
        );
        let hint = format!("port = {target} and socket = true let them share a socket there");
        return Err(at.invalid(why, hint));
    }
    Ok(())
}
