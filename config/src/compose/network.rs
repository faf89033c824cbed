//! Where Compose services are on the network, and the ports that they publish.
//!
//! Compose gives each service an address of its own behind a router. Here services share one network:
//! that of this machine, which the outside is reached from, or an isolated one, which nothing leads out
//! of. The second is chosen where the file asks for what the first cannot give.

use std::collections::{BTreeMap, BTreeSet};

use super::service::Making;
use super::values::{self, Port};
use super::yaml::{Key, Node};
use crate::ingest::draft::DraftService;

/// What holds for all services of a file.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Why services are on an isolated network, if they are.
    pub(super) isolated: Option<String>,
    /// Services that listen where one before them does: at which ports, and where which other one does.
    clashes: BTreeMap<String, BTreeMap<u16, String>>,
    /// The first service that publishes at each port of the machine.
    publishers: BTreeMap<u16, String>,
    /// Every network of the file is internal, and there is but one.
    one_internal: bool,
}

impl Plan {
    /// Decides for the services that the environment holds.
    pub(super) fn of(root: &Node, services: &[(Key, Node)], chosen: &BTreeSet<String>) -> Self {
        let here: Vec<(&str, &Node)> = services
            .iter()
            .filter(|(key, _)| chosen.contains(&key.name))
            .map(|(key, node)| (key.name.as_str(), node))
            .collect();
        let declared = root.get("networks").map(Node::map).unwrap_or_default();
        let internal: BTreeSet<&str> = declared
            .iter()
            .filter(|(_, node)| node.get("internal").and_then(Node::text) == Some("true"))
            .map(|(key, _)| key.name.as_str())
            .collect();
        let mut isolated = None;
        for (name, node) in here.iter().filter(|(_, node)| is_bridged(node)) {
            let networks = names(node.get("networks"));
            if !networks.is_empty() && networks.iter().all(|one| internal.contains(one)) {
                isolated = Some(format!("`{name}` is on internal networks alone"));
            }
        }
        // Services that run beside hd are reached on the machine's network only.
        if isolated.is_none() && here.len() == services.len() {
            isolated = here.iter().find_map(|(name, node)| moved(name, node));
        }
        Self {
            isolated,
            clashes: clashes(&here),
            publishers: publishers(&here),
            one_internal: declared.len() == 1 && internal.len() == 1,
        }
    }

    /// What becomes of `networks` at the top of the file.
    pub(super) fn note(&self) -> &'static str {
        match self.isolated {
            Some(_) => "one isolated network for all services",
            None => "services share the host's network",
        }
    }
}

/// Whether Compose would give it an address of its own, or that of a service that has one.
fn is_bridged(node: &Node) -> bool {
    let mode = node.get("network_mode").and_then(Node::text);
    !matches!(mode, Some("host" | "none"))
}

/// Names in a list, or the keys of a map.
fn names(node: Option<&Node>) -> Vec<&str> {
    let Some(node) = node else { return Vec::new() };
    let keys = node.map().iter().map(|(key, _)| key.name.as_str());
    keys.chain(node.list().iter().filter_map(Node::text))
        .collect()
}

fn published(node: &Node) -> Vec<Port> {
    let entries = node.get("ports").map(Node::list).unwrap_or_default();
    entries.iter().filter_map(values::ports).flatten().collect()
}

/// Tells of a port that is published at another one.
fn moved(name: &str, node: &Node) -> Option<String> {
    let all = published(node).into_iter().filter(|_| is_bridged(node));
    let mut moved = all.filter_map(|port| Some((port.outside?, port.target)));
    let (outside, target) = moved.find(|(outside, target)| outside != target)?;
    Some(format!(
        "`{name}` listens at {target} and is published at {outside}"
    ))
}

fn clashes(here: &[(&str, &Node)]) -> BTreeMap<String, BTreeMap<u16, String>> {
    let mut taken: Vec<(u16, &str, Vec<&str>)> = Vec::new();
    let mut clashes: BTreeMap<String, BTreeMap<u16, String>> = BTreeMap::new();
    for (name, node) in here.iter().filter(|(_, node)| is_bridged(node)) {
        let profiles = names(node.get("profiles"));
        for port in published(node).iter().map(|port| port.target) {
            // Services of different profiles are alternatives.
            let together = |other: &Vec<&str>| {
                profiles.is_empty()
                    || other.is_empty()
                    || other.iter().any(|one| profiles.contains(one))
            };
            let mut others = taken.iter().filter(|(_, other, _)| other != name);
            let first = others.find(|(one, _, other)| *one == port && together(other));
            if let Some((_, first, _)) = first {
                let of = clashes.entry((*name).to_owned()).or_default();
                of.insert(port, (*first).to_owned());
            }
            taken.push((port, name, profiles.clone()));
        }
    }
    clashes
}

fn publishers(here: &[(&str, &Node)]) -> BTreeMap<u16, String> {
    let mut first = BTreeMap::new();
    for (name, node) in here.iter().filter(|(_, node)| is_bridged(node)) {
        for outside in published(node).iter().filter_map(|port| port.outside) {
            first.entry(outside).or_insert_with(|| (*name).to_owned());
        }
    }
    first
}

impl Making<'_, '_> {
    /// Puts the service where the plan says; `line` is that of its name.
    pub(super) fn place(&mut self, line: usize, service: &mut DraftService) {
        let Some(why) = self
            .plan
            .isolated
            .as_ref()
            .filter(|_| is_bridged(self.node))
        else {
            return;
        };
        service.texts.insert("network", "isolated".to_owned());
        self.book.approximated(
            line,
            format!("network = \"isolated\", as {why}: nothing leads out of it"),
        );
    }

    pub(super) fn network_mode(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        let mode = node.text().unwrap_or_default();
        let other = mode.strip_prefix("service:");
        match mode {
            "none" => {
                service.texts.insert("network", "none".to_owned());
            }
            "host" => self.book.translated(line, "hd's default"),
            _ if other.is_some_and(|other| self.chosen.contains(other)) => {
                self.book.translated(line, "services share one network");
            }
            _ => self.neighbours(line),
        }
    }

    /// `networks` and `links`: how a service reaches others.
    pub(super) fn networks(&mut self, line: usize, node: &Node) {
        let options = node.map().iter().any(|(_, node)| !node.map().is_empty());
        match self.plan.isolated {
            Some(_) if options => self.book.approximated(
                line,
                "without aliases and addresses of its own: services are at their names",
            ),
            Some(_) if self.plan.one_internal => {
                self.book.translated(line, "network = \"isolated\"");
            }
            _ => self.neighbours(line),
        }
    }

    fn neighbours(&mut self, line: usize) {
        let note = match self.plan.isolated {
            Some(_) => "one isolated network for all services, which are at their names",
            None => "services share the host's network: others are at their names, at 127.0.0.1",
        };
        self.book.approximated(line, note);
    }

    /// `extra_hosts`: no names are added, but the machine itself is known by another.
    pub(super) fn extra_hosts(&mut self, line: usize, node: &Node) {
        let pairs = node.map().iter();
        let pairs = pairs.map(|(key, node)| (key.name.clone(), node.text().unwrap_or_default()));
        let texts = node.list().iter().filter_map(Node::text);
        let texts = texts.filter_map(|text| text.split_once([':', '=']));
        let all: Vec<(String, &str)> = pairs
            .chain(texts.map(|(name, address)| (name.to_owned(), address)))
            .collect();
        for (name, address) in all {
            if address == "host-gateway" && self.plan.isolated.is_none() {
                let note = format!("this machine is at 127.0.0.1, not at {name}");
                self.book.approximated(line, note);
            } else {
                let note = format!("{name}: hd adds no names to /etc/hosts");
                self.book.missing(line, note);
            }
        }
    }

    pub(super) fn ports(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        let read: Vec<Option<Vec<Port>>> = node.list().iter().map(values::ports).collect();
        let lost = read.iter().filter(|one| one.is_none()).count();
        let ports: Vec<Port> = read.into_iter().flatten().flatten().collect();
        if let Some(first) = ports.first() {
            service.port = Some(first.target);
        }
        for (port, other) in self.plan.clashes.get(self.name).into_iter().flatten() {
            let note = format!("`{other}` listens at {port} too, and services share one network");
            self.book
                .missing(line, format!("{note}: let one of them listen elsewhere"));
        }
        match service.texts.get("network").map(String::as_str) {
            Some("isolated") => self.publish(line, &ports, lost, service),
            // Compose refuses ports without a network.
            Some(_) => self.book.left_out(line, "nobody reaches it"),
            None => self.reached(line, &ports, lost),
        }
    }

    fn publish(&mut self, line: usize, ports: &[Port], lost: usize, service: &mut DraftService) {
        let mut own = BTreeSet::new();
        let clashes = self.plan.clashes.get(self.name);
        // Published, it would be the other service that answers.
        let is_its_own = |port: &&Port| clashes.is_none_or(|all| !all.contains_key(&port.target));
        for port in ports.iter().filter(is_its_own) {
            let first = port.outside.and_then(|at| self.plan.publishers.get(&at));
            let outside = port.outside.unwrap_or_default();
            if let Some(first) = first.filter(|first| *first != self.name) {
                let note = format!("`{first}` is published at {outside} already");
                self.book.missing(line, note);
            } else if port.outside.is_some() && !own.insert(outside) {
                let note = format!("{outside} is published once, at the first address");
                self.book.approximated(line, note);
            } else {
                let list = service.lists.entry("ports").or_default();
                list.push(port.to_string());
            }
        }
        if ports.iter().any(|port| port.address.is_none()) {
            let note = "at 127.0.0.1; `0.0.0.0:` before a port lets other machines reach it";
            self.book.approximated(line, note);
        }
        if lost > 0 {
            let note = "only TCP ports are published, and no more than 100 of a range";
            self.book.missing(line, note);
        }
    }

    fn reached(&mut self, line: usize, ports: &[Port], lost: usize) {
        for port in ports {
            if let Some(outside) = port.outside.filter(|outside| *outside != port.target) {
                let note = format!(
                    "reached at {}, where it listens, not at {outside}",
                    port.target
                );
                self.book.approximated(line, note);
            }
        }
        if ports.len() + lost > 1 || lost > 0 {
            let note = "all of its ports are reachable; hd waits for the first";
            self.book.approximated(line, note);
        }
    }
}

/// Leaves ports of the machine to the services that listen there themselves.
pub(super) fn leave_to_host(services: &mut [DraftService]) {
    let of_host = |one: &&DraftService| !one.texts.contains_key("network");
    let all = services.iter().filter(of_host).filter_map(|one| one.port);
    let taken: BTreeSet<u16> = all.collect();
    for service in services {
        if let Some(list) = service.lists.get_mut("ports") {
            list.retain(|text| {
                let outside = text.rsplit(':').nth(1).and_then(|port| port.parse().ok());
                outside.is_none_or(|port| !taken.contains(&port))
            });
        }
    }
}
