//! Every value of a project with where it came from. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use hd_config::{
    Command, Condition, DependencyKind, Healthcheck, ImageDefaults, Kind, Probe, Project,
    ProjectMode, RestartPolicy, SecretSource, Service, StageOrigin, Step, WatchAction, WatchSet,
};
use serde_json::{Value, json};

use crate::project::Loaded;

/// A value and where it came from.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    /// Its full name: `services.web.port`.
    pub(super) key: String,
    /// The value, expanded.
    pub(super) value: Value,
    /// `hd.toml:9:1`, an environment file, `default`, or hd itself.
    pub(super) from: String,
}

struct Book<'a> {
    project: &'a Project,
    image: Option<&'a ImageDefaults>,
    entries: Vec<Entry>,
}

/// Gives all values, in the order of the reference; those that an image gave are filled in.
pub(super) fn entries(loaded: &Loaded, image: Option<&ImageDefaults>) -> Vec<Entry> {
    let project = &loaded.project;
    let mut book = Book {
        project,
        image,
        entries: Vec::new(),
    };
    book.environment(&loaded.declared_env);
    book.build();
    for service in &project.services {
        book.service(service);
    }
    let files = &project.files;
    book.say("files.include", files.include());
    book.say("files.exclude", files.exclude());
    book.say("files.ignore_files", files.ignore_files());
    let options = &project.options;
    book.say("options.restart_grace", time(options.restart_grace));
    let mode = match options.project {
        ProjectMode::Live => "live",
        ProjectMode::Projected => "projected",
    };
    book.say("options.project", mode);
    book.maybe("options.jobs", options.jobs.map(|jobs| jobs.get()));
    book.maybe("options.gc.max_size", options.gc.max_size);
    book.maybe("options.gc.min_free", options.gc.min_free);
    book.say("options.gc.keep", time(options.gc.keep));
    book.entries
}

impl Book<'_> {
    /// Says a value that stands in the file or has a default.
    fn say(&mut self, key: &str, value: impl serde::Serialize) {
        let from = match self.project.place(key) {
            Some(place) => place.to_string(),
            None => "default".to_owned(),
        };
        self.say_from(key, value, from);
    }

    fn say_from(&mut self, key: &str, value: impl serde::Serialize, from: String) {
        self.entries.push(Entry {
            key: key.to_owned(),
            value: json!(value),
            from,
        });
    }

    /// Says a value that the image may have given, where the file does not.
    fn image(&mut self, key: &str, value: Option<impl serde::Serialize>, open: bool) {
        let Some(value) = value else { return };
        if !open || self.project.place(key).is_some() {
            return self.say(key, value);
        }
        let base = self.project.base.as_deref().unwrap_or_default();
        let from = match self.image {
            Some(_) => format!("image {base}"),
            None => format!("image {base}, once it is pulled"),
        };
        self.say_from(key, value, from);
    }

    fn maybe(&mut self, key: &str, value: Option<impl serde::Serialize>) {
        if let Some(value) = value {
            self.say(key, value);
        }
    }

    /// Lists that say nothing when they are empty.
    fn list<T: serde::Serialize>(&mut self, key: &str, values: &[T]) {
        if !values.is_empty() {
            self.say(key, values);
        }
    }

    fn environment(&mut self, declared: &BTreeMap<String, String>) {
        let project = self.project;
        self.say("environment.name", &project.name);
        self.maybe("environment.base", project.base.as_ref());
        self.maybe("environment.workdir", project.workdir.as_ref());
        self.maybe("environment.user", project.user.as_ref());
        self.list("environment.env_file", &project.env_file);
        self.env("environment", declared, &project.env_file);
        for dependency in &project.dependencies {
            let key = format!("dependencies.{}", dependency.provider);
            match &dependency.kind {
                DependencyKind::List(packages) => self.say(&key, packages),
                DependencyKind::Version(range) => self.say(&key, range),
                DependencyKind::File(file) => self.say(&format!("{key}.file"), file),
            }
        }
    }

    /// Says variables: those of the file, of environment files, and those that hd sets.
    fn env(&mut self, table: &str, env: &BTreeMap<String, String>, files: &[String]) {
        for (name, value) in env {
            let key = format!("{table}.env.{name}");
            match self.project.place(&key) {
                Some(_) => self.say(&key, value),
                None if name.starts_with("HD_PORT_") || files.is_empty() => {
                    self.say_from(&key, value, "hd, from the ports of services".to_owned());
                }
                None => self.say_from(&key, value, format!("env_file {}", files.join(", "))),
            }
        }
    }

    fn build(&mut self) {
        let project = self.project;
        for (at, step) in project.steps.iter().enumerate() {
            self.step(at, step);
        }
        self.list("build.cache", &project.cache);
        for cache in &project.caches {
            self.say(&format!("build.caches.{}.path", cache.name), &cache.path);
        }
        for stage in &project.stages {
            let key = |name: &str| format!("build.stages.{}.{name}", stage.name);
            match &stage.origin {
                StageOrigin::Image(image) => self.say(&key("base"), image),
                StageOrigin::Stage(above) => self.say(&key("from"), above),
            }
            self.maybe(&key("workdir"), stage.workdir.as_ref());
        }
        for secret in &project.secrets {
            // Where it comes from, never the value.
            let key = |name: &str| format!("secrets.{}.{name}", secret.name);
            match &secret.source {
                SecretSource::Env(name) => self.say(&key("env"), name),
                SecretSource::File(path) => self.say(&key("file"), path),
            }
        }
    }

    fn step(&mut self, at: usize, step: &Step) {
        let short = format!("build.steps[{at}]");
        if self.project.place(&short).is_some() {
            return self.say(&short, &step.run);
        }
        let key = |name: &str| format!("build.step[{at}].{name}");
        self.say(&key("name"), &step.slug);
        self.say(&key("run"), &step.run);
        self.maybe(&key("needs"), step.needs.as_ref());
        let inputs = step.inputs.as_ref().map(|inputs| inputs.globs().to_vec());
        self.maybe(&key("inputs"), inputs);
        self.list(&key("outputs"), &step.outputs);
        for (name, value) in &step.env {
            self.say(&key(&format!("env.{name}")), value);
        }
        self.say(&key("network"), step.network.as_str());
        self.maybe(&key("timeout"), step.timeout.map(time));
        self.maybe(&key("workdir"), step.workdir.as_ref());
        self.list(&key("caches"), &step.caches);
        self.list(&key("secrets"), &step.secrets);
        self.maybe(&key("ssh"), step.ssh.then_some(true));
        self.maybe(&key("stage"), step.stage.as_ref());
        self.list(&key("from"), &step.from);
        self.maybe(&key("user"), step.user.as_ref());
    }

    fn service(&mut self, service: &Service) {
        let table = format!("services.{}", service.name);
        let key = |name: &str| format!("{table}.{name}");
        let open = service.open;
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
        self.image(&key("working_dir"), working_dir, open.command);
        self.image(&key("user"), service.user.as_ref(), open.command);
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
        let of_image = self.image.is_some_and(|image| image.stop_signal.is_some());
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

/// Says a duration as the file does.
fn time(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_owned(),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "[environment]\nname = \"x\"\nenv_file = \".env\"\n\n\
        [services.web]\ncommand = \"serve\"\nport = 5000\nhealthcheck = \"true\"\n\
        watch = [\"*.py\", { files = \"a.conf\", action = \"signal=HUP\" }]\n";

    #[test]
    fn each_value_has_its_source() {
        let mut project = hd_config::parse(TOML, "hd.toml").unwrap();
        let ports = ("HD_PORT_WEB".to_owned(), "5000".to_owned());
        project.services[0].env.extend([ports]);
        let loaded = Loaded {
            project,
            declared_env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
        };
        let entries = entries(&loaded, None);
        let of = |key: &str| {
            let entry = entries.iter().find(|entry| entry.key == key);
            let entry = entry.unwrap_or_else(|| panic!("{key} is missing"));
            (entry.value.clone(), entry.from.as_str())
        };
        assert_eq!(of("environment.env.A"), (json!("1"), "env_file .env"));
        assert_eq!(of("services.web.port"), (json!(5000), "hd.toml:7:1"));
        assert_eq!(
            of("services.web.healthcheck.test"),
            (json!("true"), "hd.toml:8:1")
        );
        assert_eq!(
            of("services.web.healthcheck.interval"),
            (json!("5s"), "default")
        );
        assert_eq!(
            of("services.web.stop_grace"),
            (json!("5s"), "options.restart_grace")
        );
        let rules = json!(["*.py", {"files": "a.conf", "action": "signal=HUP"}]);
        assert_eq!(of("services.web.watch").0, rules);
        let told = of("services.web.env.HD_PORT_WEB");
        assert_eq!(told, (json!("5000"), "hd, from the ports of services"));
    }
}
