//! `cargo xtask bench`: hd beside peers on the same files in the same run; JSON on stdout.
//!
//! A figure of one machine says little; the ratio to a peer that did comparable work a moment
//! before says more. Runs alternate between all of them, so that a busy machine slows all.

mod dag;
mod kept;
mod live;
mod machine;
mod oci;
mod project;
mod projection;
mod quick;
mod scale;
mod services;
mod store;
mod usage;

use std::path::Path;

use crate::shell::{Doing, Failure};

pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let is_switch = |arg: &&&str| matches!(**arg, "--check" | "--keep");
    let switches: Vec<&str> = args.iter().filter(is_switch).copied().collect();
    let args: Vec<&str> = args.iter().filter(|arg| !is_switch(arg)).copied().collect();
    let (group, rest) = match args.split_first() {
        Some((group, rest)) if GROUPS.contains(group) => (*group, rest),
        _ => ("quick", &args[..]),
    };
    let report = match group {
        "store" => store::run(rest),
        "projection" => projection::run(rest),
        "scale" => scale::run(rest),
        "services" => services::run(rest),
        "dag" => dag::run(rest),
        "oci" => oci::run(rest),
        _ => quick::run(rest),
    }?;
    println!("{report:#}");
    for switch in switches {
        match switch {
            "--keep" => kept::keep(group, &report)?,
            _ => kept::check(group, &report)?,
        }
    }
    Ok(())
}

/// Those with a name; what has none is a quick look.
const GROUPS: [&str; 6] = ["store", "projection", "scale", "services", "dag", "oci"];

/// The median; not a number when there is no sample.
fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Removes a directory that may not be there.
fn remove_dir(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}
