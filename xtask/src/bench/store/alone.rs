//! What no peer does in a comparable way: collections, reads by id, memory, two at once.

use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::place::{Place, make_dir, rename, settle};
use super::report::{Row, Target};
use super::sets::Set;
use crate::bench::remove_dir;
use crate::bench::usage::measure as measure_command;
use crate::shell::{Doing, Failure, output, shown};

/// Which half of the directories goes away.
#[derive(Clone, Copy)]
enum Half {
    /// Those that come last: what lies in a segment side by side lives or dies together.
    Last,
    /// Every second one: of nearly each record one half lives, so that all is packed anew.
    EverySecond,
}

/// Collections after half of the files went away.
pub(super) fn collection(set: Set, place: &Place, runs: usize) -> Result<Vec<Row>, Failure> {
    [
        (Half::Last, "hd cas gc of the last half"),
        (
            Half::EverySecond,
            "hd cas gc of half, every second directory",
        ),
    ]
    .into_iter()
    .map(|(half, measure)| {
        let ours = collections(place, half, runs)?;
        Ok(Row {
            set,
            measure: measure.into(),
            unit: "ms",
            ours,
            peer: None,
            target: Target::Ours(200.0),
        })
    })
    .collect()
}

fn collections(place: &Place, half: Half, runs: usize) -> Result<Vec<f64>, Failure> {
    let (home, aside) = (place.at("hd-gc"), place.at("aside"));
    let mut walls = Vec::new();
    for _ in 0..runs {
        remove_dir(&home)?;
        place.measure_up(&home)?;
        move_half(place, half, &aside)?;
        let halved = place.measure_up(&home);
        let collected = halved.and_then(|_| {
            settle()?;
            let mut gc = Command::new(&place.hd);
            gc.args(["cas", "gc"]).env("HD_HOME", &home);
            measure_command(gc.current_dir(&place.project.current))
        });
        move_back(place, &aside)?;
        walls.push(collected?.wall_ms);
    }
    remove_dir(&home)?;
    Ok(walls)
}

/// Takes one half of the directories out of the project.
fn move_half(place: &Place, half: Half, aside: &std::path::Path) -> Result<(), Failure> {
    make_dir(aside)?;
    let doing = || "listing the project".to_owned();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&place.project.current).doing(doing)? {
        let entry = entry.doing(doing)?;
        if entry.path().is_dir() {
            names.push(entry.file_name());
        }
    }
    names.sort();
    let (first, step) = match half {
        Half::Last => (names.len() / 2, 1),
        Half::EverySecond => (0, 2),
    };
    for name in names.iter().skip(first).step_by(step) {
        rename(&place.project.current.join(name), &aside.join(name))?;
    }
    Ok(())
}

fn move_back(place: &Place, aside: &std::path::Path) -> Result<(), Failure> {
    let doing = || format!("listing {}", aside.display());
    for entry in std::fs::read_dir(aside).doing(doing)? {
        let entry = entry.doing(doing)?;
        rename(
            &entry.path(),
            &place.project.current.join(entry.file_name()),
        )?;
    }
    Ok(())
}

/// Random reads through the store library, all verified, with the store in the page cache.
pub(super) fn reads(set: Set, place: &Place) -> Result<Vec<Row>, Failure> {
    let mut program = Command::new(&place.read_times);
    program.arg(place.at("reads")).arg(&place.project.current);
    let said = output(&mut program)?;
    let times: Value =
        serde_json::from_str(&said).doing(|| "reading what read_times said".into())?;
    // A set may have nothing of a kind.
    let row = |(measure, key, target): (&str, &str, f64)| {
        Some(Row {
            set,
            measure: measure.to_owned(),
            unit: "µs",
            ours: vec![times[key]["p50_us"].as_f64()?],
            peer: None,
            target: Target::Ours(target),
        })
    };
    let rows = [
        ("random read, chunk of 12–20 KiB, p50", "chunk", 20.0),
        ("random read, small file, cold, p50", "small_cold", 70.0),
        ("random read, small file, cached, p50", "small_cached", 3.0),
    ];
    Ok(rows.into_iter().filter_map(row).collect())
}

/// Two projects into one new store at the same time, against one after the other.
pub(super) fn two_at_once(set: Set, place: &Place, runs: usize) -> Result<Vec<Row>, Failure> {
    let sets = place.project.current.join("../..");
    let other = Set::Modules.make(&sets)?;
    let (mut together, mut apart) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let projects = [&place.project.current, &other.current];
        let (alone_home, home) = (place.at("alone"), place.at("together"));
        remove_dir(&alone_home)?;
        remove_dir(&home)?;
        let up = |project: &std::path::Path, home: &std::path::Path| {
            let mut command = place.up_once(home);
            command
                .current_dir(project)
                .stdin(Stdio::null())
                .stdout(Stdio::piped());
            command
        };
        settle()?;
        let start = Instant::now();
        let mut roots_apart = Vec::new();
        for project in projects {
            roots_apart.push(root_of(&output(&mut up(project, &alone_home))?)?);
        }
        apart.push(start.elapsed().as_secs_f64() * 1000.0);
        settle()?;
        let start = Instant::now();
        let mut children = Vec::new();
        for project in projects {
            let mut command = up(project, &home);
            children.push(command.spawn().doing(|| shown(&command))?);
        }
        let mut roots_together = Vec::new();
        for child in children {
            let out = child.wait_with_output().doing(|| "waiting for hd".into())?;
            roots_together.push(root_of(&String::from_utf8_lossy(&out.stdout))?);
        }
        together.push(start.elapsed().as_secs_f64() * 1000.0);
        if roots_apart != roots_together {
            return Err(Failure::new(format!(
                "two hd at once gave other roots: {roots_together:?}, alone {roots_apart:?}"
            )));
        }
    }
    Ok(vec![Row {
        set,
        measure: "two hd up at once, a and b".into(),
        unit: "ms",
        ours: together,
        peer: Some(("one by one".to_owned(), Ok(apart))),
        target: Target::Ratio(1.05),
    }])
}

fn root_of(said: &str) -> Result<String, Failure> {
    let value: Value = serde_json::from_str(said).doing(|| "reading what hd said".into())?;
    let root = value["root"].as_str().map(str::to_owned);
    root.ok_or_else(|| Failure::new("hd told no root"))
}

/// How much memory a huge project takes.
pub(super) fn memory(set: Set, place: &Place) -> Result<Vec<Row>, Failure> {
    let home = place.at("hd");
    let row = |measure: &str, unit, ours, target| Row {
        set,
        measure: measure.to_owned(),
        unit,
        ours: vec![ours],
        peer: None,
        target,
    };
    let cold = place.measure_up(&home)?;
    let again = place.measure_up(&home)?;
    Ok(vec![
        row(
            "peak memory, cold",
            "MiB",
            cold.rss_mib,
            Target::Ours(600.0),
        ),
        row(
            "peak memory, no change",
            "MiB",
            again.rss_mib,
            Target::Ours(600.0),
        ),
        row("cold wall", "ms", cold.wall_ms, Target::None),
        row("no change, wall", "ms", again.wall_ms, Target::None),
    ])
}
