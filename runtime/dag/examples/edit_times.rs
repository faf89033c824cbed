//! Times of one edit of a tree, of the difference it makes, of asking whether that touches what a step
//! observed, and of building the same tree from scratch: `edit_times FILES ROUNDS`, one JSON object on
//! stdout. Trees are kept in memory, so that only the work on the tree is measured.
#![expect(clippy::print_stdout, reason = "a command line program")]

use std::time::Instant;

use hd_dag::trace::{Observation, Seen, Trace, TreeWorld, check, touched_by};
use hd_dag::{Edit, Entry, MemoryTrees, Meta, PathError, Rooted, TreePath, apply, build, diff};
use hd_store::Id;

const FILES_PER_DIRECTORY: usize = 50;
const DIRECTORIES_PER_GROUP: usize = 40;
/// What the step observed, whatever the size of the tree.
const OBSERVATIONS: usize = 100_000;
/// How often all of it is looked up again: that takes long.
const FULL_CHECKS: usize = 3;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let usage = "usage: edit_times FILES ROUNDS";
    let (files, rounds) = match (numbers.next(), numbers.next()) {
        (Some(files), Some(rounds)) => (files?.max(2), rounds?.max(1)),
        _ => return Err(usage.into()),
    };
    let trees = MemoryTrees::new();
    let mut all = Vec::with_capacity(files);
    for number in 0..files {
        all.push((path(number)?, entry(number, 0), 0));
    }
    all.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let started = Instant::now();
    let mut root = build(&trees, all)?;
    let build_us = micros(started);
    let trace = trace(files)?;
    let mut times = Times::default();
    for round in 0..rounds {
        // Spread over the tree: 7919 is prime to any count of files that is no multiple of it. Odd
        // ones: nobody observed them.
        let number = (round * 7919 % (files - 1)) | 1;
        root = edit(&trees, &root, &trace, number, round + 1, &mut times)?;
    }
    for _ in 0..FULL_CHECKS {
        let started = Instant::now();
        let verdict = check(&trace, &TreeWorld::new(&trees, root.tree))?;
        times.full_check.push(micros(started));
        assert!(verdict.is_valid(), "no observed file was edited");
    }
    println!(
        "{{\"files\":{files},\"observations\":{},\"build_us\":{build_us:.1},\"apply_us\":{},\"diff_us\":{},\
         \"check_us\":{},\"full_check_us\":{}}}",
        trace.len(),
        list(&times.apply),
        list(&times.diff),
        list(&times.check),
        list(&times.full_check),
    );
    Ok(())
}

/// Microseconds of every round.
#[derive(Default)]
struct Times {
    apply: Vec<f64>,
    diff: Vec<f64>,
    check: Vec<f64>,
    full_check: Vec<f64>,
}

/// Edits one file and gives the new root.
fn edit(
    trees: &MemoryTrees,
    root: &Rooted,
    trace: &Trace,
    number: usize,
    version: usize,
    times: &mut Times,
) -> Result<Rooted, Failure> {
    let put = Edit::Put {
        path: path(number)?,
        entry: entry(number, version),
        mtime_ns: version as i64,
    };
    let started = Instant::now();
    let (next, _) = apply(trees, root, vec![put])?;
    times.apply.push(micros(started));
    let started = Instant::now();
    let changes = diff(trees, &root.tree, &next.tree)?;
    times.diff.push(micros(started));
    assert_eq!(changes.len(), 1, "one file was edited");
    let started = Instant::now();
    let touched = touched_by(trace, &changes);
    times.check.push(micros(started));
    assert_eq!(touched, None, "the edited file was not observed");
    Ok(next)
}

/// Every second file as a step saw it, then names that are not there.
fn trace(files: usize) -> Result<Trace, Failure> {
    let mut trace = Trace::new();
    for number in (0..files).step_by(2).take(OBSERVATIONS) {
        let seen = Seen::of(Some(&entry(number, 0)));
        trace.record(path(number)?, Observation::Lookup(seen));
    }
    for number in trace.len()..OBSERVATIONS {
        let absent = format!("group-0000/dir-00000/absent-{number:07}").parse()?;
        trace.record(absent, Observation::Lookup(Seen::Absent));
    }
    Ok(trace)
}

fn path(number: usize) -> Result<TreePath, PathError> {
    let directory = number / FILES_PER_DIRECTORY;
    let group = directory / DIRECTORIES_PER_GROUP;
    let text = format!("group-{group:04}/dir-{directory:05}/file-{number:07}.rs");
    text.parse()
}

fn entry(number: usize, version: usize) -> Entry {
    let content = format!("{number} {version}");
    Entry::regular(
        Meta::new(0o644),
        Id::of(content.as_bytes()),
        content.len() as u64,
    )
}

fn micros(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e6
}

fn list(times: &[f64]) -> String {
    let times: Vec<String> = times.iter().map(|time| format!("{time:.2}")).collect();
    format!("[{}]", times.join(","))
}
