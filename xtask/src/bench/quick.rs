//! `cargo xtask bench [NAME]`: a quick look at two commands beside a peer on a made-up project.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::project::{self, Project};
use super::usage::measure;
use super::{median, remove_dir};
use crate::shell::{Failure, cargo, run as run_command, target_dir};

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
            let ours = wall_ms(&mut place.up_once())?;
            Ok((ours, wall_ms(&mut place.tar_zstd())?))
        },
    },
    Bench {
        name: "no-change-up-once",
        peer: "git status",
        measure: |place| {
            let ours = wall_ms(&mut place.up_once())?;
            Ok((ours, wall_ms(&mut place.git_status())?))
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

pub(crate) fn run(args: &[&str]) -> Result<Value, Failure> {
    let options = Options::parse(args)?;
    run_command(cargo().args(["build", "--release", "--package", "hd-cli"]))?;
    let target = target_dir()?;
    let scratch = target.join("bench");
    remove_dir(&scratch)?;
    let project = project::make(&scratch, options.files)?;
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
    remove_dir(&place.scratch)?;
    Ok(report)
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
    let (our, peer) = (median(&ours), median(&peers));
    Ok(json!({
        "name": bench.name,
        "hd_ms": { "median": our, "all": ours },
        "peer": bench.peer,
        "peer_ms": { "median": peer, "all": peers },
        "ratio": our / peer,
    }))
}

/// Milliseconds from spawn to exit; a failing command is no measurement.
fn wall_ms(command: &mut Command) -> Result<f64, Failure> {
    Ok(measure(command)?.wall_ms)
}
