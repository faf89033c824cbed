//! `hd dag`.

mod diff;
mod show;

use std::time::Instant;

use crate::args::{DagVerb, Place};
use crate::error::Outcome;
use crate::output::Output;

/// Carries out a verb of `hd dag`.
pub(crate) fn run(verb: DagVerb, outer: Place, output: Output, started: Instant) -> Outcome {
    match verb {
        DagVerb::Show(args) => show::show(&args.place.or(outer), args.depth, output),
        DagVerb::Diff(mut args) => {
            args.place = args.place.or(outer);
            diff::run(&args, output, started)
        }
    }
}
