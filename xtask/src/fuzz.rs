//! `cargo xtask fuzz`: layers, manifests, references and Dockerfiles, mutated for as long as asked.

use crate::shell::{Failure, cargo, run as run_command};

/// Test binaries that mutate: package and name.
const BINARIES: &[(&str, &str)] = &[("hd-oci", "fuzz"), ("hd-config", "fuzz")];

pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let usage = || Failure::new("usage: cargo xtask fuzz [--minutes N]");
    let minutes: u64 = match args {
        [] => 1,
        ["--minutes", number] => number.parse().map_err(|_| usage())?,
        _ => return Err(usage()),
    };
    for (package, binary) in BINARIES {
        let mut tests = cargo();
        tests.args([
            "test",
            "--quiet",
            "--package",
            package,
            "--test",
            binary,
            "--",
            "--nocapture",
        ]);
        run_command(tests.env("HD_FUZZ_SECONDS", (minutes * 60).to_string()))?;
    }
    Ok(())
}
