//! `cargo xtask bench status`: what a look at a running instance costs, and a command in it, as whole
//! processes, beside Docker's of one container.

use std::process::Command;

use serde_json::{Value, json};

use super::row::{absent, alone, compared, print_table};
use super::running::{Container, Instance};
use super::services::sample::Sample;
use super::usage::measure;
use super::{machine, remove_dir};
use crate::shell::{Failure, cargo, run as run_command, target_dir};

/// What is asked of hd, and what of Docker; the last word of Docker's may be the container.
struct Asked {
    measure: &'static str,
    ours: &'static [&'static str],
    theirs: &'static [&'static str],
    peer: &'static str,
    /// What hd is to take at most, in milliseconds, where something was promised.
    target: Option<f64>,
    /// Whether the time of the program's own start is taken off.
    beyond_start: bool,
}

const ALL: [Asked; 3] = [
    Asked {
        measure: "exec true",
        ours: &["exec", "true"],
        theirs: &["exec", "CONTAINER", "true"],
        peer: "docker exec",
        target: None,
        beyond_start: false,
    },
    Asked {
        measure: "exec true, beyond process start",
        ours: &["exec", "true"],
        theirs: &["exec", "CONTAINER", "true"],
        peer: "docker exec",
        target: Some(10.0),
        beyond_start: true,
    },
    Asked {
        measure: "status",
        ours: &["status"],
        theirs: &["ps"],
        peer: "docker ps",
        target: Some(15.0),
        beyond_start: false,
    },
];

pub(super) fn run(args: &[&str]) -> Result<Value, Failure> {
    let usage = || Failure::new("usage: bench status [--rounds N]");
    let rounds = match args {
        [] => 20,
        ["--rounds", number] => number.parse().map_err(|_| usage())?,
        _ => return Err(usage()),
    };
    run_command(cargo().args(["build", "--quiet", "--release", "-p", "hd-cli"]))?;
    let target = target_dir()?;
    let scratch = target.join("bench-status");
    remove_dir(&scratch)?;
    let load_before = machine::load();
    let instance = Instance::start(&target.join("release/hd"), &scratch, Sample::Node)?;
    let container = Container::start(Sample::Node.image());
    let rows = measured(&instance, &container, rounds);
    instance.end()?;
    remove_dir(&scratch)?;
    let rows = rows?;
    print_table(&rows);
    Ok(json!({
        "schema": 1, "bench": "status", "rounds": rounds, "rows": rows,
        "machine": machine::describe(), "docker": machine::version("docker", "--version"),
        "load": { "before": load_before, "after": machine::load() },
    }))
}

fn measured(
    instance: &Instance,
    container: &Result<Container, String>,
    rounds: usize,
) -> Result<Vec<Value>, Failure> {
    let mut rows = Vec::new();
    for asked in &ALL {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let started = |args: &[&str]| Ok(measure(&mut instance.command(args))?.wall_ms);
            ours.push(beyond(
                asked.beyond_start,
                asked.ours,
                &["version"],
                started,
            )?);
            let Ok(container) = container else {
                continue;
            };
            let docker = |args: &[&str]| {
                let own = |word: &&'_ str| word.replace("CONTAINER", &container.id);
                let args: Vec<String> = args.iter().map(own).collect();
                Ok(measure(Command::new("docker").args(args))?.wall_ms)
            };
            theirs.push(beyond(
                asked.beyond_start,
                asked.theirs,
                &["--version"],
                docker,
            )?);
        }
        rows.extend(
            asked
                .target
                .map(|target| alone(asked.measure, &ours, target)),
        );
        rows.push(match container {
            Ok(_) => compared(asked.measure, asked.peer, &ours, &theirs),
            Err(why) => absent(asked.measure, asked.peer, why),
        });
    }
    Ok(rows)
}

/// The time of a command, without that of one that only starts the program.
fn beyond(
    beyond_start: bool,
    args: &[&str],
    start: &[&str],
    mut time: impl FnMut(&[&str]) -> Result<f64, Failure>,
) -> Result<f64, Failure> {
    let whole = time(args)?;
    Ok(match beyond_start {
        true => whole - time(start)?,
        false => whole,
    })
}
