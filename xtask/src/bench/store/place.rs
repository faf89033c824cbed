//! Where one set is measured: its project, a scratch directory, the binary.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::sets::Project;
use crate::bench::remove_dir;
use crate::bench::usage::{Usage, measure};
use crate::shell::{Doing, Failure, run as run_command};

/// Everything a measurement needs to know.
pub(super) struct Place {
    pub(super) hd: PathBuf,
    /// The program that measures reads through the store library.
    pub(super) read_times: PathBuf,
    pub(super) project: Project,
    pub(super) scratch: PathBuf,
}

impl Place {
    pub(super) fn new(target: &Path, project: Project) -> Result<Place, Failure> {
        let scratch = target.join("bench-scratch");
        clear(&scratch)?;
        make_dir(&scratch)?;
        Ok(Place {
            hd: target.join("release/hd"),
            read_times: target.join("release/examples/read_times"),
            project,
            scratch,
        })
    }

    /// A directory of this name in the scratch directory.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// `hd up --once` on the project, with this home.
    pub(super) fn up_once(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.hd);
        command.args(["up", "--once", "--json"]);
        command.current_dir(&self.project.current);
        command.env("HD_HOME", home);
        command
    }

    /// Measures `hd up --once` with this home.
    pub(super) fn measure_up(&self, home: &Path) -> Result<Usage, Failure> {
        measure(&mut self.up_once(home))
    }

    /// Reads all of the project once, so that it is in the page cache for whoever comes first.
    pub(super) fn warm(&self) -> Result<(), Failure> {
        let mut read = Command::new("sh");
        read.args(["-c", "tar -c . | cat > /dev/null"]);
        measure(read.current_dir(&self.project.current)).map(|_| ())
    }
}

/// How long whoever still writes into a scratch directory may take to end.
const CLEAR_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two tries.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// Removes a scratch directory. Whoever is about to end, such as a server of mounts, may have made new files
/// meanwhile: then it is tried again.
pub(super) fn clear(scratch: &Path) -> Result<(), Failure> {
    let deadline = Instant::now() + CLEAR_WITHIN;
    loop {
        match remove_dir(scratch) {
            Err(_) if Instant::now() < deadline => std::thread::park_timeout(TRY_EVERY),
            done => return done,
        }
    }
}

/// Writes back what earlier runs left dirty, lest the next one pays for it.
pub(super) fn settle() -> Result<(), Failure> {
    measure(&mut Command::new("sync")).map(|_| ())
}

/// Files below a directory, and the disk blocks of everything there in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Weighs a directory or a file; one that is not there weighs nothing.
pub(super) fn weigh(path: &Path) -> Result<Weight, Failure> {
    let mut weight = Weight::default();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            meta => meta.doing(|| format!("looking at {}", path.display()))?,
        };
        weight.bytes += meta.blocks() * 512;
        if meta.is_dir() {
            let listing =
                std::fs::read_dir(&path).doing(|| format!("listing {}", path.display()))?;
            for entry in listing {
                let entry = entry.doing(|| format!("listing {}", path.display()))?;
                waiting.push(entry.path());
            }
        } else {
            weight.files += 1;
        }
    }
    Ok(weight)
}

pub(super) fn make_dir(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).doing(|| format!("making {}", path.display()))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::rename(from, to).doing(|| format!("moving {} to {}", from.display(), to.display()))
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).doing(|| format!("writing {}", path.display()))
}

/// Runs a line of shell in a directory.
pub(super) fn shell(line: &str, dir: &Path) -> Result<(), Failure> {
    let mut shell = Command::new("sh");
    run_command(
        shell
            .args(["-c", line])
            .current_dir(dir)
            .stdout(std::io::stderr()),
    )
}
