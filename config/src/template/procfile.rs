//! Procfile: one service a line, as Heroku and its like run them.

use std::net::IpAddr;

use super::python::Tools;
use super::{Facts, Parts};
use crate::ingest::draft::{DraftService, plain_name};
use crate::ingest::sources;
use crate::service::{Command, Condition, RestartPolicy};

/// Runs before the others and ends.
const RELEASE: &str = "release";

/// Is told by `PORT` where to listen, whether its line names it or not: many servers look for it.
const WEB: &str = "web";

/// Variables of all processes, which Heroku's own tool, foreman and honcho read.
const VARIABLES: &str = ".env";

pub(super) fn look(facts: &Facts<'_>, parts: &mut Parts, tools: Tools) {
    let text = facts.text("Procfile");
    let lines: Vec<(&str, &str)> = text.lines().filter_map(line).collect();
    if lines.is_empty() {
        return;
    }
    parts.found("processes", "Procfile");
    // What the project itself says beats what its manifests suggest.
    parts.services.clear();
    if facts.has(VARIABLES) {
        parts.env_file.push(VARIABLES.to_owned());
    }
    for (name, command) in &lines {
        let mut service = process(name, command);
        service.command = Command::Shell(tools.inside(command));
        let waits = lines.iter().any(|(other, _)| *other == RELEASE);
        if waits && !service.oneshot {
            let after = (RELEASE.to_owned(), Condition::Completed);
            service.depends_on.push(after);
        }
        let known = parts
            .services
            .iter()
            .any(|other| other.name == service.name);
        if !known {
            parts.services.push(service);
        }
    }
}

fn process(name: &str, command: &str) -> DraftService {
    let mut service =
        DraftService::new(&plain_name(name, "app"), Command::Shell(command.to_owned()));
    let takes_port = command.contains("$PORT") || command.contains("${PORT");
    service.port = port(command).filter(|_| name == WEB && !takes_port);
    service.auto_port = takes_port || name == WEB && service.port.is_none();
    if name == RELEASE {
        service.oneshot = true;
        service.restart = RestartPolicy::Never;
    } else if Tools::runs(command) {
        service.watch = sources::PYTHON.map(str::to_owned).to_vec();
    } else if command.starts_with("node ") {
        service.watch = sources::NODE.map(str::to_owned).to_vec();
    }
    service
}

/// The port that a line itself says: of an option, or of an address.
fn port(command: &str) -> Option<u16> {
    const OPTIONS: [&str; 5] = ["--port", "-p", "--bind", "-b", "--listen"];
    let mut before = "";
    command.split_whitespace().find_map(|word| {
        let (option, value) = word.split_once('=').unwrap_or((before, word));
        before = word;
        let (host, number) = value.rsplit_once(':').unwrap_or(("", value));
        let is_address = host == "localhost" || host.parse::<IpAddr>().is_ok();
        let fits = OPTIONS.contains(&option) || is_address;
        number.parse().ok().filter(|port| fits && *port > 0)
    })
}

/// `name: command`; anything else is no process.
fn line(text: &str) -> Option<(&str, &str)> {
    let (name, command) = text.split_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let (name, command) = (name.trim(), command.trim());
    (!name.is_empty() && name.chars().all(plain) && !command.is_empty()).then_some((name, command))
}
