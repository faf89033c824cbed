//! The binary `hd`: arguments, output, exit codes. What hd does is done by the crates below.

mod args;
mod client;
mod commands;
mod error;
mod holder;
mod leftovers;
mod logs;
mod memory;
mod output;
mod peer;
mod project;
mod signals;
mod terminal;
mod turn;
mod verbs;

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::time::Instant;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::args::{Cli, Look, Verb};
use crate::error::{CliError, exit};
use crate::output::Output;

fn main() {
    hd_sandbox::entry::run_if_helper();
    memory::give_back_big_blocks();
    let started = Instant::now();
    // Answers the shell and ends when it asks for words.
    clap_complete::CompleteEnv::with_factory(Cli::command)
        .var(commands::COMPLETES)
        .complete();
    std::panic::set_hook(Box::new(panicked));
    trace();
    let code = std::panic::catch_unwind(|| run(started)).unwrap_or(exit::INTERNAL);
    std::process::exit(code);
}

fn run(started: Instant) -> i32 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let mut look = cli.look;
    if let Verb::Other(words) = &cli.verb {
        // Flags of a verb that is not known are not read, but this one says how to answer.
        look.json |= words.iter().any(|word| word == "--json");
    }
    let output = Output::new(look);
    match commands::run(cli, output, started) {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            error.exit()
        }
    }
}

/// Answers a command line that was not understood, or that asked for help.
fn refused(error: &clap::Error) -> i32 {
    let help = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion];
    let json = std::env::args_os().any(|word| word == OsStr::new("--json"));
    if json && !help.contains(&error.kind()) {
        let text = error.to_string();
        let message = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        let error =
            CliError::new("usage", exit::USAGE, message).hint("`hd --help` lists what there is");
        let look = Look {
            json: true,
            color: args::When::Auto,
            progress: args::Progress::Auto,
        };
        Output::new(look).error(&error);
        return exit::USAGE;
    }
    // A terminal that is gone needs no help.
    let _ = error.print();
    if help.contains(&error.kind()) {
        0
    } else {
        exit::USAGE
    }
}

/// Says in one line that hd itself failed; actors that panic are restarted and counted.
fn panicked(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = info
        .location()
        .map_or_else(String::new, |at| format!(" (at {at})"));
    output::say(&format!(
        "hd: internal error: {}{place}\n",
        text.unwrap_or("no message")
    ));
}

/// Lets `RUST_LOG` show on stderr what the parts do; nothing without it.
fn trace() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_default_env() {
        let layer = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        // It fails only when somebody has set one before, which then stays.
        let _ = layer.try_init();
    }
}
