//! `hd init`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use hd_config::ingest::Line;
use hd_config::template::{Facts, template};
use serde_json::json;

use super::ingest;
use crate::args::{IngestArgs, InitArgs, Place};
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;
use crate::project::{FILE, shown};

/// Longest file of a project that is looked into, in bytes.
const LOOK_MAX: u64 = 1 << 20;

/// Writes an hd.toml that works as it is; never over one that is there.
pub(crate) fn run(args: &InitArgs, place: Place, output: Output) -> Outcome {
    let mut file = PathBuf::new();
    file.extend(
        [place.directory.as_deref(), args.path.as_deref()]
            .into_iter()
            .flatten(),
    );
    file.push(place.file.clone().unwrap_or_else(|| FILE.into()));
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let absolute = directory
        .canonicalize()
        .map_err(|e| CliError::io("enter", directory, &e).with_exit(exit::USAGE))?;
    let file = absolute.join(file.file_name().unwrap_or_default());
    let subject = match args.plain {
        true => ingest::Found::Nothing,
        false => ingest::look(&absolute),
    };
    if subject == ingest::Found::Project {
        return translated(&absolute, file, output);
    }
    let names = listed(&absolute)?;
    let files: Vec<&str> = names.iter().map(String::as_str).collect();
    let name = absolute
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    let facts = Facts {
        directory: &name,
        files: &files,
        read: &|path| text(&absolute.join(path)),
    };
    let (written, lines) = match subject {
        ingest::Found::Others => ingest::template_beside(&absolute, &facts)?,
        _ => (template(&facts), Vec::new()),
    };
    if written.found.is_empty() && subject == ingest::Found::Others {
        return translated(&absolute, file, output);
    }
    create(&file, &written.text)?;
    if output.json {
        output.value(&json!({"schema": 1, "file": file, "found": written.found}))?;
        return Ok(0);
    }
    let found = match written.found.as_slice() {
        [] => "nothing known was found here: the file is a skeleton".to_owned(),
        found => format!("found {}", found.join(", ")),
    };
    output.talk(&found);
    if subject == ingest::Found::Others {
        output.talk(&told(&lines));
    }
    output.talk(&format!("wrote {}; look at it, then `hd up`", shown(&file)));
    Ok(0)
}

/// Says what became of a Compose file whose services the project uses.
fn told(lines: &[Line]) -> String {
    let lost = lines.iter().filter(|line| line.needed).count();
    let lost = match lost {
        0 => String::new(),
        lost => format!("; {lost} of its lines need something that cannot be had"),
    };
    let file = lines.first().map_or("compose.yaml", |line| &line.file);
    format!(
        "the services of {file} are in it, on images of their own{lost}: `hd ingest --check {file}` says of each line \
         what became of it"
    )
}

/// As `hd ingest` in that directory.
fn translated(directory: &Path, file: PathBuf, output: Output) -> Outcome {
    if file.exists() {
        return Err(exists(&file));
    }
    let args = IngestArgs {
        path: Some(directory.to_owned()),
        output: Some(file),
        ..IngestArgs::default()
    };
    ingest::run(&args, &Place::default(), output).map_err(|error| {
        error.hint("`hd init --plain` looks at the other files of the project only")
    })
}

fn create(file: &Path, text: &str) -> Result<(), CliError> {
    let written = OpenOptions::new().write(true).create_new(true).open(file);
    match written.and_then(|mut open| open.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(exists(file)),
        Err(e) => Err(CliError::io("write", file, &e)),
    }
}

fn exists(file: &Path) -> CliError {
    let message = format!("{} is there already", file.display());
    CliError::new("exists", exit::USAGE, message)
        .at(file.display().to_string())
        .hint("`hd up` runs it")
}

/// A text file that is short enough to be looked into.
fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(LOOK_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

fn listed(directory: &Path) -> Result<Vec<String>, CliError> {
    let failed = |e: std::io::Error| CliError::io("list", directory, &e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
