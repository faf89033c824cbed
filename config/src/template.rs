//! The `hd.toml` that `hd init` writes: it works as it is.
//!
//! What a project is shows in its manifests; each kind adds its steps and services to a draft, which is
//! written as text and read back. How the frameworks are started follows their own documentation.

mod go;
mod node;
mod procfile;
mod python;
mod rust;
mod source;

use std::collections::BTreeSet;
use std::fmt;

use crate::compose;
use crate::error::ConfigError;
use crate::ingest::draft::{Draft, DraftService, DraftStep};
use crate::ingest::{Line, Surroundings};
use crate::service::Command;
use crate::step::NamedCache;

/// What is known about the project directory.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Name of the directory.
    pub directory: &'a str,
    /// Names of the files and directories in it.
    pub files: &'a [&'a str],
    /// Reads a file by its path in the project; nothing when it is absent, big or no text.
    pub read: &'a dyn Fn(&str) -> Option<String>,
}

impl fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("directory", &self.directory)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Facts<'_> {
    fn has(&self, name: &str) -> bool {
        self.files.contains(&name)
    }

    fn first_of<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.has(name))
    }

    fn text(&self, name: &str) -> String {
        (self.read)(name).unwrap_or_default()
    }
}

/// What `hd init` writes, and what it saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The text of the `hd.toml`.
    pub text: String,
    /// Kinds of project that were found, each with the file that showed it; none for a skeleton.
    pub found: Vec<String>,
}

/// What is found, in the making.
#[derive(Default)]
struct Parts {
    found: Vec<String>,
    steps: Vec<String>,
    cache: Vec<String>,
    caches: Vec<NamedCache>,
    services: Vec<DraftService>,
    exclude: BTreeSet<String>,
    env_file: Vec<String>,
}

impl Parts {
    fn found(&mut self, kind: &str, file: &str) {
        self.found.push(format!("{kind} ({file})"));
    }

    /// Adds the service that answers requests, if there is none of that kind yet.
    fn serve(&mut self, command: String, port: Option<u16>, watch: &[&str]) {
        if self.services.iter().any(|service| service.name == "web") {
            return;
        }
        let mut service = DraftService::new("web", Command::Shell(command));
        service.port = port;
        service.watch = watch.iter().map(|glob| (*glob).to_owned()).collect();
        self.services.push(service);
    }
}

/// A Compose file of services for the project to use, and all that it is translated by.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    /// Its text.
    pub text: &'a str,
    /// How it is translated.
    pub options: &'a compose::Options<'a>,
    /// What is asked of this machine for it.
    pub around: &'a dyn Surroundings,
}

impl fmt::Debug for Beside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside").finish_non_exhaustive()
    }
}

/// Writes the template: steps for each manifest that is there, services where it is evident how the
/// project runs; a skeleton of comments when nothing is found.
#[must_use]
pub fn template(facts: &Facts<'_>) -> Template {
    let (found, draft) = look(facts);
    written(facts, found, draft.as_ref())
}

/// Does the same with the services of a Compose file beside it; also gives what became of its lines. Where nothing
/// is found it is not read.
///
/// # Errors
/// What that file says wrong, with its place.
pub fn template_beside(
    facts: &Facts<'_>,
    beside: &Beside<'_>,
) -> Result<(Template, Vec<Line>), ConfigError> {
    let (found, mut draft) = look(facts);
    let Some(draft) = &mut draft else {
        return Ok((written(facts, found, None), Vec::new()));
    };
    let lines = compose::beside(draft, beside.text, beside.options, beside.around)?;
    let text = draft.write()?;
    Ok((Template { text, found }, lines))
}

fn look(facts: &Facts<'_>) -> (Vec<String>, Option<Draft>) {
    let mut parts = Parts::default();
    let tools = python::look(facts, &mut parts);
    node::look(facts, &mut parts);
    rust::look(facts, &mut parts);
    go::look(facts, &mut parts);
    procfile::look(facts, &mut parts, tools);
    let found = std::mem::take(&mut parts.found);
    let draft = (!found.is_empty()).then(|| draft(facts, &found, parts));
    (found, draft)
}

fn written(facts: &Facts<'_>, found: Vec<String>, draft: Option<&Draft>) -> Template {
    let text = match draft.map(|draft| draft.write()) {
        Some(Ok(text)) => text,
        // Nothing found, or a file of the project says what no hd.toml can hold.
        _ => skeleton(&name(facts.directory)),
    };
    Template { text, found }
}

fn draft(facts: &Facts<'_>, found: &[String], parts: Parts) -> Draft {
    let caches: Vec<String> = parts
        .caches
        .iter()
        .map(|cache| cache.name.clone())
        .collect();
    let of_go = |run: &str| run.starts_with("go ");
    let step = |run: String| DraftStep {
        title: run.clone(),
        caches: if of_go(&run) {
            caches.clone()
        } else {
            Vec::new()
        },
        run,
        ..DraftStep::default()
    };
    Draft {
        head: vec![
            format!("Written by `hd init`: {}.", found.join(", ")),
            format!(
                "It stands on this machine's own system; on an image with base = {:?} below `name`.",
                image(found)
            ),
        ],
        name: name(facts.directory),
        env_file: parts.env_file,
        steps: parts.steps.into_iter().map(step).collect(),
        cache: parts.cache,
        caches: parts.caches,
        services: parts.services,
        exclude: parts.exclude.into_iter().collect(),
        ..Draft::default()
    }
}

/// An image with the tools that the first kind of project needs.
fn image(found: &[String]) -> &'static str {
    let kind = found.first().and_then(|kind| kind.split(' ').next());
    match kind {
        Some("Python" | "Django" | "Flask" | "FastAPI") => "python:3-slim",
        Some("Node" | "Express" | "Next.js" | "Vite" | "Astro" | "Nuxt") => "node:lts-slim",
        Some("Rust") => "rust:slim",
        Some("Go") => "golang",
        _ => "debian:12-slim",
    }
}

fn skeleton(name: &str) -> String {
    format!(
        "[environment]\nname = {name:?}\n\
         # base = \"debian:12-slim\"    # an OCI image; without it, this machine's own system\n\
         \n# [build]\n# steps = [\"make\"]    # each runs again only when something it read has changed\n\
         \n# [services.web]\n# command = \"./serve\"\n# watch = [\"src/**\"]    # a change of these restarts it\n\
         # port = 8000    # ready once it accepts connections there\n\
         \n# [files]\n# exclude = [\"*.log\"]    # on top of .gitignore and .hdignore\n"
    )
}

/// The directory's name as the name of an environment.
fn name(directory: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = directory
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .take(64)
        .collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() {
        "app".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests;
