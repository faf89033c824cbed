//! `hd exec`, `hd run`, `hd shell`: a command inside the environment.

mod alone;
mod beside;
mod command;
mod conduct;
mod copy;
mod debug;
mod taken;

use std::ffi::OsString;
use std::time::Instant;

use self::command::Wish;
use crate::args::{CopyArgs, DebugArgs, ExecArgs, Place, RunArgs, ShellArgs};
use crate::error::Outcome;
use crate::output::Output;
use crate::project;
use crate::turn::{self, Turn};

/// Runs bash where there is one, else the shell that every environment has.
const SHELL: &str = "if [ -x /bin/bash ]; then exec /bin/bash; fi; exec /bin/sh";

/// Runs a command beside a service; where nothing runs, it is `hd run`.
pub(super) fn exec(args: ExecArgs, outer: Place, output: Output, started: Instant) -> Outcome {
    let wish = Wish::new(args.command, &args.how, args.service, None)?;
    carry_out(&args.place.or(outer), wish, false, output, started)
}

/// Makes the steps true, then runs a command.
pub(super) fn run(args: RunArgs, outer: Place, output: Output, started: Instant) -> Outcome {
    let wish = Wish::new(args.command, &args.how, None, args.base)?;
    carry_out(&args.place.or(outer), wish, true, output, started)
}

/// Opens a shell.
pub(super) fn shell(args: ShellArgs, outer: Place, output: Output, started: Instant) -> Outcome {
    let argv = ["/bin/sh", "-c", SHELL].map(OsString::from).into();
    let wish = Wish::new(argv, &args.how, args.service, args.base)?;
    carry_out(&args.place.or(outer), wish, false, output, started)
}

/// Copies files between this machine and what a service sees.
pub(super) fn copy(args: CopyArgs, outer: Place, output: Output) -> Outcome {
    copy::run(args, outer, output)
}

/// Opens a shell where a step runs.
pub(super) fn debug(args: DebugArgs, outer: Place, output: Output, started: Instant) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    let wish = Wish::new(Vec::new(), &args.how, None, args.base)?;
    debug::run(located, wish, &args.step, output, started)
}

fn carry_out(place: &Place, wish: Wish, build: bool, output: Output, started: Instant) -> Outcome {
    let located = project::locate(place, None)?;
    match turn::take(&located, output)? {
        Turn::Theirs(client) => beside::run(client, &located, wish, build),
        Turn::Ours(hold) => alone::run(located, hold, wish, output, started),
    }
}
