//! `hd build`: `hd up --once`, with steps that are to run in any case.

use std::time::Instant;

use super::up::{self, Plan};
use crate::args::BuildArgs;
use crate::error::Outcome;
use crate::output::Output;
use crate::project;

/// Builds and exits.
pub(crate) fn run(args: BuildArgs, output: Output, started: Instant) -> Outcome {
    let located = project::locate(&args.place, args.path.as_deref())?;
    let plan = Plan {
        located,
        base: args.base,
        jobs: args.jobs,
        services: Vec::new(),
        started,
    };
    up::once(&plan, args.rerun, output)
}
