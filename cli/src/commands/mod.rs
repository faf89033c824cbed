//! One file per verb.

mod beside;
mod build;
mod cache;
mod cas;
mod completion;
mod config;
mod dag;
mod demo;
mod doctor;
mod document;
mod down;
mod export;
mod image;
mod ingest;
mod init;
mod inside;
mod logs;
mod ls;
mod plan;
mod port;
mod prune;
mod service;
mod snapshot;
mod state;
mod status;
mod top;
mod up;
mod verify;
mod version;
mod volume;
mod watch;
mod why;
mod written;

pub(crate) use self::completion::VARIABLE as COMPLETES;

use std::time::Instant;

use crate::args::{Cli, Verb};
use crate::error::Outcome;
use crate::output::Output;
use crate::verbs;

/// Carries out a command line.
pub(crate) fn run(cli: Cli, output: Output, started: Instant) -> Outcome {
    let outer = cli.place;
    match cli.verb {
        Verb::Init(args) => init::run(&args, args.place.clone().or(outer), output),
        Verb::Ingest(args) => ingest::run(&args, &args.place.clone().or(outer), output),
        Verb::Up(mut args) => {
            args.place = args.place.or(outer);
            up::run(&args, output, started)
        }
        Verb::Down(args) => down::run(args, outer, output),
        Verb::Status(args) => status::status(&args.place.or(outer), output),
        Verb::Ps(args) => status::ps(&args.place.or(outer), output),
        Verb::Build(mut args) => {
            args.place = args.place.or(outer);
            build::run(args, output, started)
        }
        Verb::Exec(args) => inside::exec(args, outer, output, started),
        Verb::Run(args) => inside::run(args, outer, output, started),
        Verb::Shell(args) => inside::shell(args, outer, output, started),
        Verb::Cp(args) => inside::copy(args, outer, output),
        Verb::Logs(args) => logs::run(&args, &args.place().or(outer), output),
        Verb::Start(args) => service::start(args, outer, output),
        Verb::Stop(args) => service::stop(args, outer, output),
        Verb::Restart(args) => service::restart(args, outer, output),
        Verb::Scale(args) => service::scale(args, outer, output),
        Verb::Kill(args) => beside::kill(args, outer, output),
        Verb::Wait(args) => beside::wait(args, outer, output),
        Verb::Port(args) => port::run(args, outer, output),
        Verb::Diff(args) => written::diff(args, outer, output),
        Verb::Reset(args) => written::reset(args, outer, output),
        Verb::Snapshot(args) => snapshot::run(args, outer, output),
        Verb::Restore(args) => snapshot::restore(args, outer, output),
        Verb::Attach(args) => beside::attach(&args.place.or(outer), output),
        Verb::Events(args) => beside::events(&args.place.or(outer), output),
        Verb::Top(args) => top::run(&args.place.or(outer), output),
        Verb::Ls(args) => ls::run(&args, output),
        Verb::Doctor(args) => doctor::run(&args.place.or(outer), output),
        Verb::Watch(args) => watch::run(&args, outer, output),
        Verb::Config(args) => config::run(&args, outer, output),
        Verb::Schema => document::schema(output),
        Verb::Man(args) => document::man(args.directory.as_deref(), output),
        Verb::Completion(args) => completion::run(args.shell, output),
        Verb::Why(args) => why::run(&args.place.or(outer), args.name.as_deref(), output),
        Verb::Plan(mut args) => {
            args.place = args.place.or(outer);
            plan::run(args, output, started)
        }
        Verb::Debug(args) => inside::debug(args, outer, output, started),
        Verb::Verify(mut args) => {
            args.place = args.place.or(outer);
            verify::run(args, output, started)
        }
        Verb::Dag(verb) => dag::run(verb, outer, output, started),
        Verb::Cache(verb) => cache::run(verb, outer, output),
        Verb::Volume(verb) => volume::run(verb, outer, output),
        Verb::Image(verb) => image::run(verb, output),
        Verb::Export(mut args) => {
            args.place = args.place.or(outer);
            export::run(args, output, started)
        }
        Verb::Cas(verb) => cas::run(&verb, output),
        Verb::Prune(args) => prune::run(&args, output),
        Verb::Demo(mut args) => {
            args.place = args.place.or(outer);
            demo::run(&args, output)
        }
        Verb::Version => version::run(output),
        Verb::Other(words) => Err(verbs::refuse(
            words.first().map_or("".as_ref(), |word| word),
        )),
    }
}
