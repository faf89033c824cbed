//! Rows of a report: hd beside a peer, or why there is no such figure.

use serde_json::{Value, json};

use super::{median, percentile};

/// Builds a row from milliseconds of hd and of a peer.
pub(super) fn compared(measure: &str, peer: &str, ours: &[f64], theirs: &[f64]) -> Value {
    json!({
        "measure": measure,
        "peer": peer,
        "ratio": median(ours) / median(theirs),
        "hd_ms": spread(ours),
        "peer_ms": spread(theirs),
    })
}

/// Builds a row of a peer that could not run.
pub(super) fn absent(measure: &str, peer: &str, why: &str) -> Value {
    json!({ "measure": measure, "peer": peer, "absent": why })
}

/// Builds a row of hd alone, which is to be at most `target`.
pub(super) fn alone(measure: &str, ours: &[f64], target_ms: f64) -> Value {
    json!({
        "measure": measure,
        "hd_ms": spread(ours),
        "target": { "at_most": target_ms },
        "met": median(ours) <= target_ms,
    })
}

/// Median, 95th percentile and all samples.
pub(super) fn spread(samples: &[f64]) -> Value {
    json!({ "median": median(samples), "p95": percentile(samples, 95), "all": samples })
}

/// Prints rows as a table on stderr.
pub(super) fn print_table(rows: &[Value]) {
    eprintln!(
        "\n{:<38} {:>9} {:>9}  {:<30} {:>9} {:>9} {:>8}",
        "measure", "hd ms", "p95", "peer", "p50 ms", "p95", "hd ÷ it"
    );
    for row in rows {
        eprintln!("{}", line(row));
    }
}

fn line(row: &Value) -> String {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    let figure = |side: &str, key: &str| {
        let number = row[side][key].as_f64();
        number.map_or(String::new(), |number| format!("{number:.1}"))
    };
    let start = format!(
        "{:<38} {:>9} {:>9}  {:<30}",
        text("measure"),
        figure("hd_ms", "median"),
        figure("hd_ms", "p95"),
        text("peer"),
    );
    if let Some(why) = row["absent"].as_str() {
        return format!("{start}  cannot run: {why}");
    }
    if let Some(target) = row["target"]["at_most"].as_f64() {
        let met = if row["met"] == true { "met" } else { "MISSED" };
        return format!("{start}  ≤ {target} {met}");
    }
    let ratio = row["ratio"].as_f64().unwrap_or(f64::NAN);
    format!(
        "{start} {:>9} {:>9} {ratio:>8.2}",
        figure("peer_ms", "median"),
        figure("peer_ms", "p95"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_the_ratio_or_why_there_is_none() {
        let row = compared("start", "docker", &[2.0, 1.0, 3.0], &[8.0, 10.0, 9.0]);
        assert!(
            line(&row).ends_with("9.0      10.0     0.22"),
            "{}",
            line(&row)
        );
        let row = absent("start", "docker", "no engine answers");
        assert!(line(&row).ends_with("cannot run: no engine answers"));
        let row = alone("start", &[4.0], 10.0);
        assert!(line(&row).ends_with("≤ 10 met"), "{}", line(&row));
        let row = alone("start", &[14.0], 10.0);
        assert!(line(&row).ends_with("≤ 10 MISSED"), "{}", line(&row));
    }
}
