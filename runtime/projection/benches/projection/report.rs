//! Medians, ratios within a round, their interval; a table for people and JSON for the rest.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Failure;
use crate::environment::Environment;

/// All figures of a run.
#[derive(Debug)]
pub(crate) struct Report {
    environment: Value,
    measures: Vec<Value>,
    notes: BTreeMap<String, Value>,
}

/// The times of one side of a measure, in milliseconds, round by round.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) ms: Vec<f64>,
}

impl Report {
    pub(crate) fn new(environment: &Environment) -> Self {
        Self {
            environment: json!({
                "entries": environment.entries,
                "files": environment.files,
                "bytes": environment.bytes,
            }),
            measures: Vec::new(),
            notes: BTreeMap::new(),
        }
    }

    /// Adds one side of a measure against its peer of the same rounds.
    pub(crate) fn compare(&mut self, measure: &str, side: &Side, peer: &Side) {
        let mut ratios: Vec<f64> = side.ms.iter().zip(&peer.ms).map(|(a, b)| a / b).collect();
        ratios.sort_by(f64::total_cmp);
        let (low, high) = interval(&ratios);
        let (ours, theirs) = (median(&side.ms), median(&peer.ms));
        let ratio = median(&ratios);
        eprintln!(
            "{measure:<18} {:<18} {ours:>9.2} ms  {:<18} {theirs:>9.2} ms  {ratio:>5.2}x ({low:.2}-{high:.2})  n={}",
            side.name,
            peer.name,
            ratios.len()
        );
        self.measures.push(json!({
            "measure": measure,
            "target": side.name,
            "ms": { "median": ours, "all": side.ms },
            "peer": peer.name,
            "peer_ms": { "median": theirs },
            "ratio": ratio,
            "ratio_interval": [low, high],
        }));
    }

    /// Adds a figure that has no peer.
    pub(crate) fn note(&mut self, name: &str, value: Value) {
        eprintln!("{name}: {value}");
        self.notes.insert(name.to_owned(), value);
    }

    pub(crate) fn print(&self) -> Result<(), Failure> {
        let load = std::fs::read_to_string("/proc/loadavg")?;
        let report = json!({
            "schema": 1,
            "cpus": std::thread::available_parallelism().map_or(0, usize::from),
            "load": load.split(' ').next(),
            "environment": self.environment,
            "measures": self.measures,
            "notes": self.notes,
        });
        println!("{report:#}");
        Ok(())
    }
}

/// The median; not a number when there is nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A distribution-free interval for the median of sorted values, of at least 95 % from six on:
/// the order statistics n/2 -+ 0.98 sqrt(n) (Conover, Practical Nonparametric Statistics).
fn interval(sorted: &[f64]) -> (f64, f64) {
    let count = sorted.len() as f64;
    let reach = 0.98 * count.sqrt();
    let low = (count / 2.0 - reach).floor().max(0.0) as usize;
    let high = ((count / 2.0 + reach).ceil() as usize).min(sorted.len().saturating_sub(1));
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (at(low), at(high))
}
