//! What stands beside a Compose file and belongs to it: `.env`, and a file that is laid over it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hd_config::env_file::{self, Refused};
use hd_config::ingest::{Line, Surroundings, Verdict};
use hd_config::{compose, dockerfile};

use crate::error::CliError;
use crate::project::shown;

use super::around::Around;

/// Where a Compose file takes variables from.
const ENV_FILE: &str = ".env";

/// A Compose file and the variables that it takes.
pub(super) struct ComposeFile {
    /// What it says.
    pub(super) text: String,
    name: String,
    variables: Variables,
}

impl ComposeFile {
    pub(super) fn read(path: &Path, around: &Around) -> Result<Self, CliError> {
        Ok(Self {
            text: super::read(path)?,
            name: shown(path),
            variables: Variables::read(around),
        })
    }

    /// Gives how it is translated; `build` is for the Dockerfile that goes with it.
    pub(super) fn options<'a>(&'a self, build: dockerfile::Options<'a>) -> compose::Options<'a> {
        compose::Options {
            file: &self.name,
            build,
            variables: self.variables.all.clone(),
            of_env_file: self.variables.of_env_file.clone(),
        }
    }

    /// Tells what of `.env` is not taken.
    pub(super) fn told(&self) -> impl Iterator<Item = Line> {
        let refused = self.variables.refused.iter().cloned();
        refused.chain(for_compose(&self.variables))
    }
}

/// Variables for a Compose file.
struct Variables {
    /// Those of `.env`, beaten by the caller's.
    all: BTreeMap<String, String>,
    /// The names of those that only `.env` sets.
    of_env_file: BTreeSet<String>,
    /// Lines of `.env` that could not be read.
    refused: Vec<Line>,
}

impl Variables {
    fn read(around: &Around) -> Self {
        let host: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let lookup = |name: &str| host.get(name).cloned();
        let text = around.read(ENV_FILE).unwrap_or_default();
        let (of_file, refused) = env_file::parse_leniently(&text, ENV_FILE, &lookup);
        let names = of_file.iter().map(|(name, _)| name.clone());
        Self {
            of_env_file: names.filter(|name| !host.contains_key(name)).collect(),
            refused: refused.iter().map(|one| left_out(one, &host)).collect(),
            all: of_file.into_iter().chain(host).collect(),
        }
    }
}

/// Tells of a line of `.env`; its value is nobody's business.
fn left_out(refused: &Refused, host: &BTreeMap<String, String>) -> Line {
    let place = refused.error.place();
    let lost = refused.variable.as_ref();
    Line {
        file: place.file.to_string(),
        line: place.line,
        column: place.column,
        text: lost.map_or_else(String::new, |name| format!("{name}=")),
        verdict: Verdict::NotSupported,
        notes: vec![format!(
            "{}: this line is left out",
            refused.error.message()
        )],
        needed: lost.is_some_and(|name| !host.contains_key(name)),
    }
}

/// Tells of what Compose takes from `.env` for itself: other files, and profiles to start.
fn for_compose(variables: &Variables) -> impl Iterator<Item = Line> {
    let said = [
        (
            "COMPOSE_FILE",
            "Compose reads the files that it names, hd the one in the directory: \
                          `docker compose config` prints them as one, which `hd ingest FILE` translates",
        ),
        (
            "COMPOSE_PROFILES",
            "hd starts the profiles that it is told of itself: `hd up --profile NAME`",
        ),
    ];
    let found = said
        .into_iter()
        .filter(|(name, _)| variables.of_env_file.contains(*name));
    found.map(|(name, note)| Line {
        text: name.to_owned(),
        ..needed(Path::new(ENV_FILE), note.to_owned())
    })
}

/// Tells of a file that Compose lays over the other by itself.
pub(super) fn not_laid_over(over: &Path, compose: &Path) -> Line {
    let note = format!(
        "laid over {} by Compose, but not here: `docker compose config` prints both as one file, which \
         `hd ingest FILE` translates",
        name(compose)
    );
    needed(over, note)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().display().to_string()
}

fn needed(file: &Path, note: String) -> Line {
    Line {
        file: shown(file),
        line: 1,
        column: 1,
        text: name(file),
        verdict: Verdict::NotSupported,
        notes: vec![note],
        needed: true,
    }
}
