//! Running programs, and the one error of this crate.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a chore stopped: one message for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Adds what was being done to an error of the system.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("{}: {error}", what())))
    }
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// `cargo` as the one that started us, at the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// The target directory that cargo uses here.
pub(crate) fn target_dir() -> Result<PathBuf, Failure> {
    let told = metadata()?["target_directory"].as_str().map(PathBuf::from);
    told.ok_or_else(|| Failure::new("cargo metadata names no target directory"))
}

/// `cargo metadata` of the workspace's own packages.
pub(crate) fn metadata() -> Result<serde_json::Value, Failure> {
    let text = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).doing(|| "reading cargo metadata".to_owned())
}

/// Runs to the end with our own output; fails unless it exits with 0.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    eprintln!("xtask: {}", shown(command));
    let status = command.status().doing(|| shown(command))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{}: {status}", shown(command))))
}

/// Runs to the end and answers stdout; fails unless it exits with 0.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let out = command
        .stderr(Stdio::inherit())
        .output()
        .doing(|| shown(command))?;
    if !out.status.success() {
        return Err(Failure::new(format!("{}: {}", shown(command), out.status)));
    }
    String::from_utf8(out.stdout).doing(|| shown(command))
}

/// Whether it runs and exits with 0, saying nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Where a program is: an absolute path that exists, or a name in PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    if name.starts_with('/') {
        return Path::new(name).exists().then(|| PathBuf::from(name));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|proc_self| proc_self.uid() == 0)
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}
