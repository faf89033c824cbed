//! `hd cas gc`.

use hd_actors::chunk_store::collect;
use hd_store::GcReport;
use serde_json::{Value, json};

use super::{WAIT, failed, open};
use crate::error::Outcome;
use crate::output::Output;
use crate::output::human::{bytes, count, plural};
use crate::output::style::{Style, Tint};

/// Removes what nothing needs.
pub(super) fn run(dry_run: bool, output: Output) -> Outcome {
    let options = collect::options(WAIT, dry_run);
    let report = collect::collect(&open()?, &options).map_err(|e| failed(&e))?;
    if output.json {
        output.value(&gc_json(&report, dry_run))?;
    } else {
        output.data(&gc_text(&report, dry_run, output.out))?;
    }
    Ok(0)
}

pub(in crate::commands) fn gc_json(report: &GcReport, dry_run: bool) -> Value {
    json!({
        "schema": 1,
        "dry_run": dry_run,
        "roots": report.roots,
        "live_objects": report.live_objects,
        "live_bytes": report.live_bytes,
        "freed_bytes": report.freed_bytes,
        "raw_freed_bytes": report.raw_freed_bytes,
        "segments_removed": report.segments_removed,
        "segments_rewritten": report.segments_rewritten,
        "history_dropped": report.history_dropped,
        "missing": report.missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

pub(in crate::commands) fn gc_text(report: &GcReport, dry_run: bool, style: Style) -> String {
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
    if report.raw_freed_bytes > 0 {
        let raw = bytes(report.raw_freed_bytes);
        text.push_str(&format!("raw   {raw} of copies for views freed\n"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
