//! The loop over a bind mount: the image holds the packages, the project is mounted into the
//! container, and the program in it reloads what changed.

use std::path::Path;
use std::process::Command;

use super::dockerfile::Image;
use super::file::Dockerfile;
use super::{At, Way, within};
use crate::commands::demo::engine::Engine;

/// Where a `Dockerfile.dev` expects the project.
const PLACE: &str = "/app";

/// One container that sees the project as it is on disk.
#[derive(Debug)]
pub(super) struct Bind(Box<Image>);

impl Bind {
    /// Makes it ready to be measured.
    pub(super) fn new(engine: &Engine, file: &Dockerfile, base: &str, nonce: &str) -> Self {
        Self(Image::new(engine, file, base, nonce))
    }

    fn runs(&self, at: &At<'_>) -> Command {
        let mount = format!("{}:{PLACE}", at.copy.directory.display());
        self.0.runs(at, &["-v", &mount])
    }
}

impl Way for Bind {
    fn name(&self) -> String {
        format!("{}, bind mount", self.0.engine.builder.engine().program())
    }

    fn slug(&self) -> String {
        format!("{}-bind", self.0.engine.builder.slug())
    }

    fn tool(&self) -> String {
        let way = "project mounted, its own reloader";
        format!("{}, {way}", self.0.tool())
    }

    /// An edit makes nothing in the engine.
    fn store(&self) -> Option<&Path> {
        self.0.store()
    }

    fn cold(&self, at: &At<'_>) -> Vec<Command> {
        within(at, vec![self.0.builds(at, true), self.runs(at)])
    }

    fn build(&self, _at: &At<'_>) -> Option<Command> {
        None
    }

    fn follow(&self, _at: &At<'_>) -> Vec<Command> {
        Vec::new()
    }

    fn start(&self, at: &At<'_>) -> Vec<Command> {
        within(at, vec![self.0.builds(at, false), self.runs(at)])
    }

    fn remove(&self, at: &At<'_>) -> Command {
        self.0.remove(at)
    }

    fn state(&self, at: &At<'_>) -> Command {
        self.0.state(at)
    }

    fn last_words(&self, at: &At<'_>) -> Command {
        self.0.last_words(at)
    }
}
