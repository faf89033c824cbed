//! A draft as the text of an `hd.toml`.

use std::fmt::Write;

use super::draft::{Draft, DraftHealth, DraftService, DraftStep};
use crate::project::{Dependency, DependencyKind};
use crate::secret::SecretSource;
use crate::service::{Command, Condition, RestartPolicy};
use crate::slug::unique_slugs;
use crate::step::{Stage, StageOrigin};

pub(super) fn write(draft: &Draft) -> String {
    let mut out = String::new();
    for line in &draft.head {
        comment(&mut out, "", line);
    }
    environment(&mut out, draft);
    if !draft.dependencies.is_empty() {
        line_to(&mut out, "\n[dependencies]");
        for dependency in &draft.dependencies {
            line_to(&mut out, &self::dependency(dependency));
        }
    }
    build(&mut out, draft);
    if !draft.volumes.is_empty() {
        line_to(&mut out, "\n[volumes]");
        for name in &draft.volumes {
            line_to(&mut out, &format!("{name} = {{}}"));
        }
    }
    for service in &draft.services {
        self::service(&mut out, service);
    }
    if !draft.exclude.is_empty() {
        line_to(&mut out, "\n[files]");
        line_to(&mut out, &format!("exclude = {}", list(&draft.exclude)));
    }
    out
}

fn line_to(out: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{line}");
}

fn environment(out: &mut String, draft: &Draft) {
    line_to(out, "[environment]");
    line_to(out, &format!("name = {}", string(&draft.name)));
    let texts = [
        ("base", &draft.base),
        ("workdir", &draft.workdir),
        ("user", &draft.user),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            line_to(out, &format!("{key} = {}", string(value)));
        }
    }
    if !draft.env_file.is_empty() {
        line_to(out, &format!("env_file = {}", list(&draft.env_file)));
    }
    if !draft.env.is_empty() {
        line_to(out, "\n[environment.env]");
        for (name, value) in &draft.env {
            line_to(out, &format!("{} = {}", key(name), string(&dollars(value))));
        }
    }
}

fn dependency(dependency: &Dependency) -> String {
    let name = dependency.provider.as_str();
    match &dependency.kind {
        DependencyKind::List(packages) => format!("{name} = {}", list(packages)),
        DependencyKind::Version(range) => format!("{name} = {}", string(range)),
        DependencyKind::File(file) => format!("{name} = {{ file = {} }}", string(file)),
    }
}

fn build(out: &mut String, draft: &Draft) {
    let long = draft.steps.iter().any(DraftStep::says_more);
    let short = !draft.steps.is_empty() && !long;
    if short || !draft.cache.is_empty() {
        line_to(
            out,
            "\n# Each step runs again only when something it read has changed.\n[build]",
        );
    }
    if short {
        line_to(out, "steps = [");
        for step in &draft.steps {
            comment(out, "    ", &step.comment);
            line_to(out, &format!("    {},", string(&step.run)));
        }
        line_to(out, "]");
    }
    if !draft.cache.is_empty() {
        line_to(out, &format!("cache = {}", list(&draft.cache)));
    }
    for cache in &draft.caches {
        line_to(
            out,
            &format!(
                "\n[build.caches.{}]\npath = {}",
                cache.name,
                string(&cache.path)
            ),
        );
    }
    for secret in &draft.secrets {
        let (key, value) = match &secret.source {
            SecretSource::Env(variable) => ("env", variable),
            SecretSource::File(file) => ("file", file),
        };
        let source = format!("{key} = {}", string(value));
        line_to(out, &format!("\n[secrets.{}]\n{source}", secret.name));
    }
    for stage in &draft.stages {
        self::stage(out, stage);
    }
    if long {
        let names = unique_slugs(draft.steps.iter().map(|step| step.title.as_str()));
        line_to(
            out,
            "\n# Each step runs again only when something it read has changed.",
        );
        for (at, (step, name)) in draft.steps.iter().zip(&names).enumerate() {
            if at > 0 {
                out.push('\n');
            }
            self::step(out, step, name);
        }
    }
}

fn stage(out: &mut String, stage: &Stage) {
    line_to(out, &format!("\n[build.stages.{}]", stage.name));
    line_to(
        out,
        &match &stage.origin {
            StageOrigin::Image(image) => format!("base = {}", string(image)),
            StageOrigin::Stage(above) => format!("from = {}", string(above)),
        },
    );
    if let Some(workdir) = &stage.workdir {
        line_to(out, &format!("workdir = {}", string(workdir)));
    }
}

fn step(out: &mut String, step: &DraftStep, name: &str) {
    comment(out, "", &step.comment);
    line_to(out, &format!("[[build.step]]\nname = {}", string(name)));
    line_to(out, &format!("run = {}", string(&step.run)));
    if !step.env.is_empty() {
        let pairs = step
            .env
            .iter()
            .map(|(name, value)| format!("{} = {}", key(name), basic(&dollars(value))));
        line_to(
            out,
            &format!("env = {{ {} }}", pairs.collect::<Vec<_>>().join(", ")),
        );
    }
    if !step.caches.is_empty() {
        line_to(out, &format!("caches = {}", list(&step.caches)));
    }
    if !step.secrets.is_empty() {
        line_to(out, &format!("secrets = {}", list(&step.secrets)));
    }
    if step.ssh {
        line_to(out, "ssh = true");
    }
    if let Some(stage) = &step.stage {
        line_to(out, &format!("stage = {}", string(stage)));
    }
    if !step.from.is_empty() {
        line_to(out, &format!("from = {}", list(&step.from)));
    }
    if let Some(user) = &step.user {
        line_to(out, &format!("user = {}", string(user)));
    }
    if step.offline {
        line_to(out, "network = \"none\"");
    }
}

/// A comment must stay on its line, and TOML allows no control characters in it.
fn comment(out: &mut String, indent: &str, text: &str) {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if !text.is_empty() {
        line_to(out, &format!("{indent}# {text}"));
    }
}

fn service(out: &mut String, service: &DraftService) {
    line_to(out, &format!("\n[services.{}]", service.name));
    if let Some(base) = &service.base {
        line_to(out, &format!("base = {}", string(base)));
    }
    if service.command != Command::Exec(Vec::new()) {
        line_to(out, &format!("command = {}", command(&service.command)));
    }
    if let Some(replicas) = service.replicas {
        line_to(out, &format!("replicas = {replicas}"));
    }
    if service.oneshot {
        line_to(out, "kind = \"oneshot\"");
    }
    for (key, text) in &service.texts {
        line_to(out, &format!("{key} = {}", string(text)));
    }
    for (key, words) in &service.lists {
        line_to(out, &format!("{key} = {}", list(words)));
    }
    for (key, table) in &service.tables {
        let pairs = table.iter().map(|(key, value)| format!("{key} = {value}"));
        let pairs = pairs.collect::<Vec<_>>().join(", ");
        line_to(out, &format!("{key} = {{ {pairs} }}"));
    }
    if !service.watch.is_empty() {
        line_to(out, &format!("watch = {}", list(&service.watch)));
    }
    match service.port {
        Some(port) => line_to(out, &format!("port = {port}")),
        None if service.auto_port => line_to(out, "port = \"auto\""),
        None => {}
    }
    if !service.depends_on.is_empty() {
        let conditions = service.depends_on.iter();
        let conditions = conditions.map(|(name, condition)| {
            format!(
                "{} = {{ condition = \"{}\" }}",
                key(name),
                condition_word(*condition)
            )
        });
        let conditions = conditions.collect::<Vec<_>>().join(", ");
        line_to(out, &format!("depends_on = {{ {conditions} }}"));
    }
    let policy = match service.restart {
        RestartPolicy::Always => None,
        RestartPolicy::OnFailure => Some("on_failure"),
        RestartPolicy::Never => Some("never"),
    };
    if let Some(policy) = policy.filter(|policy| !service.oneshot || *policy != "never") {
        line_to(out, &format!("restart_policy = \"{policy}\""));
    }
    if let Some(check) = &service.healthcheck {
        line_to(out, &format!("healthcheck = {}", health(check)));
    } else if service.unprobed {
        line_to(out, "healthcheck = false");
    }
    if !service.env.is_empty() {
        line_to(out, &format!("\n[services.{}.env]", service.name));
        for (name, value) in &service.env {
            let value = if service.interpolate {
                value.clone()
            } else {
                dollars(value)
            };
            line_to(out, &format!("{} = {}", key(name), string(&value)));
        }
    }
}

fn condition_word(condition: Condition) -> &'static str {
    match condition {
        Condition::Started => "started",
        Condition::Healthy => "healthy",
        Condition::Completed => "completed",
    }
}

fn health(check: &DraftHealth) -> String {
    let mut parts = vec![format!("test = {}", inline_command(&check.test))];
    parts.extend(
        check
            .times
            .iter()
            .map(|(key, time)| format!("{key} = {}", string(time))),
    );
    parts.extend(check.retries.map(|retries| format!("retries = {retries}")));
    format!("{{ {} }}", parts.join(", "))
}

fn command(command: &Command) -> String {
    match command {
        Command::Shell(line) => string(line),
        Command::Exec(words) => list(words),
    }
}

/// As [`command`], on one line.
fn inline_command(command: &Command) -> String {
    match command {
        Command::Shell(line) => basic(line),
        Command::Exec(words) => {
            format!(
                "[{}]",
                words
                    .iter()
                    .map(|word| basic(word))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
    }
}

/// Doubles dollar signs, which `hd.toml` would take for variables.
fn dollars(value: &str) -> String {
    value.replace('$', "$$")
}

fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        basic(name)
    }
}

fn list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| string(word)).collect();
    let line = format!("[{}]", words.join(", "));
    if line.len() <= 90 || words.len() < 2 {
        return line;
    }
    format!("[\n    {},\n]", words.join(",\n    "))
}

/// The string that is easiest to read: bare quotes, literal, or several lines.
pub(super) fn string(text: &str) -> String {
    let control = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(control) {
        return basic(text);
    }
    if text.contains('\n') {
        // A literal block ends in quotes of its own kind; a text that holds or ends in them is escaped.
        if text.contains("'''") || text.ends_with('\'') {
            return basic(text);
        }
        return format!("'''\n{text}'''");
    }
    let hard = text.contains(['"', '\\', '\t']);
    if hard && !text.contains('\'') {
        format!("'{text}'")
    } else {
        basic(text)
    }
}

/// A basic string on one line.
fn basic(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::string;

    proptest! {
        #[test]
        fn every_string_is_read_back(text in "([ab'\"\\\\\n\t\r$]|.){0,24}") {
            let toml = format!("x = {}", string(&text));
            let table = toml::from_str::<toml::Table>(&toml);
            prop_assert!(table.is_ok(), "{}", toml);
            let table = table.unwrap();
            prop_assert_eq!(table["x"].as_str(), Some(text.as_str()));
        }
    }
}
