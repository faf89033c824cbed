//! `cargo xtask faults`: the fault suites of the store and the proof of exact steps, at the scale of the gate or in full.

use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::shell::{Doing, Failure, cargo, run as run_command, target_dir};
use crate::test::kept;

/// One suite: a name, where its tests are, and what sets its scale in full.
struct Suite {
    name: &'static str,
    package: &'static str,
    filter: &'static str,
    full: &'static [(&'static str, &'static str)],
}

const SUITES: &[Suite] = &[
    Suite {
        name: "random kills of a cold up",
        package: "hd-integration",
        filter: "test(kill_at_random_moments_of_a_cold_up_costs_nothing)",
        full: &[("HD_TEST_KILLS", "200")],
    },
    Suite {
        name: "kills at a system call, power cuts, full disks, failing calls",
        package: "hd-integration",
        filter: "binary(store_faults)",
        full: &[("HD_TEST_CALL_KILLS", "200"), ("HD_TEST_POWER_CUTS", "50")],
    },
    Suite {
        name: "6 kinds of damage through the binary",
        package: "hd-integration",
        filter: "binary(damage)",
        full: &[("HD_TEST_DAMAGES", "20")],
    },
    Suite {
        name: "6 kinds of damage to each object",
        package: "hd-store",
        filter: "binary(damage)",
        full: &[("HD_TEST_OBJECTS", "200")],
    },
    Suite {
        name: "rounds of writers against collections",
        package: "hd-store",
        filter: "binary(beside)",
        full: &[("HD_TEST_GC_ROUNDS", "100")],
    },
    Suite {
        name: "kept results against fresh ones, random programs",
        package: "hd-integration",
        filter: "binary(differential)",
        full: &[("HD_TEST_PROGRAMS", "10000")],
    },
];

pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let full = match args {
        [] => false,
        ["--full"] => true,
        _ => return Err(Failure::new("usage: cargo xtask faults [--full]")),
    };
    let target = target_dir()?;
    // As the tests build it: another choice of packages would build all of its libraries once more.
    let build = [
        "build",
        "--workspace",
        "--bins",
        "--features",
        "hd-cli/fault",
    ];
    run_command(cargo().args(build))?;
    let hd = kept(&target, "hd", "hd-faults")?;
    let mut results = Vec::new();
    let mut failed = 0;
    for suite in SUITES {
        let began = Instant::now();
        let mut tests = suite.command(full);
        tests.env("HD_BIN", &hd);
        let passed = run_command(&mut tests).is_ok();
        failed += u32::from(!passed);
        let scale: Vec<String> = suite
            .full
            .iter()
            .filter(|_| full)
            .map(|(variable, count)| format!("{variable}={count}"))
            .collect();
        results.push(json!({
            "suite": suite.name,
            "passed": passed,
            "seconds": began.elapsed().as_secs(),
            "scale": scale,
        }));
    }
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let report = json!({ "schema": 1, "full": full, "at": since.as_secs(), "suites": results });
    let file = target.join(if full {
        "faults-full.json"
    } else {
        "faults.json"
    });
    let text = serde_json::to_string_pretty(&report).doing(|| "writing the result".to_owned())?;
    std::fs::write(&file, &text).doing(|| format!("writing {}", file.display()))?;
    println!("{text}");
    eprintln!("xtask: the result is in {}", file.display());
    match failed {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} suites failed"))),
    }
}

impl Suite {
    fn command(&self, full: bool) -> Command {
        let mut tests = cargo();
        tests.args(["nextest", "run", "-p", self.package, "-E", self.filter]);
        tests.args(["--no-fail-fast", "--no-tests", "fail"]);
        // What runs for long in full must not be taken for hanging.
        let config = if full {
            FULL
        } else {
            "integration/nextest.toml"
        };
        tests.args(["--config-file", config]);
        if full {
            tests.envs(self.full.iter().copied());
        }
        tests
    }
}

/// The same without an end to what a test may take.
const FULL: &str = "integration/nextest-full.toml";
