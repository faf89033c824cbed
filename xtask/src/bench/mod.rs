//! `cargo xtask bench`: hd beside peers on the same files in the same run; JSON on stdout.
//!
//! A figure of one machine says little; the ratio to a peer that did comparable work a moment
//! before says more. Runs alternate between all of them, so that a busy machine slows all.
//!
//! `--keep` writes the ratios of a run to `xtask/kept`, `--check` holds them against those that are
//! there, and `--from FILE` takes a report that an earlier run of the group printed.

mod dag;
mod kept;
mod leftovers;
mod live;
mod machine;
mod memory;
mod oci;
mod project;
mod projection;
mod quick;
mod repository;
mod row;
mod running;
mod sandbox;
mod scale;
mod services;
mod status;
mod steps;
mod store;
mod tools;
mod usage;

use std::path::Path;

use serde_json::Value;

use self::kept::Extent;
use crate::shell::{Doing, Failure};

pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let is_switch = |arg: &&&str| matches!(**arg, "--check" | "--keep");
    let switches: Vec<&str> = args.iter().filter(is_switch).copied().collect();
    let args: Vec<&str> = args.iter().filter(|arg| !is_switch(arg)).copied().collect();
    match args.split_first() {
        Some((group, ["--from", file])) => from(group, file, &switches),
        Some((&"all", wanted)) => all(wanted, &switches),
        Some((group, rest)) => match GROUPS.iter().find(|(name, _)| name == group) {
            Some((name, run)) => one(name, *run, rest, &switches),
            None => one("quick", quick::run, &args, &switches),
        },
        None => one("quick", quick::run, &[], &switches),
    }
}

/// Measures, and gives the report.
type Run = fn(&[&str]) -> Result<Value, Failure>;

/// Those with a name; what has none is a quick look.
const GROUPS: [(&str, Run); 10] = [
    ("services", services::run),
    ("sandbox", sandbox::run),
    ("status", status::run),
    ("memory", memory::run),
    ("oci", oci::run),
    ("dag", dag::run),
    ("projection", projection::run),
    ("steps", steps::run),
    ("scale", scale::run),
    ("store", store::run),
];

/// Runs one group, prints its report, and keeps or compares what it found.
fn one(name: &str, run: Run, args: &[&str], switches: &[&str]) -> Result<(), Failure> {
    if switches.contains(&"--check") {
        // Not after minutes of measuring.
        kept::there_is(name)?;
    }
    let report = run(args)?;
    println!("{report:#}");
    let extent = match args.is_empty() {
        true => Extent::Whole,
        false => Extent::Part,
    };
    check_and_keep(name, &report, switches, extent)
}

/// Keeps or compares what an earlier run found.
fn from(group: &str, file: &str, switches: &[&str]) -> Result<(), Failure> {
    let known = GROUPS.iter().map(|(name, _)| *name).chain(["quick"]);
    if !known.into_iter().any(|name| name == group) {
        return Err(Failure::new(format!("no group is called {group}")));
    }
    let text = std::fs::read_to_string(file).doing(|| format!("reading {file}"))?;
    let report = serde_json::from_str(&text).doing(|| format!("reading {file}"))?;
    // What that run was asked for is not known.
    check_and_keep(group, &report, switches, Extent::Part)
}

/// A report is held against what was kept before, not against itself.
fn check_and_keep(
    name: &str,
    report: &Value,
    switches: &[&str],
    extent: Extent,
) -> Result<(), Failure> {
    if switches.contains(&"--check") {
        kept::check(name, report, extent)?;
    }
    if switches.contains(&"--keep") {
        kept::keep(name, report, extent)?;
    }
    Ok(())
}

/// Runs the groups that are wanted, or every one; one that fails does not stop those after it.
fn all(wanted: &[&str], switches: &[&str]) -> Result<(), Failure> {
    let quick: (&str, Run) = ("quick", quick::run);
    let groups = GROUPS.into_iter().chain([quick]);
    let groups: Vec<(&str, Run)> = groups
        .filter(|(name, _)| wanted.is_empty() || wanted.contains(name))
        .collect();
    let unknown = |word: &&&str| !groups.iter().any(|(name, _)| name == *word);
    if let Some(word) = wanted.iter().find(unknown) {
        return Err(Failure::new(format!("no group is called {word}")));
    }
    let mut failures = Vec::new();
    for (name, run) in groups {
        eprintln!("\nxtask: bench {name}");
        if let Err(failure) = one(name, run, &[], switches) {
            eprintln!("xtask: bench {name}: {failure}");
            failures.push(format!("bench {name}: {failure}"));
        }
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(failures.join("\n"))),
    }
}

/// The value below which so many of a hundred lie.
fn percentile(samples: &[f64], of_hundred: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * of_hundred / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// The median; not a number when there is no sample.
fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Removes a directory that may not be there, whatever a killed run has left mounted in it.
fn remove_dir(path: &Path) -> Result<(), Failure> {
    leftovers::detach_below(path)?;
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}
