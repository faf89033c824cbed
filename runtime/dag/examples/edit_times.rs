//! Times of one edit of a tree, of the difference it makes, and of building the same tree from
//! scratch: `edit_times FILES ROUNDS`, one JSON object on stdout. Trees are kept in memory, so that
//! only the work on the tree is measured.
#![expect(clippy::print_stdout, reason = "a command line program")]

use std::time::Instant;

use hd_dag::{Edit, Entry, MemoryTrees, Meta, PathError, Rooted, TreePath, apply, build, diff};
use hd_store::Id;

const FILES_PER_DIRECTORY: usize = 50;
const DIRECTORIES_PER_GROUP: usize = 40;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let usage = "usage: edit_times FILES ROUNDS";
    let (files, rounds) = match (numbers.next(), numbers.next()) {
        (Some(files), Some(rounds)) => (files?.max(1), rounds?.max(1)),
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
    let (mut apply_us, mut diff_us) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Spread over the tree: 7919 is prime to any count of files that is no multiple of it.
        let (next, edited, compared) = edit(&trees, &root, round * 7919 % files, round + 1)?;
        root = next;
        apply_us.push(edited);
        diff_us.push(compared);
    }
    let (apply_us, diff_us) = (list(&apply_us), list(&diff_us));
    println!(
        "{{\"files\":{files},\"build_us\":{build_us:.1},\"apply_us\":{apply_us},\"diff_us\":{diff_us}}}"
    );
    Ok(())
}

/// Edits one file; gives the new root and the time of the edit and of the comparison.
fn edit(
    trees: &MemoryTrees,
    root: &Rooted,
    number: usize,
    version: usize,
) -> Result<(Rooted, f64, f64), Box<dyn std::error::Error>> {
    let put = Edit::Put {
        path: path(number)?,
        entry: entry(number, version),
        mtime_ns: version as i64,
    };
    let started = Instant::now();
    let (next, _) = apply(trees, root, vec![put])?;
    let edited = micros(started);
    let started = Instant::now();
    let changes = diff(trees, &root.tree, &next.tree)?;
    let compared = micros(started);
    assert_eq!(changes.len(), 1, "one file was edited");
    Ok((next, edited, compared))
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
    let times: Vec<String> = times.iter().map(|time| format!("{time:.1}")).collect();
    format!("[{}]", times.join(","))
}
