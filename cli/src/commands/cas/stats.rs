//! `hd cas stats`.

use hd_actors::chunk_store::owners::owners;
use hd_dag::StoreLinks;
use hd_store::{Owner, Stats, UsageReport};
use serde_json::{Value, json};

use super::{failed, open};
use crate::error::Outcome;
use crate::output::Output;
use crate::output::human::{bytes, count, plural};
use crate::output::style::{Style, Tint};
use crate::project;

/// What the owners of objects would take without a store, and what is left of that.
#[derive(Clone, Copy, Debug, Default)]
struct Shared {
    /// Bytes of all files of all owners.
    apparent: u64,
    /// Bytes of the distinct chunks among them.
    distinct: u64,
    /// Bytes of the disk.
    total: u64,
}

impl Shared {
    fn of(usage: &UsageReport) -> Self {
        Self {
            apparent: usage.owners.iter().map(|owner| owner.apparent).sum(),
            distinct: usage.distinct,
            total: usage.total,
        }
    }
}

/// Prints sizes and counts.
pub(super) fn run(output: Output) -> Outcome {
    let store = open()?;
    let stats = store.stats().map_err(|e| failed(&e))?;
    let owners = owners(&store, &project::home()?)?;
    let owners: Vec<Owner> = owners.into_iter().map(|(_, owner)| owner).collect();
    let usage = store.usage(&StoreLinks, &owners).map_err(|e| failed(&e))?;
    let shared = Shared::of(&usage);
    if output.json {
        output.value(&stats_json(&stats, &shared))?;
    } else {
        output.data(&stats_text(&stats, &shared, output.out))?;
    }
    Ok(0)
}

fn ratio(of: u64, to: u64) -> Option<f64> {
    (to > 0).then(|| of as f64 / to as f64)
}

fn stats_json(stats: &Stats, shared: &Shared) -> Value {
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
        "disk_bytes": shared.total,
        "apparent_bytes": shared.apparent,
        "unique_bytes": shared.distinct,
        "dedup_ratio": ratio(shared.apparent, shared.distinct),
        "compression_ratio": ratio(stats.raw_bytes, stats.stored_bytes),
    })
}

fn stats_text(stats: &Stats, shared: &Shared, style: Style) -> String {
    let smaller = |of, to| {
        let ratio = ratio(of, to);
        ratio.map_or(String::new(), |ratio| {
            format!(" ({ratio:.1} times smaller)")
        })
    };
    let (compressed, distinct) = (
        smaller(stats.raw_bytes, stats.stored_bytes),
        smaller(shared.apparent, shared.distinct),
    );
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
                "{} as {}{compressed}",
                bytes(stats.raw_bytes),
                bytes(stats.stored_bytes)
            ),
        ),
        (
            "shares",
            format!(
                "{} of files as {}{distinct}",
                bytes(shared.apparent),
                bytes(shared.distinct)
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

#[cfg(test)]
mod tests {
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
        let shared = Shared {
            apparent: 5000,
            distinct: 2500,
            total: 4096,
        };
        let text = stats_text(&stats, &shared, Style::new(false));
        let expected = "on disk  1.2 kB in 2 segments\nholds    3.0 kB as 1.0 kB (3.0 times smaller)\nshares   5.0 kB of files as 2.5 kB (2.0 times smaller)\nblobs    1,234 in 10 chunks\nnodes    0\nresults  0\nroots    0\n";
        assert_eq!(text, expected);
        assert_eq!(stats_json(&stats, &shared)["blobs"], 1234);
        assert_eq!(stats_json(&stats, &shared)["dedup_ratio"], 2.0);
    }
}
