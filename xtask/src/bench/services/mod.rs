//! `cargo xtask bench services`: from a save to the new answer over HTTP, beside what people use.
//!
//! Everybody runs the same server, which answers with a word of its own source. A round edits once for
//! each contender, one after the other, so that a busy machine slows all of them.

mod contender;
mod idle;

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use self::contender::{Contender, Sample, start_all};
use super::{machine, median, remove_dir};
use crate::shell::{Doing, Failure, cargo, run as run_command, target_dir};

/// Rounds before those that count: caches are warm then.
const WARM_UP: usize = 3;

pub(crate) fn run(args: &[&str]) -> Result<Value, Failure> {
    let rounds = match args {
        [] => 50,
        ["--rounds", number] => number.parse().doing(|| format!("--rounds {number}"))?,
        _ => return Err(Failure::new("usage: bench services [--rounds N]")),
    };
    run_command(cargo().args(["build", "--quiet", "--release", "-p", "hd-cli"]))?;
    let target = target_dir()?;
    let (hd, scratch) = (target.join("release/hd"), target.join("bench-services"));
    remove_dir(&scratch)?;
    let (mut contenders, absent) = start_all(&hd, &scratch)?;
    let measured = measure(&mut contenders, rounds);
    let beside = measured.and_then(|samples| Ok((samples, idle::measure(&hd, &contenders)?)));
    drop(contenders);
    remove_dir(&scratch)?;
    let (samples, beside) = beside?;
    Ok(report(&samples, &beside, &absent, rounds))
}

type Samples = Vec<(String, Vec<Sample>)>;

fn measure(contenders: &mut [Contender], rounds: usize) -> Result<Samples, Failure> {
    let mut samples: Samples = contenders
        .iter()
        .map(|one| (one.name.to_owned(), Vec::new()))
        .collect();
    for round in 0..WARM_UP + rounds {
        for (contender, (_, samples)) in contenders.iter_mut().zip(&mut samples) {
            let sample = contender.edit(round, Instant::now())?;
            if round >= WARM_UP {
                samples.push(sample);
            }
        }
    }
    Ok(samples)
}

fn report(samples: &Samples, beside: &Value, absent: &[&str], rounds: usize) -> Value {
    let of = |samples: &[Sample], what: fn(&Sample) -> Option<f64>| {
        let values: Vec<f64> = samples.iter().filter_map(what).collect();
        (median(&values), percentile(&values, 95))
    };
    let ours = samples.first().map_or(f64::NAN, |(_, samples)| {
        of(samples, |sample| Some(sample.answer_ms)).0
    });
    eprintln!(
        "{:<24} {:>9} {:>9} {:>12} {:>9}",
        "contender", "p50 ms", "p95 ms", "signalled ms", "hd/it"
    );
    let row = |(name, samples): &(String, Vec<Sample>)| {
        let (p50, p95) = of(samples, |sample| Some(sample.answer_ms));
        let (signalled, signalled_p95) = of(samples, |sample| sample.signal_ms);
        eprintln!(
            "{name:<24} {p50:>9.1} {p95:>9.1} {signalled:>12.1} {:>9.2}",
            ours / p50
        );
        json!({
            "contender": name, "p50_ms": p50, "p95_ms": p95,
            "signalled_p50_ms": signalled, "signalled_p95_ms": signalled_p95,
            "hd_ratio": ours / p50,
        })
    };
    let rows: Vec<Value> = samples.iter().map(row).collect();
    for name in absent {
        eprintln!("{name:<24} is not on this machine");
    }
    json!({
        "bench": "services", "rounds": rounds, "save_to_answer": rows, "hd": beside,
        "absent": absent, "machine": machine::describe(), "load": machine::load(),
    })
}

/// The value below which so many of a hundred lie.
fn percentile(samples: &[f64], of_hundred: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * of_hundred / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Writes a file with everything above it.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(path, text))
        .doing(|| format!("writing {}", path.display()))
}
