//! Finding a `docker` that answers and can really build.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::super::process::{Watch, finish};
use super::is_program;
use crate::error::CliError;

/// How long the engine may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// An image without anything: building it needs no other image.
const EMPTY: &str = "FROM scratch\nCOPY Dockerfile /\n";

/// A command line of Docker with the engine behind it.
#[derive(Clone, Debug)]
pub(in super::super) struct Engine {
    program: PathBuf,
    client: String,
    server: String,
    /// Whether it builds with BuildKit, else with the classic builder.
    pub(super) buildkit: bool,
    /// What was in BuildKit's cache before anything was built.
    pub(super) cached_before: BTreeSet<String>,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let builder = if self.buildkit {
            "BuildKit"
        } else {
            "the classic builder"
        };
        write!(f, "docker engine {} with {builder}, ", self.server)?;
        write!(f, "{} {}", self.program.display(), self.client)
    }
}

impl Engine {
    /// Looks for one; the inner error says in one line why there is none.
    pub(in super::super) fn find(
        watch: &Watch,
        place: &Path,
    ) -> Result<Result<Self, String>, CliError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = programs(std::env::split_paths(&path));
        if programs.is_empty() {
            return Ok(Err("there is no docker in PATH".to_owned()));
        }
        let mut answering = Vec::new();
        let mut why = String::new();
        for program in programs {
            match versions(watch, &program)? {
                Ok((client, server)) => answering.push((program, client, server)),
                Err(words) => why = words,
            }
        }
        if answering.is_empty() {
            return Ok(Err(format!("no Docker engine answers: {why}")));
        }
        for buildkit in [true, false] {
            for (program, client, server) in &answering {
                let mut engine = Self {
                    program: program.clone(),
                    client: client.clone(),
                    server: server.clone(),
                    buildkit,
                    cached_before: BTreeSet::new(),
                };
                engine.cached_before = engine.cached().unwrap_or_default();
                match engine.try_build(watch, place)? {
                    Ok(()) => return Ok(Ok(engine)),
                    Err(words) => why = words,
                }
            }
        }
        Ok(Err(format!("no docker in PATH can build: {why}")))
    }

    /// Starts a command line of docker.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args);
        command
    }

    /// Lists the ids of BuildKit's cache.
    pub(super) fn cached(&self) -> Option<BTreeSet<String>> {
        let format = "{{range .BuildCache}}{{println .ID}}{{end}}";
        let mut list = self.command(&["system", "df", "-v", "--format", format]);
        // Asked while tidying up too, which nobody may interrupt.
        let ended = finish(&Watch::default(), &mut list, ANSWERS_WITHIN).ok()?;
        let ids = ended.stdout.split_whitespace().map(str::to_owned);
        ended.good.then(|| ids.collect())
    }

    fn try_build(&self, watch: &Watch, place: &Path) -> Result<Result<(), String>, CliError> {
        let directory = place.join("probe");
        let file = directory.join("Dockerfile");
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&file, EMPTY))
            .map_err(|e| CliError::io("write", &file, &e))?;
        let tag = format!("hd-demo-probe:{}", std::process::id());
        let mut build = self.command(&["build", "-t", &tag, "."]);
        build
            .current_dir(&directory)
            .env("DOCKER_BUILDKIT", if self.buildkit { "1" } else { "0" });
        let built = finish(watch, &mut build, ANSWERS_WITHIN)?;
        // Nobody may interrupt tidying up.
        let mut remove = self.command(&["image", "rm", "-f", &tag]);
        finish(&Watch::default(), &mut remove, ANSWERS_WITHIN)?;
        Ok(if built.good {
            Ok(())
        } else {
            Err(built.last_words())
        })
    }
}

/// Asks for the versions of both ends; the inner error is what docker said instead.
fn versions(watch: &Watch, program: &Path) -> Result<Result<(String, String), String>, CliError> {
    let mut command = Command::new(program);
    command.args(["version", "-f", "{{.Client.Version}} {{.Server.Version}}"]);
    let ended = finish(watch, &mut command, ANSWERS_WITHIN)?;
    let both = ended.stdout.trim().split_once(' ');
    Ok(match both {
        Some((client, server)) if ended.good => Ok((client.to_owned(), server.to_owned())),
        _ => Err(ended.last_words()),
    })
}

/// Every `docker` in these directories, each once.
fn programs(directories: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    let mut programs = Vec::new();
    for program in directories.map(|directory| directory.join("docker")) {
        let real = program.canonicalize().unwrap_or_else(|_| program.clone());
        if is_program(&program) && !seen.contains(&real) {
            seen.push(real);
            programs.push(program);
        }
    }
    programs
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
        let found = programs([&first, &link, &plain, &second].into_iter().cloned());
        assert_eq!(found, [first.join("docker"), second.join("docker")]);
    }
}
