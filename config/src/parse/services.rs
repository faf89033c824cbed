//! `[services.NAME]`.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::{depends_on, environment, healthcheck};
use crate::error::Problem;
use crate::keys;
use crate::project::{Command, Kind, RestartPolicy, Service};
use crate::read::{Item, Result, Section};
use crate::watch::WatchSet;

pub(super) fn read(item: &Item<'_>) -> Result<Vec<Service>> {
    let declared = item.section()?.items();
    let mut services = Vec::with_capacity(declared.len());
    for one in &declared {
        services.push(service(one)?);
    }
    unique_ports(&declared, &services)?;
    depends_on::resolve(&declared, &mut services)?;
    Ok(services)
}

fn service(item: &Item<'_>) -> Result<Service> {
    let name = name(item, "service")?;
    let section = item.section()?;
    section.check(&keys::SERVICE)?;
    let hint = "add command = \"…\"";
    let command = command(&section.require("command", hint)?)?;
    let kinds = [("service", Kind::Service), ("oneshot", Kind::Oneshot)];
    let kind = section.optional("kind", |item| item.one_of(&kinds))?;
    let kind = kind.unwrap_or(Kind::Service);
    let port = section.optional("port", port)?;
    Ok(Service {
        name,
        command,
        watch: section.optional("watch", watch)?.unwrap_or_default(),
        port,
        // Filled in when all services are known.
        depends_on: Vec::new(),
        restart: restart(&section, kind)?,
        env: section
            .optional("env", environment::env)?
            .unwrap_or_default(),
        kind,
        healthcheck: section.optional("healthcheck", |item| healthcheck::read(item, port))?,
    })
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

fn watch(item: &Item<'_>) -> Result<WatchSet> {
    if let DeValue::String(text) = item.value()
        && text == "auto"
    {
        return Err(item.not_yet("\"auto\"", "list globs: watch = [\"src/**\"]"));
    }
    globs(item)
}

/// A list of gitignore-style globs.
pub(super) fn globs(item: &Item<'_>) -> Result<WatchSet> {
    let elements = item.elements()?;
    WatchSet::new(item.texts()?).map_err(|error| {
        let element = elements.get(error.index).unwrap_or(item);
        element.error(Problem::BadGlob {
            key: element.path().to_owned(),
            glob: error.glob,
            why: error.why,
        })
    })
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

fn unique_ports(declared: &[Item<'_>], services: &[Service]) -> Result<()> {
    let mut taken: BTreeMap<u16, &str> = BTreeMap::new();
    for (item, service) in declared.iter().zip(services) {
        let Some(port) = service.port else { continue };
        let Some(first) = taken.insert(port, &service.name) else {
            continue;
        };
        let problem = Problem::DuplicatePort {
            port,
            first: first.to_owned(),
            second: service.name.clone(),
        };
        let at = item.section()?.get("port");
        return Err(at.as_ref().unwrap_or(item).error(problem));
    }
    Ok(())
}
