//! `cargo xtask bench steps`: what observing costs. The same installations, from files that lie in the
//! project, as a step of hd (traced, its output stored) and in a plain overlayfs on the unpacked image.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::oci::copy_image;
use super::row::{compared, print_table};
use super::usage::measure;
use super::{machine, remove_dir};
use crate::shell::{
    Doing, Failure, cargo, find_program, is_root, output, run as run_command, target_dir,
};

const USAGE: &str = "usage: cargo xtask bench steps [--rounds N] [--hd PROGRAM]";
/// Mounts a fresh overlay ($1 lower, $2 place of the rest) and runs a command ($3) in its /workspace.
const PLAIN: &str = "set -e
mkdir -p \"$2/upper\" \"$2/work\" \"$2/merged\"
mount -t overlay overlay -o \"lowerdir=$1,upperdir=$2/upper,workdir=$2/work,volatile\" \"$2/merged\"
mount -t proc proc \"$2/merged/proc\"
mount --rbind /dev \"$2/merged/dev\"
mount -t tmpfs tmpfs \"$2/merged/tmp\"
exec chroot \"$2/merged\" sh -c \"cd /workspace && $3\"";

/// An installation.
struct Sample {
    name: &'static str,
    /// An image of the registry that `cargo xtask images` serves.
    image: &'static str,
    /// Fetches what is to be installed into the project; run there, on this machine.
    fetch: &'static str,
    files: &'static [(&'static str, &'static str)],
    step: &'static str,
}

const SAMPLES: [Sample; 2] = [
    Sample {
        name: "pip install of Flask's seven packages",
        image: "127.0.0.1:5055/python:3.11-slim",
        fetch: "python3 -m venv venv && venv/bin/pip download -q --only-binary :all: --python-version 3.11 \
                --implementation cp --abi cp311 --platform manylinux2014_x86_64 -d wheels -r requirements.txt && rm -r venv",
        files: &[(
            "requirements.txt",
            include_str!("../../../examples/flask-demo/requirements.txt"),
        )],
        step: "python -m venv .venv && PIP_FIND_LINKS=wheels .venv/bin/pip install -q --no-index -r requirements.txt",
    },
    Sample {
        name: "npm ci of more than 10,000 files",
        image: "127.0.0.1:5055/node:20-slim",
        fetch: "npm install --silent --omit-lockfile-registry-resolved=false --cache cache --ignore-scripts --no-audit --no-fund && rm -r node_modules",
        files: &[("package.json", PACKAGE_JSON)],
        step: "npm ci --loglevel=error --offline --cache cache --ignore-scripts --no-audit --no-fund",
    },
];

const PACKAGE_JSON: &str = r#"{
  "name": "bench-steps",
  "version": "1.0.0",
  "private": true,
  "dependencies": {
    "core-js": "3.40.0",
    "date-fns": "4.1.0",
    "lodash": "4.17.21",
    "lodash-es": "4.17.21",
    "ramda": "0.30.1",
    "rxjs": "7.8.1",
    "typescript": "5.8.2"
  }
}
"#;

pub(crate) fn run(args: &[&str]) -> Result<Value, Failure> {
    let (mut rounds, mut hd) = (5, None);
    for pair in args.chunks(2) {
        match pair {
            ["--rounds", number] => rounds = number.parse().map_err(|_| Failure::new(USAGE))?,
            ["--hd", program] => hd = Some(PathBuf::from(program)),
            _ => return Err(Failure::new(USAGE)),
        }
    }
    if !is_root() {
        return Err(Failure::new("plain overlayfs needs root"));
    }
    let hd = match hd {
        Some(hd) => hd,
        None => {
            run_command(cargo().args(["build", "--release", "--package", "hd-cli"]))?;
            target_dir()?.join("release/hd")
        }
    };
    let place = target_dir()?.join("steps-bench");
    remove_dir(&place)?;
    let mut rows = Vec::new();
    for (number, sample) in SAMPLES.iter().enumerate() {
        rows.push(measured(
            sample,
            &place.join(number.to_string()),
            &hd,
            rounds,
        )?);
    }
    remove_dir(&place)?;
    print_table(&rows);
    Ok(json!({ "machine": machine::describe(), "load": machine::load(), "rows": rows }))
}

fn measured(sample: &Sample, place: &Path, hd: &Path, rounds: usize) -> Result<Value, Failure> {
    let (project, root) = (place.join("project"), place.join("bundle/rootfs"));
    prepare(sample, &project, place)?;
    let step = |rerun: &[&str]| -> Result<f64, Failure> {
        let mut command = Command::new(hd);
        command
            .current_dir(&project)
            .env("HD_HOME", place.join("home"));
        let text = output(command.args(["build", "--json"]).args(rerun))?;
        let report: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("hd printed no JSON: {error}")))?;
        let ms = report["steps"][0]["ms"].as_f64();
        ms.ok_or_else(|| Failure::new("hd told no time of its step"))
    };
    let plain = |number: usize| -> Result<f64, Failure> {
        let scratch = place.join(format!("plain-{number}"));
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--propagation", "private"]);
        command.args(["sh", "-c", PLAIN, "sh"]);
        command.args([&root, &scratch]).arg(sample.step);
        let used = measure(&mut command)?;
        remove_dir(&scratch)?;
        Ok(used.wall_ms)
    };
    // The first of each fills caches of the kernel.
    step(&[])?;
    plain(rounds)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        ours.push(step(&["--rerun", "step-1"])?);
        theirs.push(plain(round)?);
        eprintln!(
            "round {round}: {}: hd {:.0} ms, overlayfs {:.0} ms",
            sample.name, ours[round], theirs[round]
        );
    }
    Ok(compared(sample.name, "overlayfs", &ours, &theirs))
}

/// Makes the project, and the root of the peer with the project in it.
fn prepare(sample: &Sample, project: &Path, place: &Path) -> Result<(), Failure> {
    for program in ["skopeo", "umoci", "npm", "python3"] {
        if find_program(program).is_none() {
            let message = format!("{program} is missing (cargo xtask setup installs it)");
            return Err(Failure::new(message));
        }
    }
    std::fs::create_dir_all(project).doing(|| format!("making {}", project.display()))?;
    let toml = format!(
        "[environment]\nname = \"steps\"\nbase = \"{}\"\n[build]\nsteps = [\"{}\"]\n",
        sample.image, sample.step
    );
    for (name, text) in sample.files.iter().copied().chain([("hd.toml", &*toml)]) {
        let path = project.join(name);
        std::fs::write(&path, text).doing(|| format!("writing {}", path.display()))?;
    }
    let mut fetch = Command::new("sh");
    output(fetch.args(["-c", sample.fetch]).current_dir(project))?;
    let (layout, bundle) = (place.join("layout"), place.join("bundle"));
    copy_image(sample.image, &layout)?;
    let mut unpack = Command::new("umoci");
    unpack.args(["unpack", "--image", &format!("{}:x", layout.display())]);
    output(unpack.arg(&bundle))?;
    let mut copy = Command::new("cp");
    output(
        copy.arg("-a")
            .arg(project)
            .arg(bundle.join("rootfs/workspace")),
    )?;
    Ok(())
}
