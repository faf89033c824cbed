//! What the demo makes in an engine, and its removal.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use super::super::process::{Watch, finish};
use super::{Builder, Engine};

/// Label of everything that is made, with the nonce of the run.
pub(in super::super) const LABEL: &str = "hd-demo";

/// How long each removal may take.
const WITHIN: Duration = Duration::from_secs(60);

/// Removes containers and images of a run when it is dropped, however the run ends.
#[derive(Debug)]
pub(in super::super) struct Litter {
    engine: Engine,
    nonce: String,
    /// Commands that remove what has no label.
    pub(in super::super) undo: Vec<Command>,
    /// A base image that was not there before.
    pub(in super::super) pulled: Option<String>,
}

impl Litter {
    /// Starts with nothing to remove.
    pub(in super::super) fn new(engine: &Engine, nonce: &str) -> Self {
        Self {
            engine: engine.clone(),
            nonce: nonce.to_owned(),
            undo: Vec::new(),
            pulled: None,
        }
    }

    fn run(&self, args: &[&str]) -> Option<String> {
        // Nobody may interrupt tidying up; what fails here stays, and there is nobody to tell.
        let ended = finish(&Watch::default(), &mut self.engine.command(args), WITHIN);
        ended.ok().filter(|ended| ended.good).map(|it| it.stdout)
    }

    /// Lists with one command, removes with another.
    fn sweep(&self, list: &[&str], remove: &[&str]) {
        let label = format!("label={LABEL}={}", self.nonce);
        let list = [list, &["-q", "--filter", &label]].concat();
        let found = self.run(&list).unwrap_or_default();
        let found: BTreeSet<&str> = found.split_whitespace().collect();
        if !found.is_empty() {
            let found: Vec<&str> = found.into_iter().collect();
            self.run(&[remove, &found].concat());
        }
    }

    /// Removes what came into BuildKit's cache meanwhile. What somebody else built at the same
    /// time cannot be told apart: it would be built once more. Where it is not known what was there
    /// before, all of it stays.
    fn sweep_cache(&self) {
        let Some(before) = &self.engine.cached_before else {
            return;
        };
        let mut left = usize::MAX;
        while let Some(now) = self.engine.cached() {
            let new: Vec<&String> = now.difference(before).collect();
            // What others are made from goes only after them: in rounds, as long as it helps.
            if new.is_empty() || new.len() >= left {
                return;
            }
            left = new.len();
            for id in new {
                let filter = format!("id={id}");
                self.run(&["builder", "prune", "-f", "-a", "--filter", &filter]);
            }
        }
    }
}

impl Drop for Litter {
    fn drop(&mut self) {
        for undo in &mut self.undo {
            let _ = finish(&Watch::default(), undo, WITHIN);
        }
        self.sweep(&["ps", "-a"], &["rm", "-f"]);
        self.sweep(&["image", "ls"], &["image", "rm", "-f"]);
        if let Some(image) = &self.pulled {
            self.run(&["image", "rm", image]);
        }
        if self.engine.builder == Builder::BuildKit {
            self.sweep_cache();
        }
    }
}
