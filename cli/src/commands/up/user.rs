//! What differs when an ordinary user runs hd.

use hd_config::{Project, Service, ServiceNetwork};
use hd_sandbox::own_namespace;

use crate::error::{CliError, exit};

/// First port that everybody may listen on; where the kernel says nothing, it is this.
const FIRST_PORT: u16 = 1024;

/// Makes hd root of a user namespace, unless it is root already.
pub(in crate::commands) fn become_root_inside() -> Result<(), CliError> {
    own_namespace::enter().map_err(|e| {
        CliError::new("machine", exit::MACHINE, e)
            .hint("`hd doctor` says what this machine lacks; as root hd needs no user namespace")
    })
}

/// Refuses ports that only root may listen on.
pub(super) fn check_ports(project: &Project) -> Result<(), CliError> {
    if own_namespace::entered().is_none() {
        return Ok(());
    }
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first = first.ok().and_then(|text| text.trim().parse().ok());
    refuse_below(first.unwrap_or(FIRST_PORT), project)
}

fn refuse_below(first: u16, project: &Project) -> Result<(), CliError> {
    let mut ports = project.services.iter().flat_map(of_machine);
    let Some((key, port)) = ports.find(|(_, port)| *port < first) else {
        return Ok(());
    };
    let place = project.place(&key).map_or(key, ToString::to_string);
    let message = format!("only root may listen on port {port}: it is below {first}");
    Err(CliError::new("config.invalid_value", exit::USAGE, message)
        .at(place)
        .hint(format!(
            "take a port from {first} on, or `sysctl net.ipv4.ip_unprivileged_port_start={port}`"
        )))
}

/// Gives the ports of the machine that a service needs, with their keys: in a network of its own hd's
/// root may listen on any.
fn of_machine(service: &Service) -> Vec<(String, u16)> {
    let name = service.declared();
    match service.network {
        ServiceNetwork::Host => {
            let port = service.port.into_iter();
            port.map(|port| (format!("services.{name}.port"), port))
                .collect()
        }
        ServiceNetwork::Isolated => {
            let all = service.ports.iter().enumerate();
            all.filter_map(|(at, one)| Some((format!("services.{name}.ports[{at}]"), one.port?)))
                .collect()
        }
        ServiceNetwork::None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_isolated_service_the_published_ports_count() {
        let refused = |lines: &str| {
            let text =
                format!("[environment]\nname = \"x\"\n[services.web]\ncommand = \"a\"\n{lines}");
            let project = hd_config::parse(&text, "hd.toml").unwrap();
            let error = refuse_below(1024, &project).err()?;
            Some(error.report().place.clone())
        };
        let isolated = "network = \"isolated\"\nport = 80\n";
        assert_eq!(refused(isolated), None);
        let published = |ports: &str| refused(&format!("{isolated}ports = [{ports}]\n"));
        assert_eq!(published("\"8080:80\", \"auto:81\""), None);
        let place = published("\"8080:80\", \"81:81\"").unwrap();
        assert!(place.starts_with("hd.toml:7:"), "{place}");
        assert_eq!(refused("network = \"none\"\n"), None);
    }

    #[test]
    fn a_port_of_root_is_named_with_its_line() {
        let text = "[environment]\nname = \"x\"\n[services.web]\ncommand = \"a\"\nport = 80\n";
        let project = hd_config::parse(text, "hd.toml").unwrap();
        assert!(refuse_below(80, &project).is_ok());
        let error = refuse_below(1024, &project).unwrap_err();
        assert_eq!(error.exit(), 2);
        assert!(
            error.report().place.starts_with("hd.toml:5:"),
            "{}",
            error.report().place
        );
        assert!(error.report().message.contains("port 80"));
    }
}
