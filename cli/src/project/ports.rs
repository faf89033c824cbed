//! `port = "auto"`: a free port, the same one as last time where it is still free.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

use hd_actors::model::instance::InstancePaths;
use hd_actors::model::report::{PublishedPort, Report, ServiceReport};
use hd_config::service::port_variable;
use hd_config::{Project, Replica, Service, ServiceNetwork};

/// Gives each service that wants one a port: that of `last`, else a free one.
///
/// The port of a running instance is the one of its last state; nobody else is asked to leave it.
pub(super) fn assign(project: &mut Project, last: &BTreeMap<String, u16>) {
    let mut taken: BTreeSet<u16> = BTreeSet::new();
    for service in &project.services {
        taken.extend(service.port);
        taken.extend(service.ports.iter().filter_map(|one| one.port));
    }
    // Ports that all replicas of a service have, by its name and theirs inside.
    let mut shared: BTreeMap<(String, u16), u16> = BTreeMap::new();
    for service in project.services.iter_mut().filter(|one| one.auto_port) {
        let before = last.get(&service.name).copied();
        let wanted = before.filter(|port| !taken.contains(port));
        let all = (service.declared().to_owned(), 0);
        let known = shared
            .get(&all)
            .copied()
            .filter(|_| service.socket.is_some());
        // Without any free port the service is told of a port by nobody, and fails by itself.
        if let Some(port) = known.or(wanted).or_else(|| free(&taken)) {
            taken.insert(port);
            shared.insert(all, port);
            service.assign_port(port);
        }
    }
    for service in &mut project.services {
        let (name, declared) = (service.name.clone(), service.declared().to_owned());
        for one in service.ports.iter_mut().filter(|one| one.auto) {
            let before = last.get(&published(&name, one.target)).copied();
            let wanted = before.filter(|port| !taken.contains(port));
            let all = (declared.clone(), one.target);
            let known = shared.get(&all).copied();
            one.port = known.or(wanted).or_else(|| free(&taken));
            taken.extend(one.port);
            shared.extend(one.port.map(|port| (all, port)));
        }
    }
}

/// Gives the ports that were looked for, as `last` of [`assign`].
pub(crate) fn assigned(project: &Project) -> BTreeMap<String, u16> {
    let mut ports = BTreeMap::new();
    for service in &project.services {
        let own = service.port.filter(|_| service.auto_port);
        ports.extend(own.map(|port| (service.name.clone(), port)));
        for one in service.ports.iter().filter(|one| one.auto) {
            let key = published(&service.name, one.target);
            ports.extend(one.port.map(|port| (key, port)));
        }
    }
    ports
}

/// The key of a published port among those that services had last; no service has such a name.
fn published(service: &str, target: u16) -> String {
    format!("{service}:{target}")
}

/// Gives what every service is told of the ports of all: `HD_PORT_WEB=3000`; of replicas, that of the
/// first by the name of all, and each by its own.
pub(super) fn variables(project: &Project) -> BTreeMap<String, String> {
    let told = |service: &Service| Some((service.port_variable(), service.port?.to_string()));
    let first = |service: &Service| {
        let replica = service.replica.as_ref().filter(|one| one.number == 1)?;
        Some((port_variable(&replica.of), service.port?.to_string()))
    };
    let services = &project.services;
    let firsts = services.iter().filter_map(first);
    services.iter().filter_map(told).chain(firsts).collect()
}

/// Gives what one service is told: the ports of all, its own as `PORT` when hd chose it, and which
/// replica it is.
pub(super) fn of_service(
    service: &Service,
    ports: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut env = ports.clone();
    if let Some(port) = service.port.filter(|_| service.auto_port) {
        env.insert("PORT".to_owned(), port.to_string());
    }
    if let Some(replica) = &service.replica {
        env.insert(Replica::VARIABLE.to_owned(), replica.number.to_string());
    }
    env
}

/// Gives the ports that services of an instance had last.
///
/// Read only where it is of use: an instance has no state before its first run.
pub(crate) fn last(paths: &InstancePaths) -> BTreeMap<String, u16> {
    known(paths, |_| true, |_, _| true)
}

/// Gives those of them that nobody has taken since: for an instance that is about to run.
pub(crate) fn still_free(paths: &InstancePaths) -> BTreeMap<String, u16> {
    let own = |service: &ServiceReport, port| {
        let isolated = service.network.as_deref() == Some(ServiceNetwork::Isolated.as_str());
        let local = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ];
        isolated || local.into_iter().all(|address| is_free(address, port))
    };
    let published = |one: &PublishedPort| {
        let address = one.address.parse();
        address.is_ok_and(|address| is_free(address, one.port))
    };
    known(paths, published, own)
}

fn known(
    paths: &InstancePaths,
    keeps_published: impl Fn(&PublishedPort) -> bool,
    keeps: impl Fn(&ServiceReport, u16) -> bool,
) -> BTreeMap<String, u16> {
    let state = std::fs::read(paths.state()).ok();
    let report = state.and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok());
    let services = report.map(|report| report.services).unwrap_or_default();
    let mut last = BTreeMap::new();
    for service in services {
        for one in service.published.iter().filter(|one| keeps_published(one)) {
            last.insert(published(&service.name, one.target), one.port);
        }
        let own = service.port.filter(|port| keeps(&service, *port));
        last.extend(own.map(|port| (service.name, port)));
    }
    last
}

/// Tells whether nobody listens there; an address that the machine does not have is in nobody's way.
fn is_free(address: IpAddr, port: u16) -> bool {
    let taken = |error: std::io::Error| error.kind() == ErrorKind::AddrInUse;
    !TcpListener::bind((address, port)).is_err_and(taken)
}

fn free(taken: &BTreeSet<u16>) -> Option<u16> {
    // Each try gets another port from the kernel, which hands them out over a wide range.
    (0..16).find_map(|_| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let port = listener.local_addr().ok()?.port();
        (!taken.contains(&port)).then_some(port)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hd_actors::model::report::{Report, ServiceReport};

    use super::*;

    const TOML: &str = "[environment]\nname = \"x\"\n\
        [services.a]\ncommand = \"a\"\nport = \"auto\"\n\
        [services.b-c]\ncommand = \"b\"\nport = \"auto\"\nhealthcheck = { http = \"/\" }\n\
        [services.d]\ncommand = \"d\"\nport = 4711\n";

    #[test]
    fn replicas_have_a_port_each_or_share_that_of_a_held_socket() {
        let toml = "[environment]\nname = \"x\"\n\
            [services.a]\ncommand = \"a\"\nport = \"auto\"\nreplicas = 2\n\
            [services.b]\ncommand = \"b\"\nport = \"auto\"\nsocket = true\nreplicas = 2\n";
        let mut project = hd_config::parse(toml, "hd.toml").unwrap();
        assign(&mut project, &BTreeMap::new());
        let ports: Vec<u16> = project.services.iter().filter_map(|one| one.port).collect();
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[2] == ports[3]);
        let told = variables(&project);
        let port = |at: usize| ports[at].to_string();
        assert_eq!(
            (&told["HD_PORT_A"], &told["HD_PORT_A_1"]),
            (&port(0), &port(0))
        );
        assert_eq!(
            (&told["HD_PORT_A_2"], &told["HD_PORT_B"]),
            (&port(1), &port(2))
        );
        let env = of_service(&project.services[1], &told);
        assert_eq!(
            (env["PORT"].clone(), env["HD_REPLICA"].as_str()),
            (port(1), "2")
        );
        let mut again = hd_config::parse(toml, "hd.toml").unwrap();
        assign(&mut again, &assigned(&project));
        assert_eq!(assigned(&again), assigned(&project));
    }

    #[test]
    fn ports_are_free_told_to_all_and_the_same_next_time() {
        let home = tempfile::tempdir().unwrap();
        let paths = InstancePaths::new(home.path(), Path::new("/project"));
        std::fs::create_dir_all(paths.dir()).unwrap();
        let mut project = hd_config::parse(TOML, "hd.toml").unwrap();
        assign(&mut project, &last(&paths));
        let ports: Vec<u16> = project.services.iter().filter_map(|one| one.port).collect();
        assert!(ports.len() == 3 && ports[0] != ports[1] && ports[2] == 4711);
        let told = variables(&project);
        assert_eq!(told["HD_PORT_B_C"], ports[1].to_string());
        let env = of_service(&project.services[0], &told);
        assert_eq!(
            (env["PORT"].as_str(), env["HD_PORT_D"].as_str()),
            (&*ports[0].to_string(), "4711")
        );

        let services = project.services.iter().map(|one| ServiceReport {
            name: one.name.clone(),
            port: one.port,
            ..ServiceReport::default()
        });
        let report = Report {
            services: services.collect(),
            ..Report::default()
        };
        std::fs::write(paths.state(), serde_json::to_vec(&report).unwrap()).unwrap();
        let mut again = hd_config::parse(TOML, "hd.toml").unwrap();
        assign(&mut again, &last(&paths));
        let second: Vec<u16> = again.services.iter().filter_map(|one| one.port).collect();
        assert_eq!(second, ports);
    }
}
