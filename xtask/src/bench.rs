//! `cargo xtask bench`: hd beside a peer on the same files in the same run; JSON on stdout.
//!
//! A figure of one machine says little; the ratio to a peer that did comparable work a moment
//! before says more. Runs alternate between the two, so that a busy machine slows both.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::bench_project::{self, Project};
use crate::shell::{Doing, Failure, cargo, run as run_command, shown, target_dir};

/// One comparison: a name, our command and the peer's, and what must be done before each.
struct Bench {
    name: &'static str,
    peer: &'static str,
    measure: fn(&Place) -> Result<(f64, f64), Failure>,
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "cold-ingest",
        peer: "tar | zstd -1",
        measure: |place| {
            remove_dir(&place.home())?;
            let ours = timed(&mut place.up_once())?;
            Ok((ours, timed(&mut place.tar_zstd())?))
        },
    },
    Bench {
        name: "no-change-up-once",
        peer: "git status",
        measure: |place| {
            let ours = timed(&mut place.up_once())?;
            Ok((ours, timed(&mut place.git_status())?))
        },
    },
];

/// Where the benches run.
struct Place {
    hd: PathBuf,
    scratch: PathBuf,
    project: Project,
}

impl Place {
    fn home(&self) -> PathBuf {
        self.scratch.join("home")
    }

    fn up_once(&self) -> Command {
        let mut command = Command::new(&self.hd);
        command
            .args(["up", "--once", "--json"])
            .current_dir(&self.project.path);
        command.env("HD_HOME", self.home());
        command
    }

    fn git_status(&self) -> Command {
        let mut command = Command::new("git");
        command
            .args(["status", "--porcelain"])
            .current_dir(&self.project.path);
        command
    }

    fn tar_zstd(&self) -> Command {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "tar -c --exclude=.git . | zstd -1 -q -f -o ../project.tar.zst",
        ]);
        command.current_dir(&self.project.path);
        command
    }
}

pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let options = Options::parse(args)?;
    run_command(cargo().args(["build", "--release", "--package", "hd-cli"]))?;
    let target = target_dir()?;
    let scratch = target.join("bench");
    remove_dir(&scratch)?;
    let project = bench_project::make(&scratch, options.files)?;
    let place = Place {
        hd: target.join("release/hd"),
        scratch,
        project,
    };
    let mut results = Vec::new();
    for bench in BENCHES.iter().filter(|bench| {
        options
            .name
            .as_deref()
            .is_none_or(|name| name == bench.name)
    }) {
        results.push(compare(bench, &place, options.runs)?);
    }
    if results.is_empty() {
        return Err(Failure::new("no bench has that name"));
    }
    let report = json!({
        "schema": 1,
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "project": { "files": place.project.files, "bytes": place.project.bytes },
        "benches": results,
    });
    println!("{report:#}");
    remove_dir(&place.scratch)
}

struct Options {
    name: Option<String>,
    files: usize,
    runs: usize,
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self, Failure> {
        let mut options = Self {
            name: None,
            files: 20_000,
            runs: 5,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut number = || {
                let value = args
                    .next()
                    .and_then(|value| value.parse().ok())
                    .filter(|value| *value > 0);
                value.ok_or_else(|| Failure::new(format!("{arg} takes a number above 0")))
            };
            match *arg {
                "--files" => options.files = number()?,
                "--runs" => options.runs = number()?,
                name if !name.starts_with('-') => options.name = Some(name.to_owned()),
                other => return Err(Failure::new(format!("bench does not know {other}"))),
            }
        }
        Ok(options)
    }
}

fn compare(bench: &Bench, place: &Place, runs: usize) -> Result<Value, Failure> {
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    // One run that does not count: it warms the page cache for both sides alike.
    (bench.measure)(place)?;
    for _ in 0..runs {
        let (our, peer) = (bench.measure)(place)?;
        ours.push(our);
        peers.push(peer);
    }
    let (our, peer) = (median(&mut ours), median(&mut peers));
    Ok(json!({
        "name": bench.name,
        "hd_ms": { "median": our, "all": ours },
        "peer": bench.peer,
        "peer_ms": { "median": peer, "all": peers },
        "ratio": our / peer,
    }))
}

/// The median; the runs are sorted on return, so the first and last are the spread.
fn median(runs: &mut [f64]) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs.get(runs.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Milliseconds from spawn to exit; a failing command is no measurement.
fn timed(command: &mut Command) -> Result<f64, Failure> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    let start = Instant::now();
    let status = command.status().doing(|| shown(command))?;
    let took_ms = start.elapsed().as_secs_f64() * 1000.0;
    if status.success() {
        Ok(took_ms)
    } else {
        Err(Failure::new(format!("{}: {status}", shown(command))))
    }
}

fn remove_dir(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}
