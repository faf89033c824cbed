//! `hd init`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use hd_config::template::{Facts, template};
use serde_json::json;

use crate::args::Place;
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;
use crate::project::{FILE, shown};

/// Writes an hd.toml that works as it is; never over one that is there.
pub(crate) fn run(place: Place, path: Option<&Path>, output: Output) -> Outcome {
    let mut file = PathBuf::new();
    file.extend([place.directory.as_deref(), path].into_iter().flatten());
    file.push(place.file.unwrap_or_else(|| FILE.into()));
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let absolute = directory
        .canonicalize()
        .map_err(|e| CliError::io("enter", directory, &e).with_exit(exit::USAGE))?;
    let names = listed(&absolute)?;
    let files: Vec<&str> = names.iter().map(String::as_str).collect();
    let name = absolute
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    let text = template(&Facts {
        directory: &name,
        files: &files,
    });
    let written = OpenOptions::new().write(true).create_new(true).open(&file);
    match written.and_then(|mut open| open.write_all(text.as_bytes())) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(CliError::new(
                "exists",
                exit::USAGE,
                format!("{} is there already", file.display()),
            )
            .at(file.display().to_string())
            .hint("`hd up` runs it"));
        }
        Err(e) => return Err(CliError::io("write", &file, &e)),
    }
    let path = absolute.join(file.file_name().unwrap_or_default());
    if output.json {
        output.value(&json!({"schema": 1, "file": path}))?;
    } else {
        output.talk(&format!("wrote {}; look at it, then `hd up`", shown(&path)));
    }
    Ok(0)
}

fn listed(directory: &Path) -> Result<Vec<String>, CliError> {
    let failed = |e: std::io::Error| CliError::io("list", directory, &e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(names)
}
