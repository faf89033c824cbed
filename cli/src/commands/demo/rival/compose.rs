//! A Compose file: several containers, built and replaced together.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{At, Way, within};
use crate::args::EngineName;
use crate::commands::demo::Run;
use crate::commands::demo::engine::{Engine, LABEL};
use crate::commands::demo::process::{Ended, attempt};
use crate::error::CliError;

/// How long Compose may take to tell its version.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// Compose with the engine behind it.
#[derive(Clone, Debug)]
pub(super) struct Compose {
    engine: Engine,
    /// `docker compose`, or the older program of its own.
    words: Vec<String>,
    version: String,
    file: String,
    base: String,
    nonce: String,
}

impl Compose {
    /// Looks for one; the inner error says why there is none.
    pub(super) fn find(
        run: &Run<'_>,
        engines: &[Engine],
        file: &str,
        base: &str,
    ) -> Result<Result<Self, String>, CliError> {
        let docker = |engine: &&Engine| engine.builder.engine() == EngineName::Docker;
        let Some(engine) = engines.iter().find(docker) else {
            return Ok(Err("no docker answers that Compose could use".to_owned()));
        };
        let plugin = vec![engine.program().to_owned(), "compose".to_owned()];
        for words in [plugin, vec!["docker-compose".to_owned()]] {
            let mut compose = Self {
                engine: engine.clone(),
                words,
                version: String::new(),
                file: file.to_owned(),
                base: base.to_owned(),
                nonce: run.nonce.clone(),
            };
            let mut ask = compose.command(&["version", "--short"]);
            let answer = attempt(&run.watch, &mut ask, ANSWERS_WITHIN)?;
            if let Ok(ended) = answer.and_then(Ended::success) {
                ended.stdout.trim().clone_into(&mut compose.version);
                return Ok(Ok(compose));
            }
        }
        let why = "neither `docker compose` nor docker-compose works";
        Ok(Err(why.to_owned()))
    }

    /// Gives the engine behind it.
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Gives what removes all that it made, whether or not the copies are still there. Images go by
    /// their names: what was built from a cache may be an image that has a name of the user's too.
    pub(super) fn undo(&self) -> Vec<Command> {
        let words = [self.slug(), format!("{}-second", self.slug())];
        let remove = |word: &String| {
            let project = self.project(word);
            let filter = format!("label=com.docker.compose.project={project}");
            let script = format!(
                "for c in $(docker ps -aq --filter {filter}); do docker rm -f -v $c; done; \
                 docker volume ls -q --filter {filter} | xargs -r docker volume rm; \
                 docker network ls -q --filter {filter} | xargs -r docker network rm; \
                 docker image ls --format '{{{{.Repository}}}}:{{{{.Tag}}}}' '{project}*' | grep -v '<none>' \
                 | xargs -r docker image rm -f"
            );
            self.sh(&script)
        };
        words.iter().map(remove).collect()
    }

    fn command(&self, args: &[&str]) -> Command {
        let (program, before) = self
            .words
            .split_first()
            .map_or(("", &[][..]), |(a, b)| (a, b));
        let mut command = Command::new(PathBuf::from(program));
        command.args(before).args(args);
        command
            .env("BASE", &self.base)
            .env("COMPOSE_DOCKER_CLI_BUILD", "1");
        // The older Compose builds with the `docker` that it finds.
        command.env("PATH", self.engine.path_before_others());
        self.engine.choose_builder(&mut command);
        command
    }

    /// A script whose `docker` is the engine.
    fn sh(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command.env("PATH", self.engine.path_before_others());
        command
    }

    fn of(&self, at: &At<'_>, args: &[&str]) -> Command {
        let project = self.project(&at.word);
        let mut command = self.command(&["-p", &project, "-f", &self.file]);
        command.args(args).current_dir(&at.copy.directory);
        command
    }

    fn project(&self, word: &str) -> String {
        format!("{LABEL}-{}-{word}", self.nonce)
    }
}

impl Way for Compose {
    fn name(&self) -> String {
        "compose".to_owned()
    }

    fn slug(&self) -> String {
        "compose".to_owned()
    }

    fn tool(&self) -> String {
        format!(
            "{} {}, {}, {}",
            self.words.join(" "),
            self.version,
            self.engine,
            self.file
        )
    }

    fn store(&self) -> Option<&Path> {
        self.engine.root.as_deref()
    }

    fn cold(&self, at: &At<'_>) -> Vec<Command> {
        let build = self.of(at, &["build", "--no-cache"]);
        within(at, vec![build, self.of(at, &["up", "-d"])])
    }

    fn build(&self, at: &At<'_>) -> Option<Command> {
        Some(self.of(at, &["build"]))
    }

    fn follow(&self, at: &At<'_>) -> Vec<Command> {
        self.start(at)
    }

    fn start(&self, at: &At<'_>) -> Vec<Command> {
        // Without -t the old containers get ten seconds each to end.
        within(at, vec![self.of(at, &["up", "-d", "--build", "-t", "0"])])
    }

    /// Compose gives its name to the new images, and no label of its own to any.
    fn hold(&self, at: &At<'_>) -> Option<Command> {
        let project = self.project(&at.word);
        Some(self.sh(&format!(
            "for i in $(docker image ls -q '{project}*' | sort -u); do docker tag $i {project}-held:$i; done"
        )))
    }

    fn remove(&self, at: &At<'_>) -> Command {
        self.of(at, &["down", "-v", "-t", "0", "--rmi", "local"])
    }

    /// Asked of the engine: what Compose prints differs from one version to the next. A container that
    /// ended with 0 has done its part.
    fn state(&self, at: &At<'_>) -> Command {
        let filter = format!(
            "label=com.docker.compose.project={}",
            self.project(&at.word)
        );
        let script = format!(
            "all=$(docker ps -a --filter {filter} --format '{{{{.Status}}}}') || exit 0; \
             case \"$all\" in *'Exited ('[1-9]*) echo false ;; *Up*|*Restarting*) ;; *) echo false ;; esac"
        );
        self.sh(&script)
    }

    fn last_words(&self, at: &At<'_>) -> Command {
        self.of(at, &["logs", "--tail", "5"])
    }
}
