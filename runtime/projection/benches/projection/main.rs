//! The projection beside its peers on one environment in one run: ext4, overlayfs on ext4,
//! fuse-overlayfs, our lower alone, the view on it, a view by an image over raw copies, and a fresh
//! traced view.
//!
//! Run it by `cargo xtask bench projection`, as root. Work on a mounted file system is done by
//! child processes of this program (`--work`), and another serves our lowers (`--serve`), so that
//! no process ever waits for its own FUSE threads. Targets alternate round by round; ratios are
//! taken within a round, so that a busy machine slows both sides.
#![expect(clippy::print_stdout, reason = "a command line program")]
#![expect(clippy::print_stderr, reason = "a command line program")]

mod capture;
mod cold;
mod environment;
mod image;
mod report;
mod server;
mod targets;
mod warm;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

/// Anything that stops the bench, in words.
type Failure = Box<dyn std::error::Error>;

/// What to measure, and where.
#[derive(Debug)]
struct Options {
    root: PathBuf,
    scratch: PathBuf,
    rounds: usize,
    cold_rounds: usize,
    only: Vec<String>,
    targets: Vec<String>,
}

impl Options {
    /// Says whether a measure, or any of a group, was asked for by its name or its group.
    fn wants(&self, measure: &str) -> bool {
        let asked = |only: &String| measure.starts_with(only) || only.starts_with(measure);
        self.only.is_empty() || self.only.iter().any(asked)
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.split_first() {
        Some((&"--work", rest)) => work::main(rest),
        Some((&"--serve", rest)) => server::main(rest),
        _ => options(&words).and_then(|options| measure(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("projection bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn options(args: &[&str]) -> Result<Options, Failure> {
    let mut options = Options {
        root: PathBuf::new(),
        scratch: PathBuf::new(),
        rounds: 15,
        cold_rounds: 5,
        only: Vec::new(),
        targets: Vec::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} takes a value"));
        match *arg {
            "--root" => options.root = value()?.into(),
            "--scratch" => options.scratch = value()?.into(),
            "--rounds" => options.rounds = value()?.parse()?,
            "--cold-rounds" => options.cold_rounds = value()?.parse()?,
            "--only" => options.only.push((*value()?).to_owned()),
            "--target" => options.targets.push((*value()?).to_owned()),
            // Cargo says --bench to every bench program.
            "--bench" => {}
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    if options.root.as_os_str().is_empty() || options.scratch.as_os_str().is_empty() {
        return Err("--root ENVIRONMENT and --scratch DIRECTORY are needed; \
                    `cargo xtask bench projection` gives them"
            .into());
    }
    Ok(options)
}

fn measure(options: &Options) -> Result<(), Failure> {
    targets::private_namespace()?;
    let environment = environment::prepare(&options.root, &options.scratch)?;
    let mut report = report::Report::new(&environment);
    if options.wants("warm") || options.wants("write") {
        let set = targets::Set::mount(&environment, &options.scratch)?;
        warm::measure(&set, &environment, options, &mut report)?;
    }
    if options.wants("cold") {
        cold::measure(&environment, options, &mut report)?;
    }
    if options.wants("mount") {
        cold::mounts(&environment, options, &mut report)?;
    }
    if options.wants("capture") {
        capture::measure(&environment, options, &mut report)?;
    }
    report.print()
}
