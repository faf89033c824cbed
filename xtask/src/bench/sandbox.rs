//! `cargo xtask bench sandbox`: what it costs to start and end `true` isolated: hd's sandbox by itself
//! beside unshare, and a whole command on an image beside Docker and runc.

mod bundle;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use self::bundle::Bundle;
use super::row::{absent, alone, compared, print_table};
use super::running::engine_answers;
use super::services::registry_answers;
use super::services::sample::Sample;
use super::usage::measure;
use super::{machine, median, remove_dir};
use crate::shell::{Doing, Failure, cargo, find_program, output, run as run_command, target_dir};

/// What hd's sandbox may take until the child's exec, in milliseconds.
const TARGET_MS: f64 = 10.0;
/// Starts of the library in one round, of which the median counts.
const STARTS: &str = "5";

pub(super) fn run(args: &[&str]) -> Result<Value, Failure> {
    let usage = || Failure::new("usage: bench sandbox [--rounds N]");
    let rounds = match args {
        [] => 20,
        ["--rounds", number] => number.parse().map_err(|_| usage())?,
        _ => return Err(usage()),
    };
    run_command(cargo().args(["build", "--quiet", "--release", "-p", "hd-cli"]))?;
    let example = ["-p", "hd-sandbox", "--example", "start_times"];
    run_command(
        cargo()
            .args(["build", "--quiet", "--release"])
            .args(example),
    )?;
    let target = target_dir()?;
    let scratch = target.join("bench-sandbox");
    remove_dir(&scratch)?;
    std::fs::create_dir_all(&scratch).doing(|| format!("making {}", scratch.display()))?;
    let load_before = machine::load();
    let mut rows = by_itself(&target.join("release/examples/start_times"), rounds)?;
    rows.extend(on_an_image(&target.join("release/hd"), &scratch, rounds)?);
    remove_dir(&scratch)?;
    print_table(&rows);
    Ok(json!({
        "schema": 1, "bench": "sandbox", "rounds": rounds, "rows": rows,
        "machine": machine::describe(),
        "versions": [
            machine::version("docker", "--version"), machine::version("runc", "--version"),
            machine::version("unshare", "--version"),
        ],
        "load": { "before": load_before, "after": machine::load() },
    }))
}

/// The sandbox as the library starts it, on this machine's own programs.
fn by_itself(start_times: &Path, rounds: usize) -> Result<Vec<Value>, Failure> {
    let (mut executed, mut ended, mut unshared) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let text = output(Command::new(start_times).arg(STARTS))?;
        let times: Value =
            serde_json::from_str(&text).doing(|| "reading what start_times printed".to_owned())?;
        let middle = |key: &str| {
            let samples = times[key].as_array().map_or(&[][..], Vec::as_slice);
            median(&samples.iter().filter_map(Value::as_f64).collect::<Vec<_>>()) / 1000.0
        };
        executed.push(middle("exec_us"));
        ended.push(middle("ended_us"));
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
            "--fork",
            "--mount-proc",
            "true",
        ]);
        unshared.push(measure(&mut unshare)?.wall_ms);
    }
    Ok(vec![
        alone("sandbox, spawn to exec", &executed, TARGET_MS),
        compared(
            "sandbox, spawn to the end of true",
            "unshare",
            &ended,
            &unshared,
        ),
    ])
}

/// A way to run `true` on an image.
struct Way {
    peer: &'static str,
    run: Box<dyn Fn() -> Command>,
}

/// Whole commands on an image that is already there.
fn on_an_image(hd: &Path, scratch: &Path, rounds: usize) -> Result<Vec<Value>, Failure> {
    const MEASURE: &str = "run true on an image";
    let image = Sample::Flask.image();
    if let Err(why) = registry_answers(image) {
        let peers = ["docker run --rm", "runc run"];
        return Ok(peers.map(|peer| absent(MEASURE, peer, &why)).to_vec());
    }
    let ours = hd_run(hd, scratch.to_owned(), image)?;
    // The first one pulls the image.
    measure(&mut ours()).map_err(|failure| Failure::new(format!("hd: {failure}")))?;
    let docker = engine_answers().map(|()| {
        let words = ["run", "--rm", "--network", "host", image, "true"];
        Way {
            peer: "docker run --rm",
            run: Box::new(move || {
                let mut command = Command::new("docker");
                command.args(words);
                command
            }),
        }
    });
    let runc = Bundle::make(image, &scratch.join("bundle")).map(|bundle| Way {
        peer: "runc run",
        run: Box::new(move || bundle.run()),
    });
    let mut rows = Vec::new();
    for (peer, way) in [("docker run --rm", docker), ("runc run", runc)] {
        let way = way.and_then(|way| match measure(&mut (way.run)()) {
            Ok(_) => Ok(way),
            Err(failure) => Err(failure.to_string()),
        });
        rows.push(match way {
            Err(why) => absent(MEASURE, peer, &why),
            Ok(way) => {
                let (mut own, mut theirs) = (Vec::new(), Vec::new());
                for _ in 0..rounds {
                    own.push(measure(&mut ours())?.wall_ms);
                    theirs.push(measure(&mut (way.run)())?.wall_ms);
                }
                compared(MEASURE, way.peer, &own, &theirs)
            }
        });
    }
    Ok(rows)
}

fn hd_run(hd: &Path, scratch: PathBuf, image: &str) -> Result<impl Fn() -> Command, Failure> {
    let project = scratch.join("project");
    let toml = format!("[environment]\nname = \"bench\"\nbase = \"{image}\"\n");
    super::services::write(&project.join("hd.toml"), &toml)?;
    let hd = hd.to_owned();
    Ok(move || {
        let mut command = Command::new(&hd);
        command.args(["run", "true"]).current_dir(&project);
        command
            .env("HD_HOME", scratch.join("home"))
            .env_remove("RUST_LOG");
        command
    })
}

/// Whether a program is there, else what is missing.
fn needs(program: &str) -> Result<(), String> {
    match find_program(program) {
        Some(_) => Ok(()),
        None => Err(format!("no {program} on this machine")),
    }
}
