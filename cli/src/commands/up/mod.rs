//! `hd up`: in the foreground, in the background, or beside the one that runs already.

pub(super) mod attach;
mod background;
pub(super) mod foreground;
mod own;
mod reader;
pub(super) mod targets;
pub(super) mod user;

use std::num::NonZeroUsize;
use std::time::Instant;

use hd_actors::model::asked::Asked;

use crate::args::UpArgs;
use crate::error::Outcome;
use crate::output::Output;
use crate::project::{self, Located};
use crate::turn::{self, Turn};

/// What is to be brought up.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The project.
    pub(crate) located: Located,
    /// `--base`; a path in it is absolute.
    pub(crate) base: Option<String>,
    /// `--jobs`.
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Services to start with what they depend on; all when none is named.
    pub(crate) services: Vec<String>,
    /// When the command started.
    pub(crate) started: Instant,
}

impl Plan {
    /// What it asks for beside what the file says.
    fn asked(&self) -> Asked {
        let located = &self.located;
        let (profiles, scale) = (located.profiles.clone(), located.scale.clone());
        Asked::by_up(self.services.clone(), profiles, scale)
    }
}

/// Brings a project up.
pub(crate) fn run(args: &UpArgs, output: Output, started: Instant) -> Outcome {
    let targets = targets::split(&args.targets)?;
    let mut located = project::locate(&args.place, targets.path.as_deref())?;
    located.scale = args.scale.iter().cloned().collect();
    let plan = Plan {
        located,
        base: args.base.clone(),
        jobs: args.jobs,
        services: targets.services,
        started,
    };
    if args.once {
        return once(&plan, args.rerun.clone(), output);
    }
    if args.background {
        return foreground::serve_in_background(&plan, output);
    }
    let turn = turn::take(&plan.located, output)?;
    match (turn, args.detach || args.wait) {
        (Turn::Theirs(_), false) => attach::follow(&plan, output),
        (Turn::Theirs(_), true) => attach::start(&plan, args.wait, output),
        (Turn::Ours(hold), false) => foreground::serve(&plan, hold, output),
        (Turn::Ours(hold), true) => background::start(&plan, hold, args.wait, output),
    }
}

/// Builds and exits; beside a running instance, asks that one.
pub(crate) fn once(plan: &Plan, rerun: Vec<String>, output: Output) -> Outcome {
    match turn::take(&plan.located, output)? {
        Turn::Theirs(client) => attach::build(client, plan, rerun, output),
        Turn::Ours(hold) => foreground::once(plan, hold, rerun, output),
    }
}
