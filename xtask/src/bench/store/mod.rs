//! `cargo xtask bench store`: the store, through the real binary, beside its peers.

mod alone;
mod changes;
mod cold;
mod contenders;
mod place;
mod records;
mod report;
mod sets;
pub(super) mod tiny;
mod watch;

use serde_json::{Value, json};

use self::contenders::Contender;
use self::place::{Place, clear};
use self::report::{Row, print_table};
use self::sets::Set;
use super::machine;
use crate::setup;
use crate::shell::{Failure, cargo, run as run_command, target_dir};

pub(super) fn run(args: &[&str]) -> Result<Value, Failure> {
    let options = Options::parse(args)?;
    setup::bench_peers()?;
    run_command(cargo().args(["build", "--release", "--package", "hd-cli"]))?;
    run_command(cargo().args([
        "build",
        "--release",
        "--package",
        "hd-store",
        "--example",
        "read_times",
    ]))?;
    let target = target_dir()?;
    let load_before = machine::load();
    let mut rows = Vec::new();
    for set in &options.sets {
        let project = set.make(&target.join("bench-sets"))?;
        let place = Place::new(&target, project)?;
        let of_set = of_set(*set, &place, &options)?;
        print_table(&of_set);
        rows.extend(of_set);
        // What is left goes before the next set, or run; figures are not lost for it.
        if let Err(failure) = clear(&place.scratch) {
            eprintln!("xtask: {failure}");
        }
    }
    Ok(json!({
        "schema": 1,
        "machine": machine::describe(),
        "load": { "before": load_before, "after": machine::load() },
        "versions": contenders::versions(),
        "runs": options.runs,
        "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
    }))
}

/// All that is measured on one set of files.
fn of_set(set: Set, place: &Place, options: &Options) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    match set {
        Set::Modules | Set::Tiny => {
            rows.extend(cold::measure(set, place, &options.peers, options.runs)?);
            rows.extend(changes::measure(set, place, options.runs)?);
        }
        Set::Root => rows.extend(cold::measure(set, place, &options.peers, options.runs)?),
        Set::Binary | Set::Versions => {
            rows.extend(cold::measure_versions(
                set,
                place,
                &options.peers,
                options.runs,
            )?);
        }
        Set::Million => rows.extend(alone::memory(set, place)?),
    }
    match set {
        Set::Root => {
            rows.extend(alone::reads(set, place)?);
            rows.extend(alone::two_at_once(set, place, options.runs)?);
        }
        Set::Tiny => {
            rows.extend(alone::collection(set, place, options.runs)?);
            rows.extend(watch::measure(set, place)?);
        }
        _ => {}
    }
    Ok(rows)
}

struct Options {
    sets: Vec<Set>,
    runs: usize,
    peers: Vec<&'static Contender>,
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self, Failure> {
        let mut options = Self {
            sets: Set::USUAL.to_vec(),
            runs: 3,
            peers: contenders::ALL.iter().collect(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let value = args
                .next()
                .ok_or_else(|| Failure::new(format!("{arg} takes a value")))?;
            let list = value.split(',');
            match *arg {
                "--set" => options.sets = list.map(Set::named).collect::<Result<_, _>>()?,
                "--peers" => {
                    options.peers = list.map(contenders::named).collect::<Result<_, _>>()?;
                }
                "--runs" => {
                    let runs = value.parse().ok().filter(|runs| *runs > 0);
                    options.runs =
                        runs.ok_or_else(|| Failure::new("--runs takes a number above 0"))?;
                }
                other => return Err(Failure::new(format!("bench store does not know {other}"))),
            }
        }
        Ok(options)
    }
}
