//! Engines of containers: which there are, and how they are asked.

mod find;
mod limits;
mod litter;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(super) use self::find::find;
pub(super) use self::litter::{LABEL, Litter};

use super::process::{Watch, finish, shown};
use crate::args::EngineName;
use crate::error::{CliError, exit};

/// How long an engine may take to answer a question.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// What makes images of Dockerfiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Builder {
    /// Docker's newer one.
    BuildKit,
    /// Docker's older one.
    Classic,
    /// Podman, which builds with Buildah's library.
    Podman,
}

impl Builder {
    /// Gives the name of columns.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BuildKit => "docker BuildKit",
            Self::Classic => "docker classic",
            Self::Podman => "podman",
        }
    }

    /// Gives a word for names of images and containers.
    pub(super) fn slug(self) -> &'static str {
        match self {
            Self::BuildKit => "buildkit",
            Self::Classic => "classic",
            Self::Podman => "podman",
        }
    }

    /// Gives the engine it belongs to; images of one engine are shared by its builders.
    pub(super) fn engine(self) -> EngineName {
        match self {
            Self::BuildKit | Self::Classic => EngineName::Docker,
            Self::Podman => EngineName::Podman,
        }
    }
}

/// A command line with an engine behind it that can really build.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    program: PathBuf,
    version: String,
    /// How it builds.
    pub(super) builder: Builder,
    /// Where it keeps images and containers, if that is on this machine.
    pub(super) root: Option<PathBuf>,
    /// What was in BuildKit's cache before anything was built; none where that is not known.
    cached_before: Option<BTreeSet<String>>,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let builder = self.builder.name();
        write!(f, "{builder}, {} {}", self.program.display(), self.version)
    }
}

impl Engine {
    /// Starts a command line of it.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args);
        self.choose_builder(&mut command);
        command
    }

    /// Gives the command line as a word.
    pub(super) fn program(&self) -> &str {
        self.program.to_str().unwrap_or("docker")
    }

    /// Gives a `PATH` that finds this program first.
    pub(super) fn path_before_others(&self) -> OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = self.program.parent().map(Path::to_owned);
        let all = own.into_iter().chain(std::env::split_paths(&path));
        // It came out of a PATH, so it fits into one.
        std::env::join_paths(all).unwrap_or(path)
    }

    /// Says in the environment of a command how to build.
    pub(super) fn choose_builder(&self, command: &mut Command) {
        match self.builder {
            Builder::BuildKit => command.env("DOCKER_BUILDKIT", "1"),
            Builder::Classic => command.env("DOCKER_BUILDKIT", "0"),
            Builder::Podman => command,
        };
    }

    /// Starts a build of the directory it will run in.
    pub(super) fn build(&self, file: &str, tag: &str) -> Command {
        let mut command = self.command(&["build", "-f", file, "-t", tag]);
        match self.builder {
            Builder::BuildKit => &mut command,
            // Else containers of a failed build stay.
            Builder::Classic => command.arg("--force-rm"),
            // The base is here; Podman would ask the registry all the same.
            Builder::Podman => command.args(["--force-rm", "--pull=never"]),
        };
        command
    }

    /// Starts a container that goes on by itself, on the network of this machine.
    pub(super) fn run(&self) -> Command {
        let mut command = self.command(&["run", "-d", "--network", "host"]);
        match self.builder {
            Builder::Podman => command.args(limits::podman()),
            Builder::BuildKit | Builder::Classic => &mut command,
        };
        command
    }

    /// Starts the removal of a container with the volumes that have no name, at once.
    pub(super) fn remove(&self, container: &str) -> Command {
        match self.builder {
            // Podman waits ten seconds otherwise.
            Builder::Podman => self.command(&["rm", "-f", "-v", "-t", "0", container]),
            _ => self.command(&["rm", "-f", "-v", container]),
        }
    }

    /// Lists the ids of BuildKit's cache.
    fn cached(&self) -> Option<BTreeSet<String>> {
        let format = "{{range .BuildCache}}{{println .ID}}{{end}}";
        self.list(&["system", "df", "-v", "--format", format])
    }

    /// Lists all images, those that others stand on too, where builds leave some without a name: not with BuildKit.
    fn images(&self) -> Option<BTreeSet<String>> {
        match self.builder {
            Builder::BuildKit => None,
            _ => self.list(&["image", "ls", "-q", "-a", "--no-trunc"]),
        }
    }

    /// Lists images without a name that no other stands on.
    fn unnamed(&self) -> Option<BTreeSet<String>> {
        let dangling = "dangling=true";
        self.list(&["image", "ls", "-q", "--no-trunc", "--filter", dangling])
    }

    /// Lists the containers that Podman builds in: those that only `--external` shows.
    fn building(&self) -> Option<BTreeSet<String>> {
        if self.builder != Builder::Podman {
            return None;
        }
        let all = self.list(&["ps", "-a", "-q", "--no-trunc", "--external"])?;
        // Second, so that what somebody starts meanwhile is not taken for one.
        let others = self.list(&["ps", "-a", "-q", "--no-trunc"])?;
        Some(all.difference(&others).cloned().collect())
    }

    /// Lists the steps of Podman's builds that run, as the runtime that Podman uses knows them: one whose
    /// build was cut off may go on. The program of that runtime is given too.
    fn steps(&self) -> Option<(String, BTreeSet<String>)> {
        if self.builder != Builder::Podman {
            return None;
        }
        let runtime = self.list(&["info", "-f", "{{.Host.OCIRuntime.Path}}"])?;
        let runtime = runtime.into_iter().next()?;
        let mut steps = listed(Command::new(&runtime).args(["list", "-q"]))?;
        steps.retain(|id| id.starts_with("buildah-"));
        Some((runtime, steps))
    }

    /// Runs a command of it that prints ids.
    fn list(&self, args: &[&str]) -> Option<BTreeSet<String>> {
        listed(&mut self.command(args))
    }
}

/// Runs a command that prints ids.
fn listed(command: &mut Command) -> Option<BTreeSet<String>> {
    // Asked while tidying up too, which nobody may interrupt.
    let ended = finish(&Watch::default(), command, ANSWERS_WITHIN).ok()?;
    let ids = ended.stdout.split_whitespace().map(str::to_owned);
    ended.good.then(|| ids.collect())
}

/// Runs a command that must succeed; gives how long it took.
pub(super) fn must(
    watch: &Watch,
    command: &mut Command,
    within: Duration,
) -> Result<Duration, CliError> {
    let ended = finish(watch, command, within)?;
    if ended.good {
        return Ok(ended.took);
    }
    let message = format!("{} failed: {}", shown(command), ended.last_words());
    Err(CliError::new("engine", exit::INTERNAL, message))
}
