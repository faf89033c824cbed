//! `hd ingest`: Dockerfiles and Compose files translated to an hd.toml.

mod around;
mod beside;
mod report;
mod subject;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use hd_config::SecretSource;
use hd_config::compose;
use hd_config::dockerfile::{Options, translate};
use hd_config::ingest::{Imported, Line};
use hd_config::template::{self, Beside, Facts, Template};

use crate::args::{IngestArgs, Place};
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;
use crate::project::shown;

use around::Around;
use beside::ComposeFile;
use subject::Subject;
pub(super) use subject::{Found, look};

/// Translates, says what became of each line, and writes.
pub(crate) fn run(args: &IngestArgs, place: &Place, output: Output) -> Outcome {
    let subject = subject::find(args, place)?;
    let build_args = build_args(args)?;
    let around = Around::new(&subject.context)?;
    let imported = imported(args, &subject, build_args, &around)?;
    if !args.check {
        write(&subject.output, &imported.toml, args.force)?;
    }
    report::print(&imported, args.check, &subject.output, output)?;
    Ok(if imported.is_complete() {
        0
    } else {
        exit::USAGE
    })
}

fn imported(
    args: &IngestArgs,
    subject: &Subject,
    build_args: BTreeMap<String, String>,
    around: &Around,
) -> Result<Imported, CliError> {
    let name = subject
        .context
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let ignore = around.ignore(subject.dockerfile.as_deref())?;
    let mut options = Options {
        name: &name,
        target: args.target.as_deref(),
        build_args,
        base: args.base.as_deref(),
        secrets: secrets(args)?,
        ignore: ignore.as_deref(),
        ..Options::default()
    };
    let Some(path) = &subject.compose else {
        let path = subject.dockerfile.clone().unwrap_or_default();
        let file = shown(&path);
        options.file = &file;
        return Ok(translate(&read(&path)?, &options, around)?);
    };
    let of_compose = ComposeFile::read(path, around)?;
    let text = &of_compose.text;
    let mut imported = match used_by(args, subject, text) {
        Some(path) => {
            let file = shown(path);
            options.file = &file;
            let options = of_compose.options(options);
            compose::translate_beside(text, &read(path)?, &options, around)?
        }
        None => compose::translate(text, &of_compose.options(options), around)?,
    };
    let over = subject.over.iter();
    let lines = over.map(|over| beside::not_laid_over(over, path));
    imported.lines.extend(lines.chain(of_compose.told()));
    Ok(imported)
}

/// The Dockerfile of the project that a Compose file beside it has services for, databases and the like, and nothing
/// else; both were found in the directory.
fn used_by<'s>(args: &IngestArgs, subject: &'s Subject, compose: &str) -> Option<&'s Path> {
    let dockerfile = subject.dockerfile.as_deref();
    dockerfile.filter(|_| args.compose.is_none() && !compose::runs_the_project(compose, ""))
}

/// Writes the template of a directory with the services of its Compose file, which has nothing else; also gives what
/// became of that file's lines.
pub(super) fn template_beside(
    directory: &Path,
    facts: &Facts<'_>,
) -> Result<(Template, Vec<Line>), CliError> {
    let around = Around::new(directory)?;
    let path = subject::compose_file(directory).unwrap_or_default();
    let of_compose = ComposeFile::read(&path, &around)?;
    let beside = Beside {
        text: &of_compose.text,
        options: &of_compose.options(Options::default()),
        around: &around,
    };
    let (template, mut lines) = template::template_beside(facts, &beside)?;
    lines.extend(of_compose.told());
    Ok((template, lines))
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|e| CliError::io("read", path, &e).with_exit(exit::USAGE))
}

fn build_args(args: &IngestArgs) -> Result<BTreeMap<String, String>, CliError> {
    let mut all = BTreeMap::new();
    for text in &args.build_arg {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            // As with Docker, a name alone takes the value of the caller's variable.
            None => match std::env::var(text) {
                Ok(value) => (text.as_str(), value),
                Err(_) => continue,
            },
        };
        if name.is_empty() {
            return Err(CliError::new(
                "usage",
                exit::USAGE,
                format!("--build-arg {text:?} has no name"),
            )
            .hint("--build-arg NAME=VALUE"));
        }
        all.insert(name.to_owned(), value);
    }
    Ok(all)
}

/// Reads `--secret` as `docker build` has it: without a source it is the variable of that name.
fn secrets(args: &IngestArgs) -> Result<BTreeMap<String, SecretSource>, CliError> {
    let wrong = |text: &str| {
        CliError::new(
            "usage",
            exit::USAGE,
            format!("--secret {text:?} names no id"),
        )
        .hint("--secret id=ID,env=VARIABLE or --secret id=ID,src=FILE")
    };
    let mut all = BTreeMap::new();
    for text in &args.secret {
        let get = |names: &[&str]| {
            let mut parts = text.split(',').filter_map(|part| part.split_once('='));
            let found = parts.find(|(name, _)| names.contains(name));
            found.map(|(_, value)| value.to_owned())
        };
        let id = get(&["id"])
            .filter(|id| !id.is_empty())
            .ok_or_else(|| wrong(text))?;
        let source = match (get(&["src", "source"]), get(&["env"])) {
            (Some(file), _) => SecretSource::File(file),
            (None, variable) => SecretSource::Env(variable.unwrap_or_else(|| id.clone())),
        };
        all.insert(id, source);
    }
    Ok(all)
}

/// Writes the file whole; never over one that is there unless told to.
fn write(path: &Path, text: &str, force: bool) -> Result<(), CliError> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => CliError::new(
            "exists",
            exit::USAGE,
            format!("{} is there already", path.display()),
        )
        .at(path.display().to_string())
        .hint("`--force` writes over it, `-o FILE` writes elsewhere, `--check` only reports"),
        _ => CliError::io("write", path, &e),
    })
}
