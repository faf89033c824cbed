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
mod rounds;
mod server;
mod targets;
mod warm;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use environment::Environment;
use report::Report;

/// Anything that stops the bench, in words.
type Failure = Box<dyn std::error::Error>;

/// What to measure, and where.
#[derive(Debug)]
struct Options {
    root: PathBuf,
    scratch: PathBuf,
    rounds: usize,
    cold_rounds: usize,
    /// Time after which a measure begins no further round.
    time: Duration,
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
        time: Duration::from_secs(30),
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
            "--seconds" => options.time = Duration::from_secs(value()?.parse()?),
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

/// Measures that are asked for together.
type Part = fn(&Environment, &Options, &mut Report) -> Result<(), Failure>;

/// Each takes a few minutes at most.
const PARTS: [(&[&str], Part); 4] = [
    (&["warm", "write"], warm::measure),
    (&["cold"], cold::measure),
    (&["mount"], cold::mounts),
    (&["capture"], capture::measure),
];

fn measure(options: &Options) -> Result<(), Failure> {
    let wanted = |groups: &[&str]| groups.iter().any(|group| options.wants(group));
    if !PARTS.iter().any(|(groups, _)| wanted(groups)) {
        return Err(format!("no measure is called {}", options.only.join(" or ")).into());
    }
    targets::private_namespace()?;
    let began = Instant::now();
    let environment = environment::prepare(&options.root, &options.scratch)?;
    let mut report = Report::new(&environment);
    eprintln!("the environment is stored: {} s", began.elapsed().as_secs());
    for (groups, part) in PARTS.iter().filter(|(groups, _)| wanted(groups)) {
        let began = Instant::now();
        part(&environment, options, &mut report)?;
        let seconds = began.elapsed().as_secs();
        report.note(
            &format!("{} took (s)", groups.join(" and ")),
            seconds.into(),
        );
    }
    report.print()
}
