//! Finding engines that answer and can really build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::process::{Ended, Watch, attempt, finish};
use super::super::report::Missing;
use super::{ANSWERS_WITHIN, Builder, Engine};
use crate::args::EngineName;
use crate::error::CliError;

/// An image without anything: building it needs no other image.
const EMPTY: &str = "FROM scratch\nCOPY Dockerfile /\n";

/// Looks for the engines of these names; those that are not there say why.
pub(in super::super) fn find(
    watch: &Watch,
    place: &Path,
    names: &[EngineName],
) -> Result<(Vec<Engine>, Vec<Missing>), CliError> {
    let (mut engines, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        let answering = match answering(watch, *name)? {
            Ok(answering) => answering,
            Err(reason) => {
                missing.push(Missing::new(name.program(), reason));
                continue;
            }
        };
        let builders: &[Builder] = match name {
            EngineName::Docker => &[Builder::BuildKit, Builder::Classic],
            EngineName::Podman => &[Builder::Podman],
        };
        for builder in builders {
            match able(watch, place, &answering, *builder)? {
                Ok(engine) => engines.push(engine),
                Err(reason) => missing.push(Missing::new(builder.name(), reason)),
            }
        }
    }
    Ok((engines, missing))
}

/// Programs with their versions.
type Answering = Vec<(PathBuf, String)>;

/// The programs of that name that answer; the inner error says in one line why there is none.
fn answering(watch: &Watch, name: EngineName) -> Result<Result<Answering, String>, CliError> {
    let program = name.program();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = programs(program, std::env::split_paths(&path));
    if programs.is_empty() {
        return Ok(Err(format!("there is no {program} in PATH")));
    }
    let mut answering = Vec::new();
    let mut why = String::new();
    for program in programs {
        match version(watch, name, &program)? {
            Ok(version) => answering.push((program, version)),
            Err(words) => why = words,
        }
    }
    Ok(if answering.is_empty() {
        Err(format!("no {program} answers: {why}"))
    } else {
        Ok(answering)
    })
}

/// The first program that builds so; the inner error is what the last said instead.
fn able(
    watch: &Watch,
    place: &Path,
    answering: &Answering,
    builder: Builder,
) -> Result<Result<Engine, String>, CliError> {
    let mut why = String::new();
    for (program, version) in answering {
        let mut engine = Engine {
            program: program.clone(),
            version: version.clone(),
            builder,
            root: None,
            cached_before: None,
        };
        if builder == Builder::BuildKit {
            engine.cached_before = engine.cached();
        }
        match try_build(&engine, watch, place)? {
            Ok(()) => {
                engine.root = root(&engine, watch)?;
                return Ok(Ok(engine));
            }
            Err(words) => why = words,
        }
    }
    Ok(Err(format!("it cannot build: {why}")))
}

/// Asks where images are kept; what is not here cannot be measured.
fn root(engine: &Engine, watch: &Watch) -> Result<Option<PathBuf>, CliError> {
    let format = match engine.builder.engine() {
        EngineName::Docker => "{{.DockerRootDir}}",
        EngineName::Podman => "{{.Store.GraphRoot}}",
    };
    let mut ask = engine.command(&["info", "-f", format]);
    let ended = attempt(watch, &mut ask, ANSWERS_WITHIN)?.and_then(Ended::success);
    let path = ended.ok().map(|ended| PathBuf::from(ended.stdout.trim()));
    Ok(path.filter(|path| fs::read_dir(path).is_ok()))
}

fn try_build(engine: &Engine, watch: &Watch, place: &Path) -> Result<Result<(), String>, CliError> {
    let directory = place.join("probe");
    let file = directory.join("Dockerfile");
    fs::create_dir_all(&directory)
        .and_then(|()| fs::write(&file, EMPTY))
        .map_err(|e| CliError::io("write", &file, &e))?;
    let tag = format!("hd-demo-probe:{}", std::process::id());
    let mut build = engine.build("Dockerfile", &tag);
    build.arg(".").current_dir(&directory);
    let built = attempt(watch, &mut build, ANSWERS_WITHIN);
    // Nobody may interrupt tidying up; and an engine that was too slow may have made it all the same.
    let mut remove = engine.command(&["image", "rm", "-f", &tag]);
    let _ = finish(&Watch::default(), &mut remove, ANSWERS_WITHIN);
    Ok(built?.and_then(Ended::success).map(drop))
}

/// Asks for the versions of client and engine; the inner error is what it said instead.
fn version(
    watch: &Watch,
    name: EngineName,
    program: &Path,
) -> Result<Result<String, String>, CliError> {
    let format = match name {
        EngineName::Docker => "{{.Client.Version}}, engine {{.Server.Version}}",
        EngineName::Podman => "{{.Client.Version}}",
    };
    let mut command = Command::new(program);
    command.args(["version", "-f", format]);
    let ended = attempt(watch, &mut command, ANSWERS_WITHIN)?.and_then(Ended::success);
    Ok(ended.map(|ended| ended.stdout.trim().to_owned()))
}

/// Every program of that name in these directories, each once.
fn programs(name: &str, directories: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    let mut programs = Vec::new();
    for program in directories.map(|directory| directory.join(name)) {
        let real = program.canonicalize().unwrap_or_else(|_| program.clone());
        if is_program(&program) && !seen.contains(&real) {
            seen.push(real);
            programs.push(program);
        }
    }
    programs
}

/// Tells whether a path can be started.
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn every_docker_in_the_path_is_tried_once() {
        let place = tempfile::tempdir().unwrap();
        let directory = |name: &str| {
            let directory = place.path().join(name);
            fs::create_dir(&directory).unwrap();
            directory
        };
        let [first, link, plain, second] = ["a", "b", "c", "d"].map(directory);
        for (at, mode) in [(&first, 0o755), (&plain, 0o644), (&second, 0o755)] {
            fs::write(at.join("docker"), "").unwrap();
            fs::set_permissions(at.join("docker"), fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink(first.join("docker"), link.join("docker")).unwrap();
        let directories = [&first, &link, &plain, &second].into_iter().cloned();
        let found = programs("docker", directories);
        assert_eq!(found, [first.join("docker"), second.join("docker")]);
    }
}
