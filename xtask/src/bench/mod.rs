//! `cargo xtask bench`: hd beside peers on the same files in the same run; JSON on stdout.
//!
//! A figure of one machine says little; the ratio to a peer that did comparable work a moment
//! before says more. Runs alternate between all of them, so that a busy machine slows all.

mod dag;
mod machine;
mod project;
mod projection;
mod quick;
mod scale;
mod store;
mod usage;

use std::path::Path;

use crate::shell::{Doing, Failure};

pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    match args.split_first() {
        Some((&"store", rest)) => store::run(rest),
        Some((&"projection", rest)) => projection::run(rest),
        Some((&"scale", rest)) => scale::run(rest),
        Some((&"dag", rest)) => dag::run(rest),
        _ => quick::run(args),
    }
}

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
