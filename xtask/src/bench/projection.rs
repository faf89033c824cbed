//! `cargo xtask bench projection`: makes the environment to project, then runs the bench program
//! of `hd-projection` on it.
//!
//! The whole takes ten minutes and more. `--only warm`, `write`, `cold`, `mount` and `capture` are its parts, of five
//! minutes at most each; so is a single measure (`--only cold-read-all`). A measure takes `--rounds N` (cold ones and
//! capture: `--cold-rounds N`), and begins none after `--seconds N` (30) once it has three.
//! With `--keep` each part adds to what is kept.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::shell::{
    Doing, Failure, cargo, find_program, is_root, run as run_command, shown, target_dir,
};

/// A real root with Python and Flask, Node and the modules of npm: some 34,000 files.
const PACKAGES: &str =
    "python3,python3-flask,python3-sqlalchemy,python3-requests,nodejs,npm,ca-certificates";

pub(crate) fn run(args: &[&str]) -> Result<Value, Failure> {
    if !is_root() {
        return Err(Failure::new(
            "the projection bench mounts file systems: it needs root",
        ));
    }
    let place = target_dir()?.join("projection-bench");
    let root = environment(&place)?;
    let scratch = place.join("scratch");
    std::fs::create_dir_all(&scratch).doing(|| format!("making {}", scratch.display()))?;
    let text = printed(
        cargo()
            .args(["bench", "--quiet", "--package", "hd-projection"])
            .args(["--bench", "projection", "--", "--root"])
            .arg(root)
            .arg("--scratch")
            .arg(scratch)
            .args(args),
    )?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("the bench printed no JSON: {error}")))
}

/// Runs a program; its table goes to stderr as it comes, what it prints is given back.
fn printed(command: &mut Command) -> Result<String, Failure> {
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let done = command.output().doing(|| shown(command))?;
    if !done.status.success() {
        return Err(Failure::new(format!("{}: {}", shown(command), done.status)));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Installs the environment unless a run before has.
fn environment(place: &Path) -> Result<PathBuf, Failure> {
    let root = place.join("root");
    if root.exists() {
        return Ok(root);
    }
    if find_program("mmdebstrap").is_none() {
        return Err(Failure::new(
            "mmdebstrap makes the environment (cargo xtask setup installs it)",
        ));
    }
    std::fs::create_dir_all(place).doing(|| format!("making {}", place.display()))?;
    // Complete under its own name only.
    let part = place.join("root.part");
    super::remove_dir(&part)?;
    run_command(
        Command::new("mmdebstrap")
            .args(["--quiet", "--variant=apt"])
            .arg(format!("--include={PACKAGES}"))
            .arg("bookworm")
            .arg(&part)
            .stdout(std::io::stderr()),
    )?;
    std::fs::rename(&part, &root).doing(|| format!("naming {}", root.display()))?;
    Ok(root)
}
