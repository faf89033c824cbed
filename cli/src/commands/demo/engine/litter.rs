//! What the demo makes in an engine, and its removal.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use super::super::Run;
use super::super::process::{Ended, Watch, attempt, shown};
use super::{Builder, Engine};
use crate::output::Output;

/// Label of the containers and the images that are made, with the nonce of the run.
pub(in super::super) const LABEL: &str = "hd-demo";

/// How long each removal may take.
const WITHIN: Duration = Duration::from_secs(60);

/// Removes what a run has made in an engine when it is dropped, however the run ends.
#[derive(Debug)]
pub(in super::super) struct Litter {
    engine: Engine,
    nonce: String,
    watch: Watch,
    output: Output,
    /// Commands that remove what has no label.
    pub(in super::super) undo: Vec<Command>,
    /// Images that were not there before.
    pub(in super::super) pulled: Vec<String>,
    /// All images that were there before; none where that is not known.
    images: Option<BTreeSet<String>>,
    /// Containers of other builds that were there before; none where that is not known.
    building: Option<BTreeSet<String>>,
    /// Steps of other builds that ran before; none where that is not known.
    steps: Option<BTreeSet<String>>,
    /// What could not be removed; told already or about to be.
    failed: Option<Vec<String>>,
}

impl Litter {
    /// Starts with nothing to remove.
    pub(in super::super) fn new(engine: &Engine, run: &Run<'_>) -> Self {
        Self {
            engine: engine.clone(),
            nonce: run.nonce.clone(),
            watch: run.watch.clone(),
            output: run.output,
            undo: Vec::new(),
            pulled: Vec::new(),
            images: engine.images(),
            building: engine.building(),
            steps: engine.steps().map(|(_, steps)| steps),
            failed: None,
        }
    }

    /// Removes all; gives in one line each what may have stayed, and what would remove it.
    pub(in super::super) fn clean(mut self) -> Vec<String> {
        self.sweep_all()
    }

    fn sweep_all(&mut self) -> Vec<String> {
        if self.failed.is_some() {
            return Vec::new();
        }
        self.failed = Some(Vec::new());
        for mut undo in std::mem::take(&mut self.undo) {
            self.finish(&mut undo);
        }
        self.sweep(&["ps", "-a"], &["rm", "-f", "-v"]);
        self.sweep_steps();
        self.sweep_building();
        self.sweep(&["image", "ls"], &["image", "rm", "-f"]);
        self.sweep_unnamed();
        for image in std::mem::take(&mut self.pulled) {
            self.run(&["image", "rm", &image]);
        }
        if self.engine.builder == Builder::BuildKit {
            self.sweep_cache();
        }
        self.failed.clone().unwrap_or_default()
    }

    fn run(&mut self, args: &[&str]) -> Option<String> {
        let mut command = self.engine.command(args);
        self.finish(&mut command)
    }

    /// Runs a command whose failure is told.
    fn finish(&mut self, command: &mut Command) -> Option<String> {
        // Nobody may interrupt tidying up.
        let ended = attempt(&Watch::default(), command, WITHIN).ok()?;
        match ended.and_then(Ended::success) {
            Ok(ended) => Some(ended.stdout),
            Err(why) => {
                let engine = self.engine.builder.engine().program();
                let command = shown(command);
                let note = format!("some of it may have stayed in {engine}: `{command}`: {why}");
                self.failed.get_or_insert_default().push(note);
                None
            }
        }
    }

    /// Lists with one command, removes with another.
    fn sweep(&mut self, list: &[&str], remove: &[&str]) {
        let label = format!("label={LABEL}={}", self.nonce);
        let list = [list, &["-q", "--filter", &label]].concat();
        let found = self.run(&list).unwrap_or_default();
        let found: BTreeSet<&str> = found.split_whitespace().collect();
        if !found.is_empty() {
            let found: Vec<&str> = found.into_iter().collect();
            self.run(&[remove, &found].concat());
        }
    }

    /// Ends the steps of builds that were cut off: their program may go on without the build.
    fn sweep_steps(&mut self) {
        let Some(before) = self.steps.take().filter(|_| self.watch.has_cut()) else {
            return;
        };
        let Some((runtime, now)) = self.engine.steps() else {
            return;
        };
        for id in now.difference(&before) {
            self.finish(Command::new(&runtime).args(["delete", "-f", id]));
        }
    }

    /// Removes the containers of builds that were cut off: those have no label, and go by themselves when
    /// a build ends in peace. Without such a build none is removed, for it would be somebody else's.
    fn sweep_building(&mut self) {
        let Some(before) = self.building.take().filter(|_| self.watch.has_cut()) else {
            return;
        };
        let now = self.engine.building().unwrap_or_default();
        let new: Vec<&str> = now.difference(&before).map(String::as_str).collect();
        if !new.is_empty() {
            self.run(&[&["rm", "-f", "-v"], &*new].concat());
        }
    }

    /// Removes images without a name that came meanwhile: stages, and what a build that failed had made.
    /// They are of no use but as a cache: another build of the same time would do those steps once more.
    /// One that lost its name to another build meanwhile was there before, and stays.
    fn sweep_unnamed(&mut self) {
        let Some(before) = self.images.take() else {
            return;
        };
        let mut left = usize::MAX;
        while let Some(now) = self.engine.unnamed() {
            let new: Vec<&str> = now.difference(&before).map(String::as_str).collect();
            if new.is_empty() || new.len() >= left {
                return;
            }
            left = new.len();
            // One that somebody uses stays, which is no failure.
            let mut remove = self.engine.command(&[&["image", "rm"], &*new].concat());
            let _ = attempt(&Watch::default(), &mut remove, WITHIN);
        }
    }

    /// Removes what came into BuildKit's cache meanwhile. What somebody else built at the same
    /// time cannot be told apart: it would be built once more. Where it is not known what was there
    /// before, all of it stays.
    fn sweep_cache(&mut self) {
        let Some(before) = self.engine.cached_before.take() else {
            return;
        };
        let mut left = usize::MAX;
        while let Some(now) = self.engine.cached() {
            let new: Vec<&String> = now.difference(&before).collect();
            // What others are made from goes only after them: in rounds, as long as it helps.
            if new.is_empty() || new.len() >= left {
                return;
            }
            left = new.len();
            for id in new {
                let filter = format!("id={id}");
                let args = ["builder", "prune", "-f", "-a", "--filter", &filter];
                let _ = attempt(&Watch::default(), &mut self.engine.command(&args), WITHIN);
            }
        }
    }
}

impl Drop for Litter {
    fn drop(&mut self) {
        for note in self.sweep_all() {
            self.output.talk(&note);
        }
    }
}
