//! Peers that Debian has not, in pinned versions below the target directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::remove_dir;
use crate::shell::{Failure, cargo, output, run as run_command};

const WATCHEXEC: &str = "2.8.0";
const HONCHO: &str = "2.0.0";
const NODEMON: &str = "3.1.10";
/// What the Flask sample needs: the same versions for everybody.
pub(super) const FLASK: &str = include_str!("../../../examples/flask-demo/requirements.txt");

/// Where programs are, and why some are not.
pub(super) struct Tools {
    place: PathBuf,
    /// A program's name, and why it could not be installed.
    missing: Vec<(&'static str, String)>,
}

impl Tools {
    /// Installs what is not there yet; the first time this takes minutes.
    pub(super) fn ready(target: &Path) -> Self {
        let mut tools = Self {
            place: target.join("bench-tools"),
            missing: Vec::new(),
        };
        for (name, install) in [
            (
                "watchexec",
                Self::watchexec as fn(&Self) -> Result<(), Failure>,
            ),
            ("flask", Self::python),
            ("nodemon", Self::nodemon),
        ] {
            if let Err(failure) = install(&tools) {
                eprintln!("xtask: {failure}");
                tools.missing.push((name, failure.to_string()));
                if name == "flask" {
                    tools.missing.push(("honcho", failure.to_string()));
                }
            }
        }
        tools
    }

    /// Says why a program cannot be had.
    pub(super) fn lacks(&self, program: &str) -> Option<String> {
        let mut missing = self.missing.iter();
        let told = missing.find(|(name, _)| *name == program);
        let is_there = || {
            let path = self.path();
            std::env::split_paths(&path).any(|place| place.join(program).is_file())
        };
        match told {
            Some((_, why)) => Some(why.clone()),
            None if is_there() => None,
            None => Some(format!("no {program} on this machine")),
        }
    }

    /// The search path, these tools first.
    pub(super) fn path(&self) -> OsString {
        let own = ["bin", "venv/bin", "node/node_modules/.bin"];
        let own = own.map(|place| self.place.join(place));
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let all = own.into_iter().chain(std::env::split_paths(&inherited));
        std::env::join_paths(all).unwrap_or(inherited)
    }

    /// The packages of Flask, for a container to mount.
    pub(super) fn site_packages(&self) -> Option<PathBuf> {
        let listing = std::fs::read_dir(self.place.join("venv/lib")).ok()?;
        let sites = listing
            .flatten()
            .map(|one| one.path().join("site-packages"));
        sites.into_iter().find(|site| site.join("flask").is_dir())
    }

    /// What each says about its version.
    pub(super) fn versions(&self) -> serde_json::Value {
        let ask = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            let said = output(command.args(args).env("PATH", self.path())).ok()?;
            Some(said.lines().next()?.trim().to_owned())
        };
        serde_json::json!({
            "node": ask("node", &["--version"]),
            "python": ask("python3", &["--version"]),
            "watchexec": ask("watchexec", &["--version"]),
            "honcho": HONCHO, "nodemon": NODEMON, "flask": FLASK.lines().find(|line| line.starts_with("Flask")),
            "entr": ask("dpkg-query", &["-W", "-f", "${Version}", "entr"]),
        })
    }

    fn watchexec(&self) -> Result<(), Failure> {
        let program = self.place.join("bin/watchexec");
        let said = output(Command::new(&program).arg("--version"));
        if said.is_ok_and(|text| text.contains(WATCHEXEC)) {
            return Ok(());
        }
        let mut install = cargo();
        install.args(["install", "--quiet", "--locked", "--force", "--root"]);
        run_command(
            install
                .arg(&self.place)
                .arg(format!("watchexec-cli@{WATCHEXEC}")),
        )
    }

    /// A virtual environment with Flask and honcho; its own file says what is in it.
    fn python(&self) -> Result<(), Failure> {
        let venv = self.place.join("venv");
        let wanted = format!("{}\nhoncho=={HONCHO}\n", FLASK.trim_end());
        let list = venv.join("bench-requirements.txt");
        if std::fs::read_to_string(&list).is_ok_and(|text| text == wanted) {
            return Ok(());
        }
        remove_dir(&venv)?;
        run_command(
            Command::new("python3")
                .args(["-I", "-m", "venv"])
                .arg(&venv),
        )?;
        let part = venv.join("part.txt");
        super::services::write(&part, &wanted)?;
        let pip = venv.join("bin/pip");
        run_command(
            Command::new(pip)
                .args(["install", "--quiet", "-r"])
                .arg(&part),
        )?;
        std::fs::rename(&part, &list).map_err(|error| Failure::new(error.to_string()))
    }

    fn nodemon(&self) -> Result<(), Failure> {
        let place = self.place.join("node");
        let installed = place.join("node_modules/nodemon/package.json");
        let version = format!("\"version\": \"{NODEMON}\"");
        if std::fs::read_to_string(installed).is_ok_and(|text| text.contains(&version)) {
            return Ok(());
        }
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        run_command(npm.arg(&place).arg(format!("nodemon@{NODEMON}")))
    }
}
