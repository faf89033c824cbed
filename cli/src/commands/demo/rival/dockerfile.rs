//! A Dockerfile, built and run: a new image and a new container for every edit.

use std::path::Path;
use std::process::Command;

use super::file::Dockerfile;
use super::{At, Way, within};
use crate::commands::demo::engine::{Engine, LABEL};

/// One Dockerfile with one builder.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// What builds and runs.
    pub(super) engine: Engine,
    /// What is built.
    pub(super) file: Dockerfile,
    base: String,
    nonce: String,
}

impl Image {
    /// Makes it ready to be measured.
    pub(super) fn new(engine: &Engine, file: &Dockerfile, base: &str, nonce: &str) -> Box<Self> {
        Box::new(Self {
            engine: engine.clone(),
            file: file.clone(),
            base: base.to_owned(),
            nonce: nonce.to_owned(),
        })
    }

    /// Starts a build of a copy.
    pub(super) fn builds(&self, at: &At<'_>, cold: bool) -> Command {
        let mut command = self.engine.build(&self.file.name, &self.tag(at));
        if cold {
            command.arg("--no-cache");
        }
        command.args(["--build-arg", &format!("BASE={}", self.base)]);
        command.args(["--label", &self.label(), "."]);
        command.current_dir(&at.copy.directory);
        command
    }

    /// Starts a container of the image with more `arguments`.
    pub(super) fn runs(&self, at: &At<'_>, arguments: &[&str]) -> Command {
        let mut command = self.engine.run();
        command.args(["-e", &format!("PORT={}", at.copy.port)]);
        command.args(["--label", &self.label(), "--name", &self.container(at)]);
        command.args(arguments).arg(self.tag(at));
        command
    }

    /// Gives the name of the image.
    pub(super) fn tag(&self, at: &At<'_>) -> String {
        format!("{LABEL}-{}:{}", self.nonce, at.word)
    }

    fn label(&self) -> String {
        format!("{LABEL}={}", self.nonce)
    }

    fn container(&self, at: &At<'_>) -> String {
        format!("{LABEL}-{}-{}", self.nonce, at.word)
    }
}

impl Way for Image {
    fn name(&self) -> String {
        format!("{}, {}", self.engine.builder.name(), self.file.kind)
    }

    fn slug(&self) -> String {
        format!("{}-{}", self.engine.builder.slug(), self.file.kind)
    }

    fn tool(&self) -> String {
        format!("{}, {}", self.engine, self.file.name)
    }

    fn store(&self) -> Option<&Path> {
        self.engine.root.as_deref()
    }

    fn cold(&self, at: &At<'_>) -> Vec<Command> {
        within(at, vec![self.builds(at, true), self.runs(at, &[])])
    }

    fn build(&self, at: &At<'_>) -> Option<Command> {
        Some(self.builds(at, false))
    }

    fn follow(&self, at: &At<'_>) -> Vec<Command> {
        let commands = vec![self.builds(at, false), self.remove(at), self.runs(at, &[])];
        within(at, commands)
    }

    fn start(&self, at: &At<'_>) -> Vec<Command> {
        within(at, vec![self.builds(at, false), self.runs(at, &[])])
    }

    fn remove(&self, at: &At<'_>) -> Command {
        self.engine.remove(&self.container(at))
    }

    fn state(&self, at: &At<'_>) -> Command {
        let format = "{{.State.Running}}";
        self.engine
            .command(&["inspect", "-f", format, &self.container(at)])
    }

    fn last_words(&self, at: &At<'_>) -> Command {
        self.engine
            .command(&["logs", "--tail", "5", &self.container(at)])
    }
}
