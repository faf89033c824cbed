//! One service, key by key.

use std::collections::BTreeSet;

use super::handed::Handed;
use super::values;
use super::yaml::Node;
use crate::duration;
use crate::ingest::Surroundings;
use crate::ingest::draft::{Draft, DraftHealth, DraftService, plain_name};
use crate::ingest::report::Book;
use crate::service::{Command, Condition, RestartPolicy};
use crate::signal::Signal;

/// Makes one service.
pub(crate) struct Making<'a, 'b> {
    pub(crate) book: &'b mut Book<'a>,
    pub(crate) name: &'b str,
    pub(crate) node: &'b Node,
    /// What the Dockerfile or the image would run.
    pub(crate) own: Option<&'b DraftService>,
    /// Where the project stands.
    pub(crate) project: Option<String>,
    /// Services that are there.
    pub(crate) chosen: &'b BTreeSet<String>,
    /// Whether another service waits for its end.
    pub(crate) completes: bool,
    pub(crate) around: &'b dyn Surroundings,
    /// What `secrets` and `configs` of the file declare.
    pub(crate) handed: &'b Handed,
}

/// Name of a service in `hd.toml`.
fn named(name: &str) -> String {
    plain_name(name, "service")
}

impl Making<'_, '_> {
    pub(crate) fn all(mut self, draft: &mut Draft) {
        let command = self.command();
        let template = self.own.cloned();
        let mut service =
            template.unwrap_or_else(|| DraftService::new("", Command::Shell(String::new())));
        service.name = named(self.name);
        // What comes from the Dockerfile is plain; here `$` begins a variable.
        service
            .env
            .values_mut()
            .for_each(|value| *value = value.replace('$', "$$"));
        service.interpolate = true;
        service.restart = RestartPolicy::Never;
        service.oneshot = self.completes;
        let has_command = command.is_some();
        if let Some(words) = command {
            service.command = Command::Exec(words);
        }
        for (key, node) in self.node.map() {
            let line = self.book.open(key.span.clone());
            self.key(line, &key.name, node, &mut service, draft);
        }
        if service.texts.contains_key("network") {
            // Nobody reaches it.
            service.port = None;
        }
        if service.texts.get("working_dir") == draft.workdir.as_ref() {
            service.texts.remove("working_dir");
        }
        if !has_command && self.own.is_none() {
            let line = self.book.next().saturating_sub(1);
            if draft.base.is_none() {
                let note = format!(
                    "nothing says what `{}` runs: give it a `command`",
                    self.name
                );
                return self.book.missing(line, note);
            }
            service.command = Command::Exec(Vec::new());
            self.book
                .translated(line, format!("`{}` runs what its image runs", self.name));
        }
        draft.services.push(service);
    }

    /// `entrypoint` and `command` together, or `None` when the image's own stand.
    fn command(&self) -> Option<Vec<String>> {
        let entrypoint = self.node.get("entrypoint").map(values::command);
        let command = self.node.get("command").map(values::command);
        let words = match (entrypoint, command) {
            (None, None) => return None,
            (Some(entrypoint), None) => entrypoint,
            (None, Some(command)) => command,
            (Some(entrypoint), Some(command)) => [entrypoint, command].concat(),
        };
        (!words.is_empty()).then_some(words)
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
            "build" | "image" | "command" => {}
            "working_dir" | "user" | "stop_signal" | "stop_grace_period" => {
                self.text(line, key, node, service);
            }
            "profiles" => {
                service.lists.insert("profiles", node.texts());
            }
            "entrypoint" => self.book.translated(line, "before the command"),
            "environment" => service.env.extend(values::environment(node)),
            "env_file" => self.env_file(line, node, service),
            "ports" => self.ports(line, node, service),
            "expose" => {
                service.port = service.port.or_else(|| {
                    node.list()
                        .iter()
                        .find_map(values::port)
                        .map(|(_, port)| port)
                });
            }
            "depends_on" => self.depends_on(line, node, service),
            "healthcheck" => self.health(line, node, service),
            "restart" => self.restart(line, node, service),
            "volumes" => self.volumes(line, node, service, draft),
            "init" | "tty" | "stdin_open" | "pull_policy" | "attach" => {}
            "container_name" | "hostname" | "domainname" | "labels" | "annotations" => {
                self.book.left_out(line, "services have their name alone");
            }
            "network_mode" if node.text() == Some("none") => {
                service.texts.insert("network", "none".to_owned());
            }
            "networks" | "network_mode" | "links" | "extra_hosts" | "dns" | "dns_search" => {
                self.book.approximated(line, "services share the host's network: others are at 127.0.0.1, not at their names");
            }
            "logging" => self.book.left_out(line, "hd keeps and rotates logs itself"),
            "deploy" | "scale" | "cpus" | "mem_limit" | "memswap_limit" | "ulimits"
            | "shm_size" | "pids_limit" => {
                self.book
                    .left_out(line, "one instance, without limits of its own");
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

    /// A key whose value `hd.toml` takes as it is.
    fn text(&mut self, line: usize, key: &str, node: &Node, service: &mut DraftService) {
        let Some(text) = node.text() else { return };
        let (key, fits) = match key {
            "working_dir" => ("working_dir", text.starts_with('/')),
            "user" => ("user", !text.is_empty()),
            "stop_signal" => ("stop_signal", Signal::parse(text).is_some()),
            _ => ("stop_grace", duration::parse(text).is_ok()),
        };
        if fits {
            service.texts.insert(key, text.to_owned());
        } else {
            self.book.approximated(
                line,
                format!("{text:?} is no value for `{key}`: hd's default holds"),
            );
        }
    }

    fn env_file(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        let path = |one: &Node| {
            one.text()
                .or_else(|| one.get("path").and_then(Node::text))
                .map(str::to_owned)
        };
        let paths: Vec<String> = match node.list() {
            [] => node.texts(),
            all => all.iter().filter_map(path).collect(),
        };
        for path in paths {
            let path = path.trim_start_matches("./").to_owned();
            if self.around.file(&path).is_none() {
                self.book
                    .approximated(line, format!("there is no {path}: left out"));
            } else {
                service.lists.entry("env_file").or_default().push(path);
            }
        }
    }

    fn ports(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        let ports: Vec<(Option<u16>, u16)> = node.list().iter().filter_map(values::port).collect();
        if let Some((_, port)) = ports.first() {
            service.port = Some(*port);
        }
        for (outside, port) in &ports {
            if outside.is_some_and(|outside| outside != *port) {
                let outside = outside.unwrap_or_default();
                self.book.approximated(
                    line,
                    format!("reached at {port}, where it listens, not at {outside}"),
                );
            }
        }
        if ports.len() > 1 || ports.len() < node.list().len() {
            self.book.approximated(
                line,
                "all of its ports are reachable; hd waits for the first",
            );
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

    fn health(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        let off = node.get("disable").and_then(Node::text) == Some("true");
        let Some(test) = node.get("test").and_then(values::test).filter(|_| !off) else {
            service.healthcheck = None;
            service.unprobed = true;
            self.book.translated(line, "no health check");
            return;
        };
        let mut check = DraftHealth {
            test,
            times: Vec::new(),
            retries: None,
        };
        for (name, key) in [
            ("interval", "interval"),
            ("timeout", "timeout"),
            ("start_period", "start_period"),
        ] {
            let Some(time) = node.get(name).and_then(Node::text) else {
                continue;
            };
            match duration::parse(time) {
                Ok(parsed) if !parsed.is_zero() || key == "start_period" => {
                    check.times.push((key, time.to_owned()))
                }
                _ => self
                    .book
                    .approximated(line, format!("{name}: {time} is left at hd's default")),
            }
        }
        check.retries = node
            .get("retries")
            .and_then(Node::text)
            .and_then(|text| text.parse().ok())
            .filter(|n| *n > 0);
        service.healthcheck = Some(check);
    }

    fn restart(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        service.restart = match node.text().unwrap_or("no") {
            "always" | "unless-stopped" => RestartPolicy::Always,
            text if text.starts_with("on-failure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Never,
        };
        if service.oneshot && service.restart == RestartPolicy::Always {
            service.restart = RestartPolicy::OnFailure;
            self.book
                .approximated(line, "on_failure: another service waits for its end");
        }
    }
}

/// Makes services agree with each other: one port each, and nobody waits for what cannot come.
pub(crate) fn settle(services: &mut Vec<DraftService>) {
    let mut ports = BTreeSet::new();
    for service in services.iter_mut() {
        service.port = service.port.filter(|port| ports.insert(*port));
    }
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
