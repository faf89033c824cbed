//! `healthcheck` of a service.

use toml::de::DeValue;

use super::services::{command, port};
use crate::keys;
use crate::read::{Item, Result, Section};
use crate::service::{Command, Healthcheck, Probe};

/// Reads a healthcheck, or `false`, which wants none, whatever an image says.
///
/// `service_port` is where `http = "/path"` goes, 0 while it is not known.
pub(super) fn read(item: &Item<'_>, service_port: Option<u16>) -> Result<Option<Healthcheck>> {
    match item.value() {
        DeValue::Boolean(false) => Ok(None),
        _ => table(item, service_port).map(Some),
    }
}

fn table(item: &Item<'_>, service_port: Option<u16>) -> Result<Healthcheck> {
    let DeValue::Table(_) = item.value() else {
        return Ok(Healthcheck {
            test: test(item)?,
            interval: Healthcheck::INTERVAL,
            timeout: Healthcheck::TIMEOUT,
            retries: Healthcheck::RETRIES,
            start_period: Healthcheck::START_PERIOD,
        });
    };
    let section = item.section()?;
    section.check(&keys::HEALTHCHECK)?;
    let duration = |key: &str| section.optional(key, Item::duration);
    let positive = |key: &str| section.optional(key, positive_duration);
    Ok(Healthcheck {
        test: probe(item, &section, service_port)?,
        interval: positive("interval")?.unwrap_or(Healthcheck::INTERVAL),
        timeout: positive("timeout")?.unwrap_or(Healthcheck::TIMEOUT),
        retries: section
            .optional("retries", retries)?
            .unwrap_or(Healthcheck::RETRIES),
        start_period: duration("start_period")?.unwrap_or(Healthcheck::START_PERIOD),
    })
}

fn probe(item: &Item<'_>, section: &Section<'_>, service_port: Option<u16>) -> Result<Probe> {
    let probes = ["test", "http", "tcp", "log", "notify"];
    let given: Vec<Item<'_>> = probes.iter().filter_map(|key| section.get(key)).collect();
    match given.as_slice() {
        [one] => match one.key() {
            "http" => http(one, service_port),
            "tcp" => tcp(one),
            "log" => log(one),
            "notify" => announced(one),
            _ => test(one),
        },
        [] => {
            let hint = "test = \"curl -f localhost:3000\", http = \"/healthz\", tcp = 5432, log = \"listening\" or notify = true";
            Err(item.invalid("it lacks `test`, `http`, `tcp`, `log` or `notify`", hint))
        }
        [_, second, ..] => Err(second.invalid_key(
            "only one of `test`, `http`, `tcp`, `log`, `notify` is tried",
            "",
        )),
    }
}

fn test(item: &Item<'_>) -> Result<Probe> {
    let command = command(item)?;
    if let Command::Exec(words) = &command
        && let Some(word @ ("CMD" | "CMD-SHELL" | "NONE")) = words.first().map(String::as_str)
    {
        let hint = "a list is the command itself, a string goes to the shell";
        return Err(item.invalid(format!("{word:?} is a Dockerfile word"), hint));
    }
    Ok(Probe::Exec(command))
}

fn http(item: &Item<'_>, service_port: Option<u16>) -> Result<Probe> {
    let example = "\"/healthz\" with the service's `port`, or \"http://127.0.0.1:8080/healthz\"";
    let text = item.text()?;
    if text.contains(char::is_whitespace) || text.contains(char::is_control) {
        return Err(item.invalid(format!("{text:?} is no URL"), example));
    }
    if text.starts_with('/') {
        let port = service_port
            .ok_or_else(|| item.invalid("a path alone needs the service's `port`", example))?;
        return Ok(Probe::Http {
            host: "127.0.0.1".to_owned(),
            port,
            path: text.to_owned(),
        });
    }
    let secure = text.strip_prefix("https://");
    let rest = secure.or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| item.invalid(format!("{text:?} is no URL"), example))?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let (host, port) = host_port(authority, Some(if secure.is_some() { 443 } else { 80 }))
        .ok_or_else(|| item.invalid(format!("{text:?} is no URL"), example))?;
    let path = path.to_owned();
    Ok(if secure.is_some() {
        Probe::Https { host, port, path }
    } else {
        Probe::Http { host, port, path }
    })
}

fn log(item: &Item<'_>) -> Result<Probe> {
    let text = item.text()?;
    match regex::Regex::new(text) {
        Ok(_) => Ok(Probe::Log(text.to_owned())),
        Err(error) => {
            let why = error.to_string();
            // The last line says what is wrong; those before draw the place.
            let why = why.lines().last().unwrap_or_default();
            let why = format!(
                "{text:?} is no regular expression: {}",
                why.trim_start_matches("error: ")
            );
            Err(item.invalid(why, "e.g. log = \"ready to accept connections\""))
        }
    }
}

fn announced(item: &Item<'_>) -> Result<Probe> {
    match item.value() {
        DeValue::Boolean(true) => Ok(Probe::Notify),
        DeValue::Boolean(false) => {
            Err(item.invalid("false says nothing", "leave it out, or `notify = true`"))
        }
        _ => Err(item.wrong_type("true", "notify = true")),
    }
}

fn tcp(item: &Item<'_>) -> Result<Probe> {
    if let DeValue::Integer(_) = item.value() {
        let host = "127.0.0.1".to_owned();
        return Ok(Probe::Tcp {
            host,
            port: port(item)?,
        });
    }
    let text = item.text()?;
    let (host, port) = host_port(text, None).ok_or_else(|| {
        item.invalid(
            format!("{text:?} is no address"),
            "5432 or \"127.0.0.1:5432\"",
        )
    })?;
    Ok(Probe::Tcp { host, port })
}

/// Splits `host`, `host:port` or `[v6]:port`.
fn host_port(text: &str, default_port: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            let port = if rest.is_empty() {
                None
            } else {
                Some(rest.strip_prefix(':')?)
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let number = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0),
        None => default_port,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let valid = !host.is_empty() && host.chars().all(plain);
    number.filter(|_| valid).map(|port| (host.to_owned(), port))
}

fn positive_duration(item: &Item<'_>) -> Result<std::time::Duration> {
    let duration = item.duration()?;
    if duration.is_zero() {
        return Err(item.invalid("it is zero", ""));
    }
    Ok(duration)
}

fn retries(item: &Item<'_>) -> Result<u32> {
    let number = item.integer()?;
    match u32::try_from(number) {
        Ok(retries) if retries > 0 => Ok(retries),
        _ => Err(item.invalid(format!("{number} is no number of retries"), "at least 1")),
    }
}
