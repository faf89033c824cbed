//! Every value of a service. Pure.

use hd_config::{
    Command, Condition, Healthcheck, Kind, Probe, RestartPolicy, Service, WatchAction, WatchSet,
};
use serde_json::{Value, json};

use super::values::{Book, Entry, time};

impl<'a> Book<'a> {
    /// Says a service that has replicas: what they have in common once, the rest by their own names.
    pub(super) fn replicas(&mut self, of: &str) {
        let (table, project) = (format!("services.{of}"), self.project);
        let mut each: Vec<(&str, Vec<Entry>)> = Vec::new();
        for service in project.named(of) {
            let before = self.entries.len();
            self.service(service);
            each.push((&service.name, self.entries.split_off(before)));
        }
        self.say(&format!("{table}.replicas"), each.len());
        let mut common = each.first().map(|(_, all)| all.clone()).unwrap_or_default();
        common.retain(|entry| each.iter().all(|(_, all)| all.contains(entry)));
        for (name, all) in each {
            let own = all.into_iter().filter(|entry| !common.contains(entry));
            let own: Vec<Entry> = own
                .map(|entry| Entry {
                    key: format!(
                        "services.{name}{}",
                        entry.key.strip_prefix(&table).unwrap_or_default()
                    ),
                    ..entry
                })
                .collect();
            self.entries.extend(own);
        }
        self.entries.extend(common);
    }

    /// Says all of a service, by the name that the file gives it.
    pub(super) fn service(&mut self, service: &'a Service) {
        let table = format!("services.{}", service.declared());
        let key = |name: &str| format!("{table}.{name}");
        let open = service.open;
        self.base = service.base.as_deref().or(self.project.base.as_deref());
        self.maybe(&key("base"), service.base.as_ref());
        self.image(
            &key("command"),
            Some(command(&service.command)),
            open.command,
        );
        let kind = match service.kind {
            Kind::Service => "service",
            Kind::Oneshot => "oneshot",
        };
        self.say(&key("kind"), kind);
        match service.port {
            Some(port) if service.auto_port => {
                self.say_from(&key("port"), port, "hd, for port = \"auto\"".to_owned());
            }
            port => self.image(&key("port"), port, open.command),
        }
        self.maybe(&key("socket"), service.socket.map(|at| at.to_string()));
        for need in &service.depends_on {
            let condition = match need.condition {
                Condition::Started => "started",
                Condition::Healthy => "healthy",
                Condition::Completed => "completed",
            };
            let from = self.project.place(&key("depends_on"));
            let from = from.map_or_else(String::new, ToString::to_string);
            self.say_from(
                &key(&format!("depends_on.{}", need.service)),
                condition,
                from,
            );
        }
        if service.watch.is_auto() {
            self.say(&key("watch"), "auto");
        } else {
            self.list(&key("watch"), &watch(&service.watch));
        }
        if let Some(check) = &service.healthcheck {
            self.healthcheck(&key("healthcheck"), check);
        }
        self.life(&table, service);
        let working_dir = service.working_dir.as_ref();
        // On a base of its own they are the image's whatever the command.
        let is_image = open.command || service.base.is_some();
        self.image(&key("working_dir"), working_dir, is_image);
        self.image(&key("user"), service.user.as_ref(), is_image);
        self.list(&key("env_file"), &service.env_file);
        self.env(&table, &service.env, &service.env_file);
        let resources = &service.resources;
        self.maybe(&key("resources.memory"), resources.memory);
        let cpus = resources.cpus.map(|cpus| f64::from(cpus) / 1000.0);
        self.maybe(&key("resources.cpus"), cpus);
        self.maybe(&key("resources.pids"), resources.pids);
        self.say(&key("network"), service.network.as_str());
        let ports: Vec<String> = service.ports.iter().map(ToString::to_string).collect();
        self.list(&key("ports"), &ports);
        let volumes: Vec<String> = service.volumes.iter().map(ToString::to_string).collect();
        let some = (!volumes.is_empty()).then_some(volumes);
        self.image(&key("volumes"), some, true);
        self.list(&key("profiles"), &service.profiles);
    }

    fn life(&mut self, table: &str, service: &Service) {
        let key = |name: &str| format!("{table}.{name}");
        let policy = match service.restart {
            RestartPolicy::Always => "always",
            RestartPolicy::OnFailure => "on_failure",
            RestartPolicy::Never => "never",
        };
        self.say(&key("restart_policy"), policy);
        let backoff = &service.backoff;
        match backoff.max {
            Some(max) => self.say(&key("restart.max"), max),
            None => self.say(&key("restart.max"), "unlimited"),
        }
        self.say(&key("restart.min_delay"), time(backoff.min_delay));
        self.say(&key("restart.max_delay"), time(backoff.max_delay));
        self.say(&key("restart.factor"), backoff.factor);
        self.say(&key("restart.reset_after"), time(backoff.reset_after));
        let signal = service.stop_signal.to_string();
        let of_image = self
            .image_at_hand()
            .is_some_and(|image| image.stop_signal.is_some());
        self.image(&key("stop_signal"), Some(signal), of_image);
        match service.stop_grace {
            Some(grace) => self.say(&key("stop_grace"), time(grace)),
            None => {
                let grace = time(self.project.options.restart_grace);
                self.say_from(
                    &key("stop_grace"),
                    grace,
                    "options.restart_grace".to_owned(),
                );
            }
        }
        let hooks = [
            ("pre_start", &service.pre_start),
            ("post_start", &service.post_start),
            ("pre_stop", &service.pre_stop),
        ];
        for (name, commands) in hooks {
            let commands: Vec<Value> = commands.iter().map(command).collect();
            self.list(&key(name), &commands);
        }
    }

    fn healthcheck(&mut self, key: &str, check: &Healthcheck) {
        let (kind, value) = match &check.test {
            Probe::Exec(test) => ("test", command(test)),
            Probe::Http { host, port, path } => {
                ("http", json!(format!("http://{host}:{port}{path}")))
            }
            Probe::Https { host, port, path } => {
                ("http", json!(format!("https://{host}:{port}{path}")))
            }
            Probe::Notify => ("notify", json!(true)),
            Probe::Log(line) => ("log", json!(line)),
            Probe::Tcp { host, port } => ("tcp", json!(format!("{host}:{port}"))),
        };
        let below = |name: &str| format!("{key}.{name}");
        // A healthcheck that is a command alone stands at the key itself.
        let place = self.project.place(&below(kind)).or(self.project.place(key));
        match place {
            Some(place) => self.say_from(&below(kind), value, place.to_string()),
            None => self.image(&below(kind), Some(value), true),
        }
        self.say(&below("interval"), time(check.interval));
        self.say(&below("timeout"), time(check.timeout));
        self.say(&below("retries"), check.retries);
        self.say(&below("start_period"), time(check.start_period));
    }
}

fn command(command: &Command) -> Value {
    match command {
        Command::Shell(line) => json!(line),
        Command::Exec(words) => json!(words),
    }
}

fn watch(set: &WatchSet) -> Vec<Value> {
    let rules = set.globs().iter().zip(set.actions());
    let rule = |(glob, action): (&String, &WatchAction)| match action {
        WatchAction::Restart => json!(glob),
        WatchAction::None => json!({"files": glob, "action": "none"}),
        WatchAction::Signal(signal) => json!({"files": glob, "action": format!("signal={signal}")}),
        WatchAction::Exec(exec) => json!({"files": glob, "exec": command(exec)}),
    };
    rules.map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::super::image::Pulled;
    use crate::commands::config::values::entries;
    use crate::project::Loaded;

    #[test]
    fn replicas_are_said_once_with_what_each_has_for_itself() {
        let toml = "[environment]\nname = \"x\"\n\
            [services.web]\ncommand = \"serve\"\nreplicas = 2\nport = \"auto\"\n";
        let mut project = hd_config::parse(toml, "hd.toml").unwrap();
        for (at, service) in project.services.iter_mut().enumerate() {
            service.assign_port(4000 + u16::try_from(at).unwrap());
        }
        let loaded = Loaded {
            project,
            declared_env: Default::default(),
            from_files: Default::default(),
            unset: Vec::new(),
        };
        let entries = entries(&loaded, &Pulled::default());
        let of = |key: &str| {
            let mut found = entries.iter().filter(|entry| entry.key == key);
            let one = found
                .next()
                .map(|one| (one.value.to_string(), one.from.as_str()));
            assert!(found.next().is_none(), "{key} is said twice");
            one
        };
        let command = Some(("\"serve\"".to_owned(), "hd.toml:4:1"));
        assert_eq!(of("services.web.command"), command);
        assert_eq!(
            of("services.web.replicas"),
            Some(("2".to_owned(), "hd.toml:5:1"))
        );
        assert_eq!(
            of("services.web-2.port").map(|one| one.0).as_deref(),
            Some("4001")
        );
        assert_eq!(of("services.web-2.command"), None);
        assert_eq!(of("services.web.port"), None);
    }
}
