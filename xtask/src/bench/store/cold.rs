//! Storing everything for the first time, and the next version of it.

use std::collections::BTreeMap;

use super::contenders::{Contender, HD};
use super::place::{Place, Weight, rename, settle, weigh};
use super::report::{Row, Target};
use super::sets::Set;
use crate::bench::usage::{Usage, measure as measure_command};
use crate::shell::Failure;

/// The runs of one contender.
#[derive(Debug, Default)]
struct Runs {
    usages: Vec<Usage>,
    weights: Vec<Weight>,
}

type Table = BTreeMap<&'static str, Result<Runs, String>>;

/// Stores the set from nothing, contenders in turn.
pub(super) fn measure(
    set: Set,
    place: &Place,
    peers: &[&'static Contender],
    runs: usize,
) -> Result<Vec<Row>, Failure> {
    place.warm()?;
    let mut table = Table::new();
    for run in 0..runs {
        for contender in everyone(peers) {
            progress(set, run, contender);
            once(contender, place, &mut table, true)?;
        }
    }
    Ok(cold_rows(set, &table))
}

/// Stores the set from nothing and then, into the same repositories, its next version.
pub(super) fn measure_versions(
    set: Set,
    place: &Place,
    peers: &[&'static Contender],
    runs: usize,
) -> Result<Vec<Row>, Failure> {
    place.warm()?;
    let (mut first, mut second) = (Table::new(), Table::new());
    for run in 0..runs {
        for contender in everyone(peers) {
            progress(set, run, contender);
            once(contender, place, &mut first, true)?;
            swap(place)?;
            let done = once(contender, place, &mut second, false);
            swap(place)?;
            done?;
        }
    }
    let mut rows = cold_rows(set, &first);
    rows.extend(growth_rows(set, &first, &second));
    Ok(rows)
}

fn everyone(peers: &[&'static Contender]) -> Vec<&'static Contender> {
    let others = peers.iter().filter(|peer| peer.name != HD.name);
    std::iter::once(HD).chain(others.copied()).collect()
}

fn progress(set: Set, run: usize, contender: &Contender) {
    eprintln!(
        "xtask: set {} run {} {}",
        set.letter(),
        run + 1,
        contender.name
    );
}

fn once(
    contender: &'static Contender,
    place: &Place,
    table: &mut Table,
    fresh: bool,
) -> Result<(), Failure> {
    if let Some(missing) = contender.missing() {
        table.insert(contender.name, Err(format!("no {missing}")));
        return Ok(());
    }
    if fresh {
        contender.reset(place)?;
    }
    settle()?;
    let usage = measure_command(&mut contender.command(place))?;
    let weight = weigh(&contender.stored(place))?;
    let slot = table
        .entry(contender.name)
        .or_insert_with(|| Ok(Runs::default()));
    if let Ok(runs) = slot {
        runs.usages.push(usage);
        runs.weights.push(weight);
    }
    Ok(())
}

/// Makes the other version the current one.
fn swap(place: &Place) -> Result<(), Failure> {
    let current = place.project.current.join("payload");
    let aside = place.project.next.with_extension("aside");
    rename(&current, &aside)?;
    rename(&place.project.next, &current)?;
    rename(&aside, &place.project.next)
}

fn cold_rows(set: Set, table: &Table) -> Vec<Row> {
    let cpu: fn(&Runs) -> Vec<f64> = |runs| runs.usages.iter().map(|usage| usage.cpu_ms).collect();
    let wall: fn(&Runs) -> Vec<f64> =
        |runs| runs.usages.iter().map(|usage| usage.wall_ms).collect();
    let disk: fn(&Runs) -> Vec<f64> = |runs| {
        runs.weights
            .iter()
            .map(|weight| weight.bytes as f64 / 1e6)
            .collect()
    };
    let disk_target = match set {
        Set::Modules => Target::Ratio(0.95),
        Set::Root => Target::Ratio(1.0),
        Set::Tiny => Target::Ratio(0.7),
        Set::Binary => Target::Ratio(1.1),
        _ => Target::None,
    };
    // The issue sets targets for cold runs of a to d only.
    let small = set == Set::Versions;
    let target = |at_most| {
        if small {
            Target::None
        } else {
            Target::Ratio(at_most)
        }
    };
    let plan = [
        ("cold CPU", "ms", cpu, "tar|zstd-1", target(1.0)),
        ("cold wall", "ms", wall, "tar|zstd-1-T2", target(1.0)),
        ("cold CPU", "ms", cpu, "git", target(0.2)),
        ("cold CPU", "ms", cpu, "restic", target(0.25)),
        ("cold CPU", "ms", cpu, "borg", Target::None),
        ("cold CPU", "ms", cpu, "casync", Target::None),
        ("cold wall", "ms", wall, "git", Target::None),
        ("cold wall", "ms", wall, "restic", Target::None),
        ("cold wall", "ms", wall, "borg", Target::None),
        ("cold wall", "ms", wall, "casync", Target::None),
        ("cold wall", "ms", wall, "cp", Target::None),
        ("cold wall", "ms", wall, "b3sum", Target::None),
        ("disk", "MB", disk, "restic", disk_target),
        ("disk", "MB", disk, "tar|zstd-1", Target::None),
        ("disk", "MB", disk, "borg", Target::None),
        ("disk", "MB", disk, "casync", Target::None),
    ];
    let mut rows: Vec<Row> = plan
        .into_iter()
        .filter_map(|(measure, unit, of, peer, target)| {
            compare(set, measure, unit, of, (table, table), peer, target)
        })
        .collect();
    if let Some(Ok(ours)) = table.get(HD.name) {
        let bytes = ours.weights.last().map_or(0, |weight| weight.bytes);
        rows.push(Row {
            set,
            measure: "files in the store".into(),
            unit: "",
            ours: ours
                .weights
                .iter()
                .map(|weight| weight.files as f64)
                .collect(),
            peer: None,
            // One root lives.
            target: Target::Ours(21.0 + (bytes >> 26) as f64),
        });
        rows.push(Row {
            set,
            measure: "peak memory, cold".into(),
            unit: "MiB",
            ours: ours.usages.iter().map(|usage| usage.rss_mib).collect(),
            peer: None,
            target: Target::Ours(256.0),
        });
    }
    rows
}

fn growth_rows(set: Set, first: &Table, second: &Table) -> Vec<Row> {
    let grown: fn(&Runs) -> Vec<f64> = |runs| {
        runs.weights
            .iter()
            .map(|weight| weight.bytes as f64 / 1e6)
            .collect()
    };
    let wall: fn(&Runs) -> Vec<f64> =
        |runs| runs.usages.iter().map(|usage| usage.wall_ms).collect();
    let grown_by = |name: &str| match (first.get(name)?, second.get(name)?) {
        (Ok(first), Ok(second)) => {
            let pairs = grown(second).into_iter().zip(grown(first));
            Some(Ok(pairs.map(|(after, before)| after - before).collect()))
        }
        (Err(why), _) | (_, Err(why)) => Some(Err(why.clone())),
    };
    let growth = |peer: &str, target| {
        Some(Row {
            set,
            measure: "next version, growth".into(),
            unit: "MB",
            ours: grown_by(HD.name)?.ok()?,
            peer: Some((peer.to_owned(), grown_by(peer)?)),
            target,
        })
    };
    let binary = set == Set::Binary;
    let target = |at_most| {
        if binary {
            Target::Ratio(at_most)
        } else {
            Target::None
        }
    };
    let casync = if binary { 0.15 } else { 1.0 };
    let tables = (second, second);
    let wall = |peer, target| compare(set, "next version, wall", "ms", wall, tables, peer, target);
    let rows = [
        growth("restic", target(0.05)),
        growth("casync", Target::Ratio(casync)),
        growth("borg", Target::None),
        growth("git", Target::None),
        wall("borg", target(0.4)),
        wall("restic", Target::None),
        wall("casync", Target::None),
    ];
    rows.into_iter().flatten().collect()
}

/// A row about hd and one peer; none when either was not asked for.
fn compare(
    set: Set,
    measure: &str,
    unit: &'static str,
    of: fn(&Runs) -> Vec<f64>,
    (ours, theirs): (&Table, &Table),
    peer: &str,
    target: Target,
) -> Option<Row> {
    let ours = ours.get(HD.name)?.as_ref().ok().map(of)?;
    let theirs = match theirs.get(peer)? {
        Ok(runs) => Ok(of(runs)),
        Err(why) => Err(why.clone()),
    };
    Some(Row {
        set,
        measure: measure.to_owned(),
        unit,
        ours,
        peer: Some((peer.to_owned(), theirs)),
        target,
    })
}
