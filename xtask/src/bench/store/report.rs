//! Rows of figures: ours, a peer's, the ratio, and what it should be.

use serde_json::{Value, json};

use super::sets::Set;
use crate::bench::median;

/// What the ratio, or our own figure where there is no peer, is to be at most.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Ratio(f64),
    Ours(f64),
    /// Only to know.
    None,
}

/// One comparison.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) set: Set,
    pub(super) measure: String,
    pub(super) unit: &'static str,
    pub(super) ours: Vec<f64>,
    /// A peer and its samples, or why there are none.
    pub(super) peer: Option<(String, Result<Vec<f64>, String>)>,
    pub(super) target: Target,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        match &self.peer {
            Some((_, Ok(samples))) => Some(median(&self.ours) / median(samples)),
            _ => None,
        }
    }

    fn met(&self) -> Option<bool> {
        match self.target {
            Target::Ratio(target) => self.ratio().map(|ratio| ratio <= target),
            Target::Ours(target) => Some(median(&self.ours) <= target),
            Target::None => None,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let peer = self.peer.as_ref().map(|(name, samples)| match samples {
            Ok(samples) => json!({ "name": name, "median": median(samples), "all": samples }),
            Err(why) => json!({ "name": name, "absent": why }),
        });
        let target = match self.target {
            Target::Ratio(target) => json!({ "ratio_at_most": target }),
            Target::Ours(target) => json!({ "at_most": target }),
            Target::None => Value::Null,
        };
        json!({
            "set": self.set.letter(),
            "measure": self.measure,
            "unit": self.unit,
            "hd": { "median": median(&self.ours), "all": self.ours },
            "peer": peer,
            "ratio": self.ratio(),
            "target": target,
            "met": self.met(),
        })
    }

    fn to_line(&self) -> String {
        let (name, theirs) = match &self.peer {
            Some((name, Ok(samples))) => (name.as_str(), figure(median(samples))),
            Some((name, Err(why))) => (name.as_str(), why.clone()),
            None => ("", String::new()),
        };
        let ratio = self.ratio().map(|ratio| format!("{ratio:.3}"));
        let target = match self.target {
            Target::Ratio(target) | Target::Ours(target) => format!("≤ {target}"),
            Target::None => String::new(),
        };
        let met = match self.met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        format!(
            "{}  {:<34} {:>10} {:<4} {:<14} {:>10}  {:>7}  {:<8} {met}",
            self.set.letter(),
            self.measure,
            figure(median(&self.ours)),
            self.unit,
            name,
            theirs,
            ratio.unwrap_or_default(),
            target,
        )
    }
}

fn figure(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

pub(super) fn print_table(rows: &[Row]) {
    eprintln!(
        "\n   {:<34} {:>10} {:<4} {:<14} {:>10}  {:>7}  target",
        "measure", "hd", "", "peer", "peer's", "ratio"
    );
    for row in rows {
        eprintln!("{}", row.to_line());
    }
}
