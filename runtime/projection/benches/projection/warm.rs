//! Measures with everything in the caches, and writes.

use std::collections::HashMap;

use serde_json::json;

use crate::environment::Environment;
use crate::report::{Report, Side};
use crate::rounds::Rounds;
use crate::targets::{Set, Target};
use crate::{Failure, Options, work};

/// Measure, work, and whether its argument is the list of files.
const READS: [(&str, &str, Argument); 8] = [
    ("warm-stat-tree", "stat-tree", Argument::None),
    ("warm-stat-paths", "stat-paths", Argument::List),
    ("warm-read-all", "read-all", Argument::List),
    ("warm-scan", "scan", Argument::None),
    ("warm-random-4k", "random", Argument::Largest),
    ("warm-mmap", "mmap", Argument::Largest),
    ("warm-flask", "flask", Argument::None),
    ("warm-node", "node", Argument::None),
];
const WRITES: [&str; 5] = ["create", "rename", "unlink", "fsync", "sequential"];

#[derive(Clone, Copy, Debug)]
enum Argument {
    None,
    List,
    Largest,
}

pub(crate) fn measure(
    environment: &Environment,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let set = &Set::mount(environment, &options.scratch)?;
    for (measure, work, argument) in READS {
        if !options.wants(measure) {
            continue;
        }
        let argument = match argument {
            Argument::None => String::new(),
            Argument::List => environment.list.to_string_lossy().into_owned(),
            Argument::Largest => environment.largest.clone(),
        };
        let targets = set.targets(&options.targets);
        compare(
            set,
            &targets,
            options,
            &[(measure, work)],
            &argument,
            environment,
            report,
        )?;
    }
    let writes: Vec<_> = WRITES.map(|work| (format!("write-{work}"), work)).into();
    let writes: Vec<_> = writes
        .iter()
        .filter(|(measure, _)| options.wants("write") || options.wants(measure))
        .map(|(measure, work)| (measure.as_str(), *work))
        .collect();
    if !writes.is_empty() {
        let targets: Vec<_> = set
            .targets(&options.targets)
            .into_iter()
            .filter(|t| *t != Target::Lower)
            .collect();
        compare(set, &targets, options, &writes, "", environment, report)?;
    }
    let peak = set.server.borrow().peak_bytes()?;
    let requests = set.server.borrow_mut().ask("requests")?;
    report.note(
        "requests for objects, all copies made",
        json!(requests.parse::<u64>()?),
    );
    report.note("server peak, warm (MiB)", json!(peak >> 20));
    Ok(())
}

/// A bench that loses observations measures nothing: a scan looks every entry up.
fn complete(set: &Set, environment: &Environment) -> Result<(), Failure> {
    let observed = set.server.borrow_mut().observed()?;
    if observed < environment.entries {
        let entries = environment.entries;
        return Err(format!("a scan of {entries} entries left {observed} observations").into());
    }
    Ok(())
}

/// Runs pieces of work one after the other on each target, in turn, forward and backward.
fn compare(
    set: &Set,
    targets: &[Target],
    options: &Options,
    pieces: &[(&str, &str)],
    argument: &str,
    environment: &Environment,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut sides: HashMap<(&str, &str), Side> = HashMap::new();
    let first = pieces.first().map_or("", |(measure, _)| *measure);
    for round in Rounds::of(first, options.rounds + 1, options.time) {
        let mut order = targets.to_vec();
        if round % 2 == 1 {
            order.reverse();
        }
        for target in order {
            let path = set.path(target)?;
            for (measure, work) in pieces {
                let ms = work::run(work, &path, argument)?;
                if (target, *work) == (Target::Traced, "scan") {
                    complete(set, environment)?;
                }
                // The first round warms the caches.
                if round > 0 {
                    let name = target.name();
                    let side = sides.entry((measure, name)).or_insert(Side {
                        name,
                        ms: Vec::new(),
                    });
                    side.ms.push(ms);
                }
            }
        }
    }
    for (measure, _) in pieces {
        for target in targets {
            let side = sides.get(&(*measure, target.name()));
            let peer = sides.get(&(*measure, target.peer().name()));
            if let (Some(side), Some(peer)) = (side, peer) {
                report.compare(measure, side, peer);
            }
        }
    }
    Ok(())
}
