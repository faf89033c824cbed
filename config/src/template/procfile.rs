//! Procfile: one service a line, as Heroku and its like run them.

use super::python::Tools;
use super::{Facts, Parts};
use crate::ingest::draft::{DraftService, plain_name};
use crate::service::{Command, Condition, RestartPolicy};

/// Runs before the others and ends.
const RELEASE: &str = "release";

pub(super) fn look(facts: &Facts<'_>, parts: &mut Parts, tools: Tools) {
    let text = facts.text("Procfile");
    let lines: Vec<(&str, &str)> = text.lines().filter_map(line).collect();
    if lines.is_empty() {
        return;
    }
    parts.found("processes", "Procfile");
    // What the project itself says beats what its manifests suggest.
    parts.services.clear();
    for (name, command) in &lines {
        let command = tools.inside(command);
        let mut service = DraftService::new(&plain_name(name, "app"), Command::Shell(command));
        service.auto_port = service.command.to_string().contains("$PORT")
            || service.command.to_string().contains("${PORT");
        if *name == RELEASE {
            service.oneshot = true;
            service.restart = RestartPolicy::Never;
        } else if lines.iter().any(|(other, _)| *other == RELEASE) {
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

/// `name: command`; anything else is no process.
fn line(text: &str) -> Option<(&str, &str)> {
    let (name, command) = text.split_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let (name, command) = (name.trim(), command.trim());
    (!name.is_empty() && name.chars().all(plain) && !command.is_empty()).then_some((name, command))
}
