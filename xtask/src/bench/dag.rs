//! `cargo xtask bench dag`: one edit of a Merkle tree beside building the whole tree anew, and how
//! both grow with the number of files.

use serde_json::{Value, json};

use super::{machine, median};
use crate::shell::{Failure, cargo, output, run as run_command, target_dir};

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const ROUNDS: usize = 200;

pub(super) fn run(args: &[&str]) -> Result<Value, Failure> {
    if !args.is_empty() {
        return Err(Failure::new("usage: cargo xtask bench dag"));
    }
    let build = ["build", "--release", "--package", "hd-dag"];
    run_command(cargo().args(build).args(["--example", "edit_times"]))?;
    let program = target_dir()?.join("release/examples/edit_times");
    let load_before = machine::load();
    let mut sizes: Vec<Value> = Vec::new();
    eprintln!("     files   apply µs  × 1,000    diff µs  × 1,000    build ms  build ÷ apply");
    for files in SIZES {
        let mut command = std::process::Command::new(&program);
        let text = output(command.args([files.to_string(), ROUNDS.to_string()]))?;
        let failed = |error| Failure::new(format!("edit_times printed no JSON: {error}"));
        let figures: Value = serde_json::from_str(&text).map_err(failed)?;
        let row = row(files, &figures, sizes.first());
        let of = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
        eprintln!(
            "{files:>10} {:>10.1} {:>8.2} {:>10.1} {:>8.2} {:>11.1} {:>14.0}",
            of("apply_us"),
            of("apply_growth"),
            of("diff_us"),
            of("diff_growth"),
            of("build_us") / 1000.0,
            of("build_over_apply"),
        );
        sizes.push(row);
    }
    Ok(json!({
        "schema": 1,
        "machine": machine::describe(),
        "load": { "before": load_before, "after": machine::load() },
        "rounds": ROUNDS,
        "sizes": sizes,
        "rows": sizes.iter().flat_map(growth).collect::<Vec<_>>(),
    }))
}

/// The growth of a size as rows of ratios; the peer is the smallest tree.
fn growth(size: &Value) -> [Value; 2] {
    ["apply", "diff"].map(|work| {
        let ratio = &size[format!("{work}_growth")];
        json!({
            "measure": format!("{work}, {} files", size["files"]),
            "peer": format!("{} files", SIZES[0]),
            "ratio": ratio,
            "ratio_interval": [ratio, ratio],
        })
    })
}

fn row(files: usize, figures: &Value, first: Option<&Value>) -> Value {
    let middle = |key: &str| {
        let samples = figures[key].as_array().map_or(&[][..], Vec::as_slice);
        median(&samples.iter().filter_map(Value::as_f64).collect::<Vec<_>>())
    };
    let (apply, diff) = (middle("apply_us"), middle("diff_us"));
    let build = figures["build_us"].as_f64().unwrap_or(f64::NAN);
    let growth = |now: f64, key: &str| match first {
        Some(first) => now / first[key].as_f64().unwrap_or(f64::NAN),
        None => 1.0,
    };
    json!({
        "files": files,
        "apply_us": apply,
        "apply_growth": growth(apply, "apply_us"),
        "diff_us": diff,
        "diff_growth": growth(diff, "diff_us"),
        "build_us": build,
        "build_over_apply": build / apply,
    })
}
