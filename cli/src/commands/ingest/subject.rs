//! Which files are meant.

use std::path::{Path, PathBuf};

use hd_config::compose;

use crate::args::{IngestArgs, Place};
use crate::error::{CliError, exit};
use crate::project::FILE;

const DOCKERFILES: [&str; 2] = ["Dockerfile", "Containerfile"];
const COMPOSE_FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];
/// What Compose lays over a file that it found by itself.
const COMPOSE_OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// What is translated, and where to.
#[derive(Debug)]
pub(super) struct Subject {
    /// The Dockerfile, if there is one.
    pub(super) dockerfile: Option<PathBuf>,
    /// The Compose file, if there is one.
    pub(super) compose: Option<PathBuf>,
    /// A file that Compose would lay over that one, as nobody named it.
    pub(super) over: Option<PathBuf>,
    /// Absolute directory of the project.
    pub(super) context: PathBuf,
    /// The file to write.
    pub(super) output: PathBuf,
}

/// What a directory has that can be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A file that says how the project is run.
    Project,
    /// A Compose file, of services for the project to use.
    Others,
    Nothing,
}

/// Tells what a directory has that can be translated.
pub(crate) fn look(directory: &Path) -> Found {
    if first_of(directory, &DOCKERFILES).is_some() {
        return Found::Project;
    }
    let Some(file) = first_of(directory, &COMPOSE_FILES) else {
        return Found::Nothing;
    };
    // One that cannot be read is for the translation to say so.
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    match compose::runs_the_project(&text, "") {
        true => Found::Project,
        false => Found::Others,
    }
}

/// The Compose file of a directory.
pub(super) fn compose_file(directory: &Path) -> Option<PathBuf> {
    first_of(directory, &COMPOSE_FILES)
}

/// Finds the files that the arguments name, or those of the directory.
pub(super) fn find(args: &IngestArgs, place: &Place) -> Result<Subject, CliError> {
    let here = std::env::current_dir().map_err(|e| CliError::io("find", Path::new("."), &e))?;
    let here = place
        .directory
        .as_ref()
        .map_or(here.clone(), |directory| here.join(directory));
    let start = args
        .path
        .as_ref()
        .map_or(here.clone(), |path| here.join(path));
    let kind = std::fs::metadata(&start)
        .map_err(|e| CliError::io("read", &start, &e).with_exit(exit::USAGE))?;
    let (mut dockerfile, mut compose) = if kind.is_dir() {
        (
            first_of(&start, &DOCKERFILES),
            first_of(&start, &COMPOSE_FILES),
        )
    } else if is_compose(&start) {
        (None, Some(start.clone()))
    } else {
        (Some(start.clone()), None)
    };
    let by_itself = kind.is_dir() && args.compose.is_none() && compose.is_some();
    let over = by_itself.then(|| first_of(&start, &COMPOSE_OVERRIDES));
    if let Some(named) = &args.compose {
        compose = Some(here.join(named));
    }
    let directory = if kind.is_dir() {
        start.clone()
    } else {
        parent(&start)
    };
    if dockerfile.is_none() && compose.is_none() {
        let message = format!("no Dockerfile and no compose.yaml in {}", start.display());
        return Err(CliError::new("usage", exit::USAGE, message)
            .at(start.display().to_string())
            .hint("name the file: hd ingest PATH; `hd init` writes an hd.toml without one"));
    }
    if dockerfile.is_none() && args.compose.is_some() {
        dockerfile = first_of(&directory, &DOCKERFILES);
    }
    let context = args
        .context
        .as_ref()
        .map_or(directory, |context| here.join(context));
    let context = context
        .canonicalize()
        .map_err(|e| CliError::io("enter", &context, &e).with_exit(exit::USAGE))?;
    if let Some(file) = &compose {
        beside(file, &context)?;
    }
    let output = match (&args.output, &place.file) {
        (Some(file), _) | (None, Some(file)) => here.join(file),
        (None, None) => context.join(FILE),
    };
    Ok(Subject {
        dockerfile,
        compose,
        over: over.flatten(),
        context,
        output,
    })
}

/// Refuses a Compose file of another directory than the project's: its paths are meant from its own.
fn beside(file: &Path, context: &Path) -> Result<(), CliError> {
    // What is not there is for its reading to say so.
    let Ok(directory) = parent(file).canonicalize() else {
        return Ok(());
    };
    if directory == context {
        return Ok(());
    }
    let message = format!(
        "{} is not in {}, and Compose takes all paths in it from its own directory",
        file.display(),
        context.display()
    );
    let hint = "name that directory (`hd ingest DIRECTORY`), or have `docker compose config` print a file to put \
                beside the Dockerfile";
    Err(CliError::new("usage", exit::USAGE, message)
        .at(file.display().to_string())
        .hint(hint))
}

fn parent(file: &Path) -> PathBuf {
    file.parent()
        .map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

fn first_of(directory: &Path, names: &[&str]) -> Option<PathBuf> {
    let mut files = names.iter().map(|name| directory.join(name));
    files.find(|file| file.is_file())
}

fn is_compose(file: &Path) -> bool {
    let extension = file.extension().unwrap_or_default();
    extension == "yaml" || extension == "yml"
}
