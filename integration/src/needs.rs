//! What a test needs of its machine. Each answers `Err(reason)`, which is for `skip_unless!`.
//!
//! `cargo xtask test` looks once at what is slow to find out and tells through variables.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A device to serve file systems through.
pub fn fuse() -> Result<(), String> {
    let opened = File::options().read(true).write(true).open("/dev/fuse");
    opened
        .map(|_| ())
        .map_err(|error| format!("cannot open /dev/fuse: {error}"))
}

/// To run as root.
pub fn root() -> Result<(), String> {
    rustix::process::geteuid()
        .is_root()
        .then_some(())
        .ok_or_else(|| "not root".to_owned())
}

/// A program in PATH.
pub fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|directory| directory.join(name));
    files
        .find(|file| file.is_file())
        .ok_or_else(|| format!("no program {name} in PATH"))
}

/// A Docker engine that answers, and its command line.
pub fn docker() -> Result<(), String> {
    let asked = std::process::Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .output();
    match asked {
        Ok(answer) if answer.status.success() => Ok(()),
        Ok(_) => Err("no Docker engine answers".to_owned()),
        Err(error) => Err(format!("no docker command: {error}")),
    }
}

/// The package indexes of Python and Node.
pub fn package_index() -> Result<(), String> {
    std::env::var("HD_TEST_OFFLINE").map_or(Ok(()), Err)
}

/// An `hd` that panics on request: built with `--features fault`, as `cargo xtask test` does.
pub fn faults() -> Result<(), String> {
    is_armed(&crate::env::binary())
        .then_some(())
        .ok_or_else(|| "hd was built without `--features fault`".to_owned())
}

/// An `hd` without any feature, as a release has it: `cargo xtask test` builds it too.
pub fn plain_binary() -> Result<PathBuf, String> {
    std::env::var_os("HD_PLAIN_BIN")
        .map(PathBuf::from)
        .ok_or_else(|| "HD_PLAIN_BIN is not set: run `cargo xtask test`".to_owned())
}

/// Whether a binary contains the hook by which tests make actors panic.
pub fn is_armed(binary: &Path) -> bool {
    let bytes =
        std::fs::read(binary).unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
    let mark = b"HD_FAULT";
    bytes.windows(mark.len()).any(|window| window == mark)
}

/// `xtask` itself, which writes the monorepo of [`crate::samples::monorepo`].
pub fn xtask() -> Result<PathBuf, String> {
    std::env::var_os("HD_XTASK")
        .map(PathBuf::from)
        .ok_or_else(|| "HD_XTASK is not set: run `cargo xtask test`".to_owned())
}

/// The registry with the base images: `127.0.0.1:PORT`.
pub fn registry() -> Result<String, String> {
    std::env::var("HD_TEST_REGISTRY").map_err(|_| {
        std::env::var("HD_TEST_NO_REGISTRY").unwrap_or_else(|_| {
            "no registry: run `cargo xtask test`, or eval `cargo xtask images env`".to_owned()
        })
    })
}

/// The merged tree that the registry's `fixtures/layers` must unpack to.
pub fn fixtures_tsv() -> Result<PathBuf, String> {
    registry()?;
    std::env::var_os("HD_TEST_FIXTURES_TSV")
        .map(PathBuf::from)
        .ok_or_else(|| "HD_TEST_FIXTURES_TSV is not set".to_owned())
}

/// Says that a test is skipped: on stderr past the capture of the test runner, and in the file
/// that `cargo xtask test` prints at its end.
pub fn report_skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED: {}: {reason}\n", thread.name().unwrap_or("a test"));
    // Losing the notice must not turn a skip into a failure.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("HD_TEST_SKIPS") {
        let file = File::options().create(true).append(true).open(file);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
