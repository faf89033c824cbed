//! `hd cas stats`, `hd cas gc`, `hd cas verify`.

use std::time::Duration;

use hd_actors::chunk_store::collect;
use hd_dag::StoreLinks;
use hd_store::{Damage, GcReport, Repaired, Stats, Store, VerifyOptions, VerifyReport};
use serde_json::{Value, json};

use crate::args::CasVerb;
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;
use crate::output::human::{bytes, count, plural};
use crate::output::style::{Style, Tint};
use crate::project;

/// How long a collection waits for commands that are just at work; one that runs a step is not.
const WAIT: Duration = Duration::from_secs(30);

/// `verify`: something is damaged.
const DAMAGED: i32 = 1;
/// `verify`: it could not be checked.
const UNCHECKED: i32 = 2;

/// Looks after the store.
pub(crate) fn run(verb: &CasVerb, output: Output) -> Outcome {
    match verb {
        CasVerb::Stats => stats(output),
        CasVerb::Gc { dry_run } => gc(*dry_run, output),
        CasVerb::Verify { read_data, repair } => verify(*read_data, *repair, output),
    }
}

fn open() -> Result<Store, CliError> {
    let cas = project::home()?.join("cas");
    std::fs::create_dir_all(&cas).map_err(|e| CliError::io("make", &cas, &e))?;
    Store::open(&cas).map_err(|e| failed(&e).at(cas.display().to_string()))
}

fn failed(error: &hd_store::Error) -> CliError {
    let hint = match error {
        hd_store::Error::Busy { .. } => {
            "try again when the other command is done: it pulls an image or reads a project"
        }
        hd_store::Error::Damaged { .. } => "`hd cas verify` names all that is damaged",
        hd_store::Error::Io { .. } => "HD_HOME names another place for all state",
        _ => "",
    };
    CliError::new("store", exit::INTERNAL, error).hint(hint)
}

fn stats(output: Output) -> Outcome {
    let stats = open()?.stats().map_err(|e| failed(&e))?;
    if output.json {
        output.value(&stats_json(&stats))?;
    } else {
        output.data(&stats_text(&stats, output.out))?;
    }
    Ok(0)
}

fn stats_json(stats: &Stats) -> Value {
    json!({
        "schema": 1,
        "segments": stats.segments,
        "chunks": stats.chunks,
        "blobs": stats.blobs,
        "nodes": stats.nodes,
        "history": stats.history,
        "refs": stats.refs,
        "raw_bytes": stats.raw_bytes,
        "stored_bytes": stats.stored_bytes,
        "file_bytes": stats.file_bytes,
        "live_bytes": stats.live_bytes,
    })
}

fn stats_text(stats: &Stats, style: Style) -> String {
    let ratio = match stats.stored_bytes {
        0 => String::new(),
        stored => format!(
            " ({:.1} times smaller)",
            stats.raw_bytes as f64 / stored as f64
        ),
    };
    let rows = [
        (
            "on disk",
            format!(
                "{} in {}",
                bytes(stats.file_bytes),
                plural(stats.segments, "segment")
            ),
        ),
        (
            "holds",
            format!(
                "{} as {}{ratio}",
                bytes(stats.raw_bytes),
                bytes(stats.stored_bytes)
            ),
        ),
        (
            "blobs",
            format!(
                "{} in {}",
                count(stats.blobs),
                plural(stats.chunks, "chunk")
            ),
        ),
        ("nodes", count(stats.nodes)),
        ("results", count(stats.history)),
        ("roots", count(stats.refs)),
    ];
    let line = |(name, value): &(&str, String)| {
        format!("{} {value}\n", style.paint(Tint::Dim, format!("{name:<8}")))
    };
    let mut text: String = rows.iter().map(line).collect();
    if let Some(live) = stats.live_bytes {
        text.push_str(&line(&("live", bytes(live))));
    }
    text
}

fn gc(dry_run: bool, output: Output) -> Outcome {
    let options = collect::options(WAIT, dry_run);
    let report = collect::collect(&open()?, &options).map_err(|e| failed(&e))?;
    if output.json {
        output.value(&gc_json(&report, dry_run))?;
    } else {
        output.data(&gc_text(&report, dry_run, output.out))?;
    }
    Ok(0)
}

fn gc_json(report: &GcReport, dry_run: bool) -> Value {
    json!({
        "schema": 1,
        "dry_run": dry_run,
        "roots": report.roots,
        "live_objects": report.live_objects,
        "live_bytes": report.live_bytes,
        "freed_bytes": report.freed_bytes,
        "segments_removed": report.segments_removed,
        "segments_rewritten": report.segments_rewritten,
        "history_dropped": report.history_dropped,
        "missing": report.missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn gc_text(report: &GcReport, dry_run: bool, style: Style) -> String {
    let verb = if dry_run { "would free" } else { "freed" };
    let mut text = format!(
        "{verb} {} ({} removed, {} rewritten, {} dropped)\nkept  {} in {}, needed by {}\n",
        bytes(report.freed_bytes),
        plural(report.segments_removed, "segment"),
        count(report.segments_rewritten),
        plural(report.history_dropped, "result"),
        bytes(report.live_bytes),
        plural(report.live_objects, "object"),
        plural(report.roots, "root"),
    );
    if !report.missing.is_empty() {
        let missing = plural(report.missing.len() as u64, "object");
        text.push_str(&style.paint(
            Tint::Bad,
            format!("{missing} missing; `hd cas verify` names them"),
        ));
        text.push('\n');
    }
    text
}

fn verify(read_data: bool, repair: bool, output: Output) -> Outcome {
    let checked = open().and_then(|store| check(&store, read_data, repair).map_err(|e| failed(&e)));
    let repaired = checked.map_err(|e| e.with_exit(UNCHECKED))?;
    let report = &repaired.report;
    if output.json {
        let mut value = verify_json(report);
        if repair {
            value["repaired"] = json!({
                "quarantined": repaired.quarantined,
                "segments_rewritten": repaired.segments_rewritten,
                "segments_left": repaired.segments_left,
            });
        }
        output.value(&value)?;
    } else {
        let mut text = verify_text(report, output.out);
        if repair && !report.damages.is_empty() {
            text.push_str(&repair_text(&repaired));
        }
        output.data(&text)?;
    }
    Ok(if report.damages.is_empty() {
        0
    } else {
        DAMAGED
    })
}

fn check(store: &Store, read_data: bool, repair: bool) -> hd_store::Result<Repaired> {
    if repair {
        return store.repair(&StoreLinks);
    }
    let options = VerifyOptions {
        read_data,
        links: Some(&StoreLinks),
    };
    let report = store.verify(&options)?;
    Ok(Repaired {
        report,
        ..Repaired::default()
    })
}

fn repair_text(repaired: &Repaired) -> String {
    let mut text = format!(
        "repaired: {} out of sight, {} rewritten\n",
        plural(repaired.quarantined, "damaged copy").replace("copys", "copies"),
        plural(repaired.segments_rewritten, "segment"),
    );
    if repaired.segments_left > 0 {
        text.push_str(&format!(
            "{} left as it is, another command writes there: repair again later\n",
            plural(repaired.segments_left, "segment")
        ));
    }
    text
}

fn verify_json(report: &VerifyReport) -> Value {
    let damage = |damage: &Damage| {
        json!({
            "id": damage.id.map(|id| id.to_string()),
            "segment": damage.segment,
            "offset": damage.offset,
            "reason": damage.reason,
            "reached_by": damage.reached_by,
            "has_good_copy": damage.has_good_copy,
        })
    };
    json!({
        "schema": 1,
        "clean": report.damages.is_empty(),
        "records": report.records,
        "objects": report.objects,
        "bytes": report.bytes,
        "damages": report.damages.iter().map(damage).collect::<Vec<_>>(),
    })
}

fn verify_text(report: &VerifyReport, style: Style) -> String {
    let mut text = String::new();
    for damage in &report.damages {
        let id = damage
            .id
            .map_or_else(|| "a record".to_owned(), |id| id.to_string());
        let place = if damage.segment.is_empty() {
            String::new()
        } else {
            format!(" in segment {} at offset {}", damage.segment, damage.offset)
        };
        let copy = if damage.has_good_copy {
            "; a good copy is there"
        } else {
            ""
        };
        let needed = match damage.reached_by.as_slice() {
            [] => String::new(),
            roots => format!("; needed by {}", roots.join(", ")),
        };
        text.push_str(&format!(
            "{} {id}{place}: {}{copy}{needed}\n",
            style.paint(Tint::Bad, "damaged"),
            damage.reason
        ));
    }
    let read = format!(
        "{} in {}",
        plural(report.objects, "object"),
        bytes(report.bytes)
    );
    if report.damages.is_empty() {
        text.push_str(&format!(
            "{}: read {read}\n",
            style.paint(Tint::Good, "clean")
        ));
    } else {
        let damages = plural(report.damages.len() as u64, "damage");
        text.push_str(&format!(
            "{damages} in {read}; `hd build` makes what is missing again\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use hd_store::Id;

    use super::*;

    #[test]
    fn figures_are_for_people() {
        let stats = Stats {
            segments: 2,
            chunks: 10,
            blobs: 1234,
            raw_bytes: 3000,
            stored_bytes: 1000,
            file_bytes: 1200,
            ..Stats::default()
        };
        let text = stats_text(&stats, Style::new(false));
        let expected = "on disk  1.2 kB in 2 segments\nholds    3.0 kB as 1.0 kB (3.0 times smaller)\nblobs    1,234 in 10 chunks\nnodes    0\nresults  0\nroots    0\n";
        assert_eq!(text, expected);
        assert_eq!(stats_json(&stats)["blobs"], 1234);
    }

    #[test]
    fn a_collection_says_what_went_and_what_stays() {
        let report = GcReport {
            freed_bytes: 5_000_000,
            segments_removed: 1,
            roots: 2,
            ..GcReport::default()
        };
        let text = gc_text(&report, true, Style::new(false));
        assert_eq!(
            text.lines().next(),
            Some("would free 5.0 MB (1 segment removed, 0 rewritten, 0 results dropped)")
        );
    }

    #[test]
    fn damage_is_named_with_what_needs_it() {
        let damage = Damage {
            id: Some(Id::from_bytes([0xab; 32])),
            segment: "s1".to_owned(),
            offset: 32,
            reason: "does not match its id".to_owned(),
            reached_by: vec!["instance-a".to_owned()],
            has_good_copy: false,
        };
        let report = VerifyReport {
            damages: vec![damage],
            objects: 3,
            ..VerifyReport::default()
        };
        let text = verify_text(&report, Style::new(false));
        assert!(
            text.contains(
                "in segment s1 at offset 32: does not match its id; needed by instance-a"
            ),
            "{text}"
        );
        assert_eq!(verify_json(&report)["clean"], false);
        assert!(verify_text(&VerifyReport::default(), Style::new(false)).starts_with("clean: "));
    }
}
