//! The release recipe: one static binary, checked to be one.

use std::process::Command;

use crate::shell::{Doing, Failure, cargo, output, run as run_command, target_dir};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A word only the fault hook of tests contains; it must not be in a release.
const FAULT_MARK: &[u8] = b"HD_FAULT";

pub(crate) fn run() -> Result<(), Failure> {
    // Naming the target keeps build scripts and macros out of RUSTFLAGS.
    run_command(
        cargo()
            .args([
                "build",
                "--profile",
                "dist",
                "--target",
                TARGET,
                "--package",
                "hd-cli",
            ])
            .env("RUSTFLAGS", "-C target-feature=+crt-static"),
    )?;
    let binary = target_dir()?.join(TARGET).join("dist/hd");
    let bytes = std::fs::read(&binary).doing(|| format!("reading {}", binary.display()))?;
    // ldd exits with 1 for a static binary and says so; what it says is what counts.
    let ldd = Command::new("ldd")
        .arg(&binary)
        .env("LC_ALL", "C")
        .output()
        .doing(|| "ldd".to_owned())?;
    let said = String::from_utf8_lossy(&ldd.stdout) + String::from_utf8_lossy(&ldd.stderr);
    if !said.contains("statically linked") && !said.contains("not a dynamic executable") {
        return Err(Failure::new(format!(
            "{} is not static:\n{said}",
            binary.display()
        )));
    }
    if bytes
        .windows(FAULT_MARK.len())
        .any(|window| window == FAULT_MARK)
    {
        return Err(Failure::new(format!(
            "{} contains the fault hook of tests",
            binary.display()
        )));
    }
    let version = output(Command::new(&binary).arg("version"))?;
    println!(
        "{} {} bytes, static, {}",
        binary.display(),
        bytes.len(),
        version.trim()
    );
    Ok(())
}
