//! The second look: nothing changed, or one file did.

use std::path::{Path, PathBuf};

use super::contenders::git;
use super::place::{Place, settle, write};
use super::records;
use super::report::{Row, Target};
use super::sets::Set;
use crate::bench::usage::measure as measure_command;
use crate::bench::{median, remove_dir};
use crate::shell::{Doing, Failure};

/// Rounds for one run asked for: these commands are short.
const ROUNDS: usize = 5;

/// Whole commands on a set whose files are known: nothing changed, then one edit each time.
pub(super) fn measure(set: Set, place: &Place, runs: usize) -> Result<Vec<Row>, Failure> {
    let home = place.at("hd");
    let mut rows = no_change(set, place, &home, runs * ROUNDS)?;
    rows.extend(edits(set, place, &home, runs * ROUNDS)?);
    Ok(rows)
}

fn no_change(set: Set, place: &Place, home: &Path, rounds: usize) -> Result<Vec<Row>, Failure> {
    remove_dir(&place.at("git"))?;
    for args in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &[
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@localhost",
            "commit",
            "-q",
            "-m",
            "all",
        ],
        // The first one writes what it had to find out into git's index.
        &["status", "--porcelain"],
    ] {
        measure_command(&mut git(place, args))?;
    }
    place.measure_up(home)?;
    place.measure_up(home)?;
    settle()?;
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(place.measure_up(home)?);
        peers.push(measure_command(&mut git(
            place,
            &["status", "--porcelain"],
        ))?);
    }
    let row = |measure: &str, of: fn(&crate::bench::usage::Usage) -> f64, target| Row {
        set,
        measure: measure.to_owned(),
        unit: "ms",
        ours: ours.iter().map(of).collect(),
        peer: Some(("git status".to_owned(), Ok(peers.iter().map(of).collect()))),
        target,
    };
    Ok(vec![
        row(
            "no change, wall",
            |usage| usage.wall_ms,
            Target::Ratio(0.35),
        ),
        row("no change, CPU", |usage| usage.cpu_ms, Target::None),
        Row {
            set,
            measure: "no change, peak memory".into(),
            unit: "MiB",
            ours: ours.iter().map(|usage| usage.rss_mib).collect(),
            peer: None,
            target: Target::Ours(256.0),
        },
    ])
}

/// Edits one file at a time, each followed by a run without a change.
fn edits(set: Set, place: &Place, home: &Path, rounds: usize) -> Result<Vec<Row>, Failure> {
    let files = small_files(&place.project.current, rounds)?;
    let (mut above, mut grown, mut allowed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut edited, mut unchanged) = (Vec::new(), Vec::new());
    for (number, file) in files.iter().enumerate() {
        let before = records::ends(home)?;
        let original = std::fs::read(file).doing(|| format!("reading {}", file.display()))?;
        let mut text = original.clone();
        text.extend_from_slice(format!("\n// edit {number}\n").as_bytes());
        write(file, &text)?;
        let edit = place.measure_up(home)?;
        let new = records::appended(&before, &records::ends(home)?)?;
        grown.push(new.all / 1024.0);
        allowed.push(8.0 + (new.content + new.directories) / 1024.0);
        let none = place.measure_up(home)?;
        edited.push(edit.wall_ms);
        unchanged.push(none.wall_ms);
        above.push(edit.wall_ms - none.wall_ms);
        write(file, &original)?;
        place.measure_up(home)?;
    }
    Ok(vec![
        Row {
            set,
            measure: "one edit, wall above no change".into(),
            unit: "ms",
            ours: above,
            peer: None,
            target: Target::Ours(3.0),
        },
        Row {
            set,
            measure: "one edit, wall".into(),
            unit: "ms",
            ours: edited,
            peer: Some(("hd no change".into(), Ok(unchanged))),
            target: Target::None,
        },
        Row {
            set,
            measure: "one edit, growth".into(),
            unit: "KiB",
            ours: grown,
            peer: None,
            // 8 KiB, the file's own content and the nodes of its directories.
            target: Target::Ours(median(&allowed)),
        },
    ])
}

/// Files of a few KiB in different directories, spread over the whole set.
fn small_files(root: &Path, count: usize) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        let mut chosen = None;
        for entry in std::fs::read_dir(&dir).doing(|| format!("listing {}", dir.display()))? {
            let entry = entry.doing(|| format!("listing {}", dir.display()))?;
            let meta = entry
                .metadata()
                .doing(|| format!("looking at {}", entry.path().display()))?;
            if meta.is_dir() {
                waiting.push(entry.path());
            } else if meta.is_file() && meta.len() < 4096 && entry.file_name() != "hd.toml" {
                chosen = Some(entry.path());
            }
        }
        found.extend(chosen);
    }
    found.sort();
    let step = (found.len() / count.max(1)).max(1);
    Ok(found.into_iter().step_by(step).take(count).collect())
}
