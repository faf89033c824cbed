//! `cargo xtask bench services`: from a save to the new answer over HTTP, beside what people use.
//!
//! Everybody runs the same program, which answers with a word of its own source. A round edits once for
//! each contender, one after the other, so that a busy machine slows all of them. What runs on this
//! machine's own system is compared with hd there, what runs in an image with hd in that image.

mod ask;
mod candidates;
mod compose;
mod contender;
pub(super) mod sample;

use std::path::Path;

use serde_json::{Value, json};

use self::candidates::Candidate;
pub(super) use self::candidates::registry_answers;
use self::compose::Engine;
use self::contender::{Contender, Ground, Took};
use self::sample::Sample;
use super::row::{absent, compared, print_table, spread};
use super::tools::Tools;
use super::{machine, median, remove_dir};
use crate::setup;
use crate::shell::{Doing, Failure, cargo, run as run_command, target_dir};

/// Rounds before those that count: caches are warm then.
const WARM_UP: usize = 3;
const USAGE: &str = "usage: bench services [--edits N] [--sample node|flask]";

pub(crate) fn run(args: &[&str]) -> Result<Value, Failure> {
    let (mut edits, mut samples) = (20, Sample::ALL.to_vec());
    for pair in args.chunks(2) {
        match pair {
            ["--edits", number] => edits = number.parse().map_err(|_| Failure::new(USAGE))?,
            ["--sample", name] => samples.retain(|sample| sample.name() == *name),
            _ => return Err(Failure::new(USAGE)),
        }
    }
    if edits == 0 || samples.is_empty() {
        return Err(Failure::new(USAGE));
    }
    setup::bench_peers()?;
    run_command(cargo().args(["build", "--quiet", "--release", "-p", "hd-cli"]))?;
    let target = target_dir()?;
    let tools = Tools::ready(&target);
    let (hd, scratch) = (target.join("release/hd"), target.join("bench-services"));
    remove_dir(&scratch)?;
    let load_before = machine::load();
    let (mut rows, mut own) = (Vec::new(), Vec::new());
    for sample in samples {
        let engine = Engine::find(sample, &tools);
        let ground = Ground {
            sample,
            hd: &hd,
            path: &tools.path(),
            engine: &engine,
        };
        candidates::can_run(sample, &tools).map_err(Failure::new)?;
        let all = candidates::all(sample, &tools, &engine);
        let entries = measure(ground, all, &scratch, edits)?;
        let of_sample = rows_of(sample, &entries);
        print_table(&of_sample);
        let ours = entries
            .iter()
            .filter(|entry| entry.is_ours() && entry.took.is_ok());
        own.extend(ours.map(|entry| entry.own(sample)));
        rows.extend(of_sample);
    }
    remove_dir(&scratch)?;
    Ok(json!({
        "schema": 1, "bench": "services", "edits": edits, "rows": rows, "hd": own,
        "machine": machine::describe(), "versions": [tools.versions(), Engine::versions()],
        "load": { "before": load_before, "after": machine::load() },
    }))
}

/// Somebody who took part, or why not.
struct Entry {
    name: String,
    in_image: bool,
    took: Result<Vec<Took>, String>,
    /// All that it needs is here.
    can_run: bool,
}

fn measure(
    ground: Ground<'_>,
    all: Vec<Candidate>,
    scratch: &Path,
    edits: usize,
) -> Result<Vec<Entry>, Failure> {
    let mut running = Vec::new();
    for (
        number,
        Candidate {
            name,
            in_image,
            how,
        },
    ) in all.into_iter().enumerate()
    {
        let directory = scratch.join(format!("{}-{number}", ground.sample.name()));
        let can_run = how.is_ok();
        let started = how.and_then(|how| {
            eprintln!("xtask: starting {name}");
            let started = Contender::start(ground, &how, in_image, directory);
            started.map_err(|failure| failure.to_string())
        });
        let (contender, took) = match started {
            Ok(contender) => (Some(contender), Ok(Vec::new())),
            Err(why) => (None, Err(why)),
        };
        running.push((
            contender,
            Entry {
                name,
                in_image,
                took,
                can_run,
            },
        ));
    }
    for round in 0..WARM_UP + edits {
        let word = format!("word-{round}");
        for (slot, entry) in &mut running {
            let Some(contender) = slot else {
                continue;
            };
            match (contender.edit(&word), &mut entry.took) {
                (Ok(took), Ok(all)) if round >= WARM_UP => all.push(took),
                (Err(failure), _) => {
                    *slot = None;
                    entry.took = Err(failure.to_string());
                }
                _ => {}
            }
        }
    }
    let entries = running
        .into_iter()
        .map(|(_, entry)| entry)
        .collect::<Vec<_>>();
    match entries.iter().find_map(Entry::failure_of_ours) {
        Some(failure) => Err(failure),
        None => Ok(entries),
    }
}

impl Entry {
    fn is_ours(&self) -> bool {
        self.name.starts_with("hd")
    }

    /// What hd failed of where all was there that it needs: no peer is to blame for that.
    fn failure_of_ours(&self) -> Option<Failure> {
        let why = self.took.as_ref().err()?;
        let is_failure = self.is_ours() && self.can_run;
        is_failure.then(|| Failure::new(format!("{}: {why}", self.name)))
    }

    fn answers(&self) -> Option<Vec<f64>> {
        let took = self.took.as_ref().ok()?;
        Some(took.iter().map(|took| took.answer_ms).collect())
    }

    /// What is told of hd alone.
    fn own(&self, sample: Sample) -> Value {
        let took = self.took.as_deref().unwrap_or_default();
        let signals: Vec<f64> = took.iter().filter_map(|took| took.signal_ms).collect();
        let name = format!("{}, {}", self.name, sample.name());
        eprintln!(
            "{name}: restart signalled {:.1} ms after the save",
            median(&signals)
        );
        json!({ "name": name, "signalled_ms": spread(&signals) })
    }
}

/// Each contender beside hd on the same ground.
fn rows_of(sample: Sample, entries: &[Entry]) -> Vec<Value> {
    let row = |peer: &Entry| {
        let ours = entries
            .iter()
            .find(|entry| entry.is_ours() && entry.in_image == peer.in_image);
        let place = if peer.in_image { ", in its image" } else { "" };
        let measure = format!("save to answer, {}{place}", sample.name());
        match (&peer.took, ours.and_then(Entry::answers), peer.answers()) {
            (Err(why), ..) => absent(&measure, &peer.name, why),
            (_, Some(ours), Some(theirs)) => compared(&measure, &peer.name, &ours, &theirs),
            _ => absent(&measure, &peer.name, "hd itself does not run there"),
        }
    };
    // hd in the image is a row of its own only where it has no other: when it cannot run.
    let shown = |entry: &&Entry| !entry.is_ours() || entry.took.is_err();
    entries.iter().filter(shown).map(row).collect()
}

/// Writes a file with everything above it.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(path, text))
        .doing(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hd_that_could_have_run_fails_the_bench() {
        let entry = |name: &str, can_run| Entry {
            name: name.to_owned(),
            in_image: true,
            took: Err("it ended".to_owned()),
            can_run,
        };
        let told = entry("hd in the image", true).failure_of_ours();
        assert_eq!(
            told.map(|it| it.to_string()).as_deref(),
            Some("hd in the image: it ended")
        );
        assert!(entry("hd in the image", false).failure_of_ours().is_none());
        assert!(entry("entr", true).failure_of_ours().is_none());
        let rows = rows_of(Sample::Flask, &[entry("docker-compose restart", true)]);
        assert_eq!(rows[0]["measure"], "save to answer, flask, in its image");
    }
}
