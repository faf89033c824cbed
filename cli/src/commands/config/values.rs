//! Every value of a project with where it came from. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use hd_config::{
    DependencyKind, ImageDefaults, Project, ProjectMode, Replica, SecretSource, StageOrigin, Step,
};
use serde_json::{Value, json};

use super::image::Pulled;
use crate::project::Loaded;

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Its full name: `services.web.port`.
    pub(super) key: String,
    /// The value, expanded.
    pub(super) value: Value,
    /// `hd.toml:9:1`, an environment file, `default`, or hd itself.
    pub(super) from: String,
}

pub(super) struct Book<'a> {
    pub(super) project: &'a Project,
    pub(super) pulled: &'a Pulled,
    /// The image of the service that is at hand, or of the environment.
    pub(super) base: Option<&'a str>,
    pub(super) entries: Vec<Entry>,
}

/// Gives all values, in the order of the reference; those that an image gave are filled in.
pub(super) fn entries(loaded: &Loaded, pulled: &Pulled) -> Vec<Entry> {
    let project = &loaded.project;
    let mut book = Book {
        project,
        pulled,
        base: project.base.as_deref(),
        entries: Vec::new(),
    };
    book.environment(&loaded.declared_env);
    book.build();
    for service in &project.services {
        match &service.replica {
            None => book.service(service),
            Some(replica) if replica.number == 1 => book.replicas(&replica.of),
            Some(_) => {}
        }
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
    book.say("options.view", options.view.word());
    book.maybe("options.jobs", options.jobs.map(|jobs| jobs.get()));
    book.maybe("options.gc.max_size", options.gc.max_size);
    book.maybe("options.gc.min_free", options.gc.min_free);
    book.say("options.gc.keep", time(options.gc.keep));
    book.entries
}

impl<'a> Book<'a> {
    /// Says a value that stands in the file or has a default.
    pub(super) fn say(&mut self, key: &str, value: impl serde::Serialize) {
        let from = match self.project.place(key) {
            Some(place) => place.to_string(),
            None => "default".to_owned(),
        };
        self.say_from(key, value, from);
    }

    pub(super) fn say_from(&mut self, key: &str, value: impl serde::Serialize, from: String) {
        self.entries.push(Entry {
            key: key.to_owned(),
            value: json!(value),
            from,
        });
    }

    /// Gives what the image at hand says, if it was pulled.
    pub(super) fn image_at_hand(&self) -> Option<&'a ImageDefaults> {
        self.pulled.get(self.base).map(|image| &*image.defaults)
    }

    /// Says a value that the image may have given, where the file does not.
    pub(super) fn image(&mut self, key: &str, value: Option<impl serde::Serialize>, open: bool) {
        let Some(value) = value else { return };
        if !open || self.project.place(key).is_some() {
            return self.say(key, value);
        }
        let base = self.base.unwrap_or_default();
        let from = match self.image_at_hand() {
            Some(_) => format!("image {base}"),
            None => format!("image {base}, once it is pulled"),
        };
        self.say_from(key, value, from);
    }

    pub(super) fn maybe(&mut self, key: &str, value: Option<impl serde::Serialize>) {
        if let Some(value) = value {
            self.say(key, value);
        }
    }

    /// Lists that say nothing when they are empty.
    pub(super) fn list<T: serde::Serialize>(&mut self, key: &str, values: &[T]) {
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
    pub(super) fn env(&mut self, table: &str, env: &BTreeMap<String, String>, files: &[String]) {
        for (name, value) in env {
            let key = format!("{table}.env.{name}");
            match self.project.place(&key) {
                Some(_) => self.say(&key, value),
                None if name == Replica::VARIABLE => {
                    self.say_from(&key, value, "hd, its number".to_owned());
                }
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
}

/// Says a duration as the file does.
pub(super) fn time(duration: Duration) -> String {
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
            from_files: Default::default(),
            unset: Vec::new(),
        };
        let entries = entries(&loaded, &Pulled::default());
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
