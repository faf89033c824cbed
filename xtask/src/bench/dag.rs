//! `cargo xtask bench dag`: one edit of a Merkle tree beside building the whole tree anew, asking
//! whether it touches what a step observed beside looking all of that up again, and how each grows with
//! the number of files.

use serde_json::{Value, json};

use super::{machine, median};
use crate::shell::{Failure, cargo, output, run as run_command, target_dir};

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const ROUNDS: usize = 200;
/// What a diff of one file and the question whether it touches 100,000 observations may take.
const TARGET_US: f64 = 1000.0;
/// What is measured in each tree.
const WORKS: [&str; 3] = ["apply", "diff", "check"];

pub(super) fn run(args: &[&str]) -> Result<Value, Failure> {
    if !args.is_empty() {
        return Err(Failure::new("usage: cargo xtask bench dag"));
    }
    let build = ["build", "--release", "--package", "hd-dag"];
    run_command(cargo().args(build).args(["--example", "edit_times"]))?;
    let program = target_dir()?.join("release/examples/edit_times");
    let load_before = machine::load();
    let mut sizes: Vec<Size> = Vec::new();
    eprintln!(
        "     files  apply µs  × 1,000  diff µs  × 1,000  check µs  build ÷ apply  looking up ÷ check"
    );
    for files in SIZES {
        let mut command = std::process::Command::new(&program);
        let text = output(command.args([files.to_string(), ROUNDS.to_string()]))?;
        let failed = |error| Failure::new(format!("edit_times printed no JSON: {error}"));
        let figures = serde_json::from_str(&text).map_err(failed)?;
        let size = Size { files, figures };
        let first = sizes.first().unwrap_or(&size);
        let growth = |work| median(&size.samples(work)) / median(&first.samples(work));
        eprintln!(
            "{files:>10} {:>9.1} {:>8.2} {:>8.1} {:>8.2} {:>9.2} {:>14.0} {:>19.0}",
            median(&size.samples("apply")),
            growth("apply"),
            median(&size.samples("diff")),
            growth("diff"),
            median(&size.samples("check")),
            size.build_us() / median(&size.samples("apply")),
            median(&size.samples("full_check")) / median(&size.samples("check")),
        );
        sizes.push(size);
    }
    let rows: Vec<Value> = sizes
        .iter()
        .flat_map(|size| size.rows(sizes.first().unwrap_or(size)))
        .collect();
    for row in rows.iter().filter(|row| row["met"] == false) {
        eprintln!("{} MISSED: ≤ {TARGET_US} µs", row["measure"]);
    }
    Ok(json!({
        "schema": 1,
        "machine": machine::describe(),
        "load": { "before": load_before, "after": machine::load() },
        "rounds": ROUNDS,
        "rows": rows,
    }))
}

/// What `edit_times` printed for one tree.
struct Size {
    files: usize,
    figures: Value,
}

impl Size {
    /// Microseconds of every round.
    fn samples(&self, work: &str) -> Vec<f64> {
        let samples = self.figures[format!("{work}_us")].as_array();
        let samples = samples.map_or(&[][..], Vec::as_slice).iter();
        samples.filter_map(Value::as_f64).collect()
    }

    fn build_us(&self) -> f64 {
        self.figures["build_us"].as_f64().unwrap_or(f64::NAN)
    }

    /// Growth beside the smallest tree, each work beside doing it anew, and the target of the check.
    fn rows(&self, first: &Self) -> Vec<Value> {
        let of = |work: &str| (format!("{work}, {} files", self.files), self.samples(work));
        let row = |work: &str, peer: &str, theirs: &[f64]| {
            let (measure, ours) = of(work);
            json!({
                "measure": measure, "unit": "µs",
                "hd": { "median": median(&ours), "all": ours },
                "peer": { "name": peer, "median": median(theirs), "all": theirs },
                "ratio": median(&ours) / median(theirs),
            })
        };
        let mut rows = vec![
            row("apply", "building the tree", &[self.build_us()]),
            row("check", "looking all up again", &self.samples("full_check")),
        ];
        if self.files != first.files {
            let smallest = format!("{} files", first.files);
            rows.extend(WORKS.map(|work| row(work, &smallest, &first.samples(work))));
        }
        let both = self.samples("diff").into_iter().zip(self.samples("check"));
        let both: Vec<f64> = both.map(|(diff, check)| diff + check).collect();
        let observations = &self.figures["observations"];
        rows.push(json!({
            "measure": format!("diff and check of {observations} observations, {} files", self.files),
            "unit": "µs", "hd": { "median": median(&both), "all": both },
            "target": { "at_most": TARGET_US }, "met": median(&both) <= TARGET_US,
        }));
        rows
    }
}
