//! One service, key by key.

use std::collections::{BTreeMap, BTreeSet};

use super::expansion::Told;
use super::handed::Handed;
use super::network::{self, Plan};
use super::values;
use super::yaml::Node;
use crate::ingest::Surroundings;
use crate::ingest::draft::{Draft, DraftService, Own, plain_name};
use crate::ingest::report::Book;
use crate::service::{Command, Condition, RestartPolicy};

/// Makes one service.
pub(crate) struct Making<'a, 'b> {
    pub(crate) book: &'b mut Book<'a>,
    pub(crate) name: &'b str,
    pub(crate) node: &'b Node,
    /// What the Dockerfile or the image would run.
    pub(crate) own: Option<&'b Own>,
    /// The image it has to itself, where the project and what steps make are not.
    pub(crate) apart: Option<&'b str>,
    /// Another service of that image.
    pub(crate) twin: Option<&'b str>,
    /// Where the project stands.
    pub(crate) project: Option<String>,
    /// Services that are there.
    pub(crate) chosen: &'b BTreeSet<String>,
    /// Whether another service waits for its end.
    pub(crate) completes: bool,
    pub(crate) around: &'b dyn Surroundings,
    /// What `secrets` and `configs` of the file declare.
    pub(crate) handed: &'b Handed,
    /// What is to be said of variables.
    pub(crate) told: &'b Told,
    /// Whether what is built here is what it runs, whatever its `image` calls that.
    pub(crate) is_built: bool,
    /// Where services are on the network.
    pub(crate) plan: &'b Plan,
    /// Variables of the caller and of `.env`.
    pub(crate) variables: &'b BTreeMap<String, String>,
    /// Variables that only `.env` sets.
    pub(crate) of_env_file: &'b BTreeSet<String>,
}

/// Name of a service in `hd.toml`.
pub(crate) fn named(name: &str) -> String {
    plain_name(name, "service")
}

impl Making<'_, '_> {
    pub(crate) fn all(mut self, draft: &mut Draft) {
        let own_line = self.book.next().saturating_sub(1);
        let command = self.command();
        let template = self.own.map(|own| own.service.clone());
        let mut service =
            template.unwrap_or_else(|| DraftService::new("", Command::Exec(Vec::new())));
        service.name = named(self.name);
        // What comes from the Dockerfile is plain; here `$` begins a variable.
        service
            .env
            .values_mut()
            .for_each(|value| *value = value.replace('$', "$$"));
        service.interpolate = true;
        service.restart = RestartPolicy::Never;
        service.oneshot = self.completes;
        service.port = None;
        if let Some(image) = self.apart {
            service.base = Some(image.to_owned());
            let note = "on an image of its own: neither the project nor what steps make is there";
            self.book.translated(own_line, note);
        }
        if let Some(twin) = self.twin {
            let note = format!(
                "`{twin}` runs the same image, and both are on one network: only one of them can listen at a port"
            );
            self.book.approximated(own_line, note);
        }
        let has_command = command.is_some();
        if let Some(command) = command {
            service.command = command;
        }
        self.place(own_line, &mut service);
        for (key, node) in self.node.map() {
            let line = self.book.open(key.span.clone());
            self.told.say(node, line, self.book);
            self.key(line, &key.name, node, &mut service, draft);
        }
        service.port_of_image = service.port.is_none();
        service.port = service.port.or_else(|| self.port_of_image());
        if service
            .texts
            .get("network")
            .is_some_and(|network| network == "none")
        {
            // Nobody reaches it.
            service.port = None;
        }
        if self.apart.is_none() && service.texts.get("working_dir") == draft.workdir.as_ref() {
            service.texts.remove("working_dir");
        }
        if !has_command && !self.own.is_some_and(|own| own.runs) {
            if draft.base.is_none() {
                let note = format!(
                    "nothing says what `{}` runs: give it a `command`",
                    self.name
                );
                return self.book.missing(own_line, note);
            }
            service.command = Command::Exec(Vec::new());
            self.book.translated(
                own_line,
                format!("`{}` runs what its image runs", self.name),
            );
        }
        draft.services.push(service);
    }

    fn key(
        &mut self,
        line: usize,
        key: &str,
        node: &Node,
        service: &mut DraftService,
        draft: &mut Draft,
    ) {
        match key {
            "build" => self.build(line, node),
            "image" => {}
            "command" => self.takes_command(line),
            "working_dir" | "user" | "stop_signal" | "stop_grace_period" => {
                self.text(line, key, node, service);
            }
            "profiles" => {
                self.profiles(line, node, service);
            }
            "entrypoint" => self.book.translated(line, "before the command"),
            "environment" => self.environment(line, node, service, draft),
            "env_file" => self.env_file(line, node, service),
            "ports" => self.ports(line, node, service),
            "expose" => {
                let mut ports = node.list().iter().filter_map(values::ports).flatten();
                service.port = service.port.or_else(|| Some(ports.next()?.target));
            }
            "depends_on" => self.depends_on(line, node, service),
            "healthcheck" => self.health(line, node, service),
            "restart" => self.restart(line, node, service),
            "volumes" => self.volumes(line, node, service, draft),
            "init" | "tty" | "stdin_open" | "pull_policy" | "attach" => {}
            "container_name" | "hostname" | "domainname" | "labels" | "annotations" => {
                self.book.left_out(line, "services have their name alone");
            }
            "network_mode" => self.network_mode(line, node, service),
            "networks" | "links" => self.networks(line, node),
            "extra_hosts" => self.extra_hosts(line, node),
            "dns" | "dns_search" | "dns_opt" => {
                self.book
                    .left_out(line, "names are looked up as this machine does");
            }
            "logging" => self.book.left_out(line, "hd keeps and rotates logs itself"),
            "deploy" => self.deploy(line, node, service),
            "scale" => self.replicas(line, node, service),
            "mem_limit" | "cpus" | "pids_limit" => self.limit(line, key, node, service),
            "memswap_limit" | "mem_reservation" | "mem_swappiness" | "cpu_shares" | "cpuset"
            | "shm_size" | "ulimits" => {
                let note = "no counterpart; `resources` has memory, cpus, pids";
                self.book.left_out(line, note);
            }
            "tmpfs" => self.tmpfs(line, node, service),
            "privileged" | "devices" | "cap_add" => self
                .book
                .missing(line, "services never have more than the sandbox gives"),
            "secrets" | "configs" => self.handed(line, key, node, service),
            "extends" => self
                .book
                .missing(line, "not followed: copy what it extends"),
            "cap_drop" | "security_opt" | "read_only" | "sysctls" | "platform" | "develop"
            | "runtime" | "group_add" | "ipc" | "pid" | "userns_mode" | "isolation" => {
                self.book
                    .left_out(line, "the sandbox is the same for all services");
            }
            key if key.starts_with("x-") => {}
            _ => self.book.left_out(line, "not known to hd"),
        }
    }

    /// Tells the keys of a value that are not read.
    pub(super) fn unread(&mut self, line: usize, node: &Node, read: &[&str]) {
        for (key, _) in node.map() {
            if !read.contains(&key.name.as_str()) {
                self.book
                    .approximated(line, format!("without `{}`", key.name));
            }
        }
    }

    fn depends_on(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        let mut wanted: Vec<(String, Condition)> = Vec::new();
        wanted.extend(
            node.list()
                .iter()
                .filter_map(Node::text)
                .map(|name| (name.to_owned(), Condition::Started)),
        );
        for (key, node) in node.map() {
            let condition = match node.get("condition").and_then(Node::text) {
                Some("service_healthy") => Condition::Healthy,
                Some("service_completed_successfully") => Condition::Completed,
                _ => Condition::Started,
            };
            wanted.push((key.name.clone(), condition));
            self.unread(line, node, &["condition", "required"]);
        }
        for (name, condition) in wanted {
            if self.chosen.contains(&name) {
                service.depends_on.push((named(&name), condition));
            } else {
                self.book
                    .approximated(line, format!("`{name}` is not here to wait for"));
            }
        }
    }

    fn restart(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        let text = node.text().unwrap_or("no");
        let (word, times) = match text.split_once(':') {
            Some((word, times)) => (word, Some(times)),
            None => (text, None),
        };
        let policy = match word {
            "always" | "unless-stopped" => RestartPolicy::Always,
            "on-failure" => RestartPolicy::OnFailure,
            _ => RestartPolicy::Never,
        };
        self.restarts(line, policy, times, service);
    }
}

/// Makes services agree with each other: one port each, and nobody waits for what cannot come.
pub(crate) fn settle(services: &mut Vec<DraftService>) {
    let mut ports = BTreeSet::new();
    // What a service says itself goes before what its image opens, wherever it stands.
    for of_image in [false, true] {
        for service in services.iter_mut() {
            if service.port_of_image == of_image {
                let network = service.texts.get("network").cloned();
                service.port = service.port.filter(|port| ports.insert((network, *port)));
            }
        }
    }
    network::leave_to_host(services);
    let mut seen = BTreeSet::new();
    services.retain(|service| seen.insert(service.name.clone()));
    let oneshots: BTreeSet<String> = services
        .iter()
        .filter(|one| one.oneshot)
        .map(|one| one.name.clone())
        .collect();
    let probed: BTreeSet<String> = services
        .iter()
        .filter(|one| one.port.is_some() || one.healthcheck.is_some())
        .map(|one| one.name.clone())
        .collect();
    for service in services.iter_mut() {
        for (name, condition) in &mut service.depends_on {
            if *condition == Condition::Healthy && oneshots.contains(name) && !probed.contains(name)
            {
                *condition = Condition::Completed;
            }
        }
        service.depends_on.retain(|(name, _)| seen.contains(name));
    }
}
