//! `[services.NAME]`.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::{
    depends_on, environment, healthcheck, life, network, replicas, resources, volumes, watch,
};
use crate::image_defaults::Open;
use crate::keys;
use crate::path::inside_project;
use crate::read::{Item, Result, Section};
use crate::replica;
use crate::service::{Command, Kind, RestartPolicy, Service};
use crate::signal::Signal;
use crate::watch::WatchSet;

/// Reads `[services]`; `volumes` are the names of `[volumes]`, and the environment may have an image.
///
/// `scale` says how many replicas there are, where that is not left to the file.
pub(super) fn read(
    item: &Item<'_>,
    volumes: &[String],
    based: bool,
    scale: &BTreeMap<String, u32>,
) -> Result<Vec<Service>> {
    let declared = item.section()?.items();
    let mut services = Vec::with_capacity(declared.len());
    for one in &declared {
        services.push(service(one, volumes, based)?);
    }
    network::unique(&declared, &services)?;
    depends_on::resolve(&declared, &mut services)?;
    let counts = replicas::counts(&declared, &services, scale)?;
    Ok(replica::expand(services, &counts))
}

fn service(item: &Item<'_>, known: &[String], based: bool) -> Result<Service> {
    let name = name(item, "service")?;
    let section = item.section()?;
    section.check(&keys::SERVICE)?;
    let base = section.optional("base", environment::base)?;
    let hint = "add command = \"…\"; without one the program of an image (`base`) is meant";
    let open = Open {
        command: (based || base.is_some()) && section.get("command").is_none(),
        stop_signal: section.get("stop_signal").is_none(),
        healthcheck: section.get("healthcheck").is_none(),
    };
    let command = match open.command {
        true => Command::Exec(Vec::new()),
        false => command(&section.require("command", hint)?)?,
    };
    let kinds = [("service", Kind::Service), ("oneshot", Kind::Oneshot)];
    let kind = section.optional("kind", |item| item.one_of(&kinds))?;
    let kind = kind.unwrap_or(Kind::Service);
    let wanted = section.optional("port", wanted_port)?;
    let port = match wanted {
        Some(Wanted::Fixed(port)) => Some(port),
        Some(Wanted::Auto) | None => None,
    };
    let own_port = wanted.map(|_| port.unwrap_or(0));
    let commands = |key| {
        section
            .optional(key, commands)
            .map(Option::unwrap_or_default)
    };
    let env_file = section.optional("env_file", environment::env_file)?;
    let profiles = section.optional("profiles", super::profiles::names)?;
    let signal = section.optional("stop_signal", life::signal)?;
    let service = Service {
        name,
        command,
        watch: section
            .optional("watch", |item| watch_of(item, base.is_some()))?
            .unwrap_or_default(),
        port,
        auto_port: matches!(wanted, Some(Wanted::Auto)),
        socket: life::socket(&section, wanted.is_some(), kind)?,
        // Filled in when all services are known.
        depends_on: Vec::new(),
        restart: restart(&section, kind)?,
        backoff: section
            .optional("restart", life::backoff)?
            .unwrap_or_default(),
        env: section
            .optional("env", environment::env)?
            .unwrap_or_default(),
        env_file: env_file.unwrap_or_default(),
        working_dir: section.optional("working_dir", |item| working_dir(item, base.is_some()))?,
        user: section.optional("user", environment::user)?,
        stop_signal: signal.unwrap_or(Signal::TERM),
        stop_grace: section.optional("stop_grace", Item::duration)?,
        pre_start: commands("pre_start")?,
        post_start: commands("post_start")?,
        pre_stop: commands("pre_stop")?,
        profiles: profiles.unwrap_or_default(),
        network: section
            .optional("network", network::network)?
            .unwrap_or_default(),
        resources: section
            .optional("resources", resources::read)?
            .unwrap_or_default(),
        ports: section
            .optional("ports", network::ports)?
            .unwrap_or_default(),
        volumes: section
            .optional("volumes", |item| volumes::of_service(item, known))?
            .unwrap_or_default(),
        kind,
        healthcheck: section
            .optional("healthcheck", |item| healthcheck::read(item, own_port))?
            .flatten(),
        open,
        base,
        // Known once all services are.
        replica: None,
    };
    network::check(&section, &service)?;
    Ok(service)
}

/// A key that names something of this kind.
pub(super) fn name(item: &Item<'_>, kind: &str) -> Result<String> {
    check_name(item.key(), kind).map_err(|(why, hint)| item.invalid_key(why, hint))
}

/// A value that names something of this kind.
pub(super) fn plain_name(item: &Item<'_>, name: &str, kind: &str) -> Result<String> {
    check_name(name, kind).map_err(|(why, hint)| item.invalid(why, hint))
}

fn check_name(name: &str, kind: &str) -> Result<String, (String, String)> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !begins || !name.chars().all(plain) {
        let hint =
            format!("{kind} names are a-z, 0-9, `_` and `-`, beginning with a letter or digit");
        return Err((format!("{name:?} is no {kind} name"), hint));
    }
    if name.len() > 63 {
        return Err((
            "the name is longer than 63 characters".to_owned(),
            String::new(),
        ));
    }
    Ok(name.to_owned())
}

/// A string for the shell, or a list that is run as it stands.
pub(super) fn command(item: &Item<'_>) -> Result<Command> {
    match item.value() {
        DeValue::String(_) => Ok(Command::Shell(item.text()?.to_owned())),
        DeValue::Array(_) => {
            let words = item.elements()?;
            let Some(program) = words.first() else {
                return Err(item.invalid("the list is empty", "program first, then its arguments"));
            };
            program.text()?;
            words
                .iter()
                .map(argument)
                .collect::<Result<_>>()
                .map(Command::Exec)
        }
        _ => Err(item.wrong_type("a string (for the shell) or a list (without)", "")),
    }
}

/// Unlike other strings, an argument may be empty.
fn argument(item: &Item<'_>) -> Result<String> {
    match item.value() {
        DeValue::String(text) if text.trim().is_empty() => Ok(text.to_string()),
        _ => item.text().map(str::to_owned),
    }
}

/// One command, or a list of them; each a string for the shell, or a list without.
fn commands(item: &Item<'_>) -> Result<Vec<Command>> {
    match item.value() {
        DeValue::Array(_) => item.elements()?.iter().map(command).collect(),
        _ => Ok(vec![command(item)?]),
    }
}

/// What restarts it. On a base of its own it opens no file of the project that hd could see.
fn watch_of(item: &Item<'_>, is_apart: bool) -> Result<WatchSet> {
    let watch = watch::read(item)?;
    if watch.is_auto() && is_apart {
        let why = "on a base of its own it has no project to read";
        return Err(item.invalid(why, "list globs: watch = [\"conf/**\"]"));
    }
    Ok(watch)
}

/// A directory inside, or below the project; on a base of its own there is no project.
fn working_dir(item: &Item<'_>, is_apart: bool) -> Result<String> {
    let text = item.text()?;
    if is_apart && !text.starts_with('/') {
        let why = format!("{text:?} is not absolute, and on a base of its own there is no project");
        return Err(item.invalid(why, format!("e.g. \"/{text}\"")));
    }
    let (root, relative) = match text.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => ("", text),
    };
    if relative.is_empty() {
        return Ok("/".to_owned());
    }
    let path = inside_project(relative).map_err(|why| item.invalid(why, ""))?;
    Ok(format!("{root}{path}"))
}

/// What `port` asks for.
#[derive(Clone, Copy)]
enum Wanted {
    Fixed(u16),
    Auto,
}

fn wanted_port(item: &Item<'_>) -> Result<Wanted> {
    match item.value() {
        DeValue::String(text) if text == "auto" => Ok(Wanted::Auto),
        DeValue::String(text) if item.is_expanded() => match text.parse() {
            Ok(port) if port > 0 => Ok(Wanted::Fixed(port)),
            _ => Err(item.invalid(
                format!("{text:?} is no port"),
                "ports are 1 to 65535, or \"auto\"",
            )),
        },
        DeValue::String(_) => Err(item.wrong_type("a whole number or \"auto\"", "port = 3000")),
        _ => port(item).map(Wanted::Fixed),
    }
}

/// A TCP port somebody can connect to.
pub(super) fn port(item: &Item<'_>) -> Result<u16> {
    let number = item.integer()?;
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(item.invalid(format!("{number} is no port"), "ports are 1 to 65535")),
    }
}

fn restart(section: &Section<'_>, kind: Kind) -> Result<RestartPolicy> {
    let policies = [
        ("always", RestartPolicy::Always),
        ("on_failure", RestartPolicy::OnFailure),
        ("never", RestartPolicy::Never),
    ];
    let Some(item) = section.get("restart_policy") else {
        return Ok(match kind {
            Kind::Service => RestartPolicy::Always,
            Kind::Oneshot => RestartPolicy::Never,
        });
    };
    let policy = item.one_of(&policies)?;
    if kind == Kind::Oneshot && policy == RestartPolicy::Always {
        let why = "\"always\" contradicts kind = \"oneshot\"";
        return Err(item.invalid(why, "\"never\" or \"on_failure\""));
    }
    Ok(policy)
}
