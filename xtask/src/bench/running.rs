//! What runs while others look at it: an instance of hd, and a container beside it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::live::Up;
use super::services::sample::Sample;
use crate::shell::{Doing, Failure, output, succeeds};

/// `hd up` of a sample on this machine's own system.
pub(super) struct Instance {
    up: Up,
    hd: PathBuf,
    project: PathBuf,
    home: PathBuf,
}

impl Instance {
    /// Starts it below a directory and waits until its service is ready.
    pub(super) fn start(hd: &Path, scratch: &Path, sample: Sample) -> Result<Self, Failure> {
        let (project, home) = (scratch.join("project"), scratch.join("home"));
        sample.make(&project, free_port()?, None)?;
        let up = Up::start(command(hd, &project, &home, &["--progress", "json", "up"]))?;
        Ok(Self {
            up,
            hd: hd.to_owned(),
            project,
            home,
        })
    }

    /// An hd command in its project.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        command(&self.hd, &self.project, &self.home, args)
    }

    /// Ends it in peace.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        output(&mut self.command(&["down"]))?;
        self.up.ended()
    }
}

fn command(hd: &Path, project: &Path, home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(hd);
    command.args(args).current_dir(project).env("HD_HOME", home);
    command.env_remove("RUST_LOG");
    command
}

/// A container of Docker that does nothing; it is removed when it is dropped.
pub(super) struct Container {
    pub(super) id: String,
}

impl Container {
    /// Starts it, or says why there is none.
    pub(super) fn start(image: &str) -> Result<Self, String> {
        engine_answers()?;
        let mut run = Command::new("docker");
        run.args(["run", "-d", "--network", "host", image, "sleep", "1000000"]);
        let id = output(&mut run).map_err(|failure| failure.to_string())?;
        Ok(Self {
            id: id.trim().to_owned(),
        })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if !succeeds(Command::new("docker").args(["rm", "-f", &self.id])) {
            eprintln!("xtask: docker rm -f {} fails", self.id);
        }
    }
}

/// Whether a Docker engine is there.
pub(super) fn engine_answers() -> Result<(), String> {
    match succeeds(Command::new("docker").args(["version", "--format", "x"])) {
        true => Ok(()),
        false => Err("no Docker engine answers".to_owned()),
    }
}

/// A port of this machine that nobody has.
pub(super) fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|one| one.local_addr());
    Ok(address.doing(|| "a free port".to_owned())?.port())
}
