//! What was measured, as it is printed with `--json`. Pure.

use serde::Serialize;

use super::machine::Machine;

/// Version of the JSON object.
pub(super) const SCHEMA: u32 = 1;

/// Everything a run of the demo found out.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Version of this object.
    pub(super) schema: u32,
    /// Name of the project.
    pub(super) project: String,
    /// Image that both sides stand on; none is the machine's own system.
    pub(super) base: Option<String>,
    /// What was asked over HTTP until it answered.
    pub(super) asked: String,
    /// What an edit was, and what counted as its end.
    pub(super) edit: String,
    /// Where it was measured.
    pub(super) machine: Machine,
    /// hd first.
    pub(super) sides: Vec<Side>,
    /// Sides that could not be measured.
    pub(super) missing: Vec<Missing>,
    /// What a reader of the figures should know.
    pub(super) notes: Vec<String>,
}

/// One way to build and run the project.
#[derive(Debug, Serialize)]
pub(super) struct Side {
    /// A short name for the head of a column.
    pub(super) name: String,
    /// The tool with its version.
    pub(super) tool: String,
    /// Those that were measured.
    pub(super) phases: Vec<Phase>,
    /// Disk that one edit took, bytes, the mean of all; none where it cannot be measured.
    pub(super) disk_per_edit: Option<u64>,
}

/// A side that was not measured.
#[derive(Debug, Serialize)]
pub(super) struct Missing {
    /// Which.
    pub(super) side: String,
    /// Why, in one line.
    pub(super) reason: String,
}

impl Missing {
    /// Says why a side is missing.
    pub(super) fn new(side: &str, reason: impl Into<String>) -> Self {
        Self {
            side: side.to_owned(),
            reason: reason.into(),
        }
    }
}

/// What is measured; in the order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// Nothing here yet, to the base image here.
    Base,
    /// Nothing built yet, to the first answer.
    Cold,
    /// A build of what is built already.
    NoChange,
    /// A source file written, to the new answer.
    Edit,
    /// The list of dependencies and a source file written, to the new answer.
    Dependency,
    /// Both put back to what they were before, to the answer of then.
    Back,
    /// A second copy of the project beside the first, from the start of its build to its answer.
    Second,
}

impl What {
    /// All, in the order of the rows.
    pub(super) const ALL: [Self; 7] = [
        Self::Base,
        Self::Cold,
        Self::NoChange,
        Self::Edit,
        Self::Dependency,
        Self::Back,
        Self::Second,
    ];

    /// Gives the head of the row.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Base => "base image",
            Self::Cold => "cold",
            Self::NoChange => "no change",
            Self::Edit => "one edit",
            Self::Dependency => "dependencies",
            Self::Back => "branch and back",
            Self::Second => "second copy",
        }
    }
}

/// The samples of one phase of one side.
#[derive(Debug, Serialize)]
pub(super) struct Phase {
    /// Which.
    pub(super) phase: What,
    /// Each run, in order, milliseconds.
    pub(super) samples_ms: Vec<f64>,
    /// The middle one, or the mean of the two in the middle.
    pub(super) median_ms: f64,
    /// The least.
    pub(super) min_ms: f64,
    /// The most.
    pub(super) max_ms: f64,
    /// The command lines of the first run.
    pub(super) commands: Vec<String>,
}

impl Phase {
    /// Takes samples together; `None` without any.
    pub(super) fn new(phase: What, samples_ms: Vec<f64>, commands: Vec<String>) -> Option<Self> {
        let mut sorted = samples_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let (min_ms, max_ms) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted.len() / 2;
        let lower = (sorted.len() - 1) / 2;
        Some(Self {
            phase,
            samples_ms,
            median_ms: f64::midpoint(sorted[lower], sorted[upper]),
            min_ms,
            max_ms,
            commands,
        })
    }
}

impl Side {
    /// Gives a phase, if it was measured.
    pub(super) fn phase(&self, what: What) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.phase == what)
    }
}

/// Collects the samples of one phase.
#[derive(Debug)]
pub(super) struct Series {
    what: What,
    samples_ms: Vec<f64>,
    commands: Vec<String>,
}

impl Series {
    /// Starts without samples.
    pub(super) fn new(what: What) -> Self {
        Self {
            what,
            samples_ms: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// Adds a sample; the commands of the first are kept.
    pub(super) fn add(&mut self, took: std::time::Duration, commands: Vec<String>) {
        if self.samples_ms.is_empty() {
            self.commands = commands;
        }
        // A tenth of a microsecond says more than any of this can tell.
        let ms = (took.as_secs_f64() * 1e7).round() / 1e4;
        self.samples_ms.push(ms);
    }

    /// Gives what is measured.
    pub(super) fn what(&self) -> What {
        self.what
    }

    /// Takes the samples together.
    pub(super) fn phase(self) -> Option<Phase> {
        Phase::new(self.what, self.samples_ms, self.commands)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let of = |samples: &[f64]| {
            let phase = Phase::new(What::Edit, samples.to_vec(), Vec::new()).unwrap();
            (phase.median_ms, phase.min_ms, phase.max_ms)
        };
        assert_eq!(of(&[7.0]), (7.0, 7.0, 7.0));
        assert_eq!(of(&[9.0, 1.0, 4.0]), (4.0, 1.0, 9.0));
        assert_eq!(of(&[9.0, 1.0, 4.0, 5.0]), (4.5, 1.0, 9.0));
        assert!(Phase::new(What::Edit, Vec::new(), Vec::new()).is_none());
    }

    #[test]
    fn samples_keep_their_order_and_the_first_commands() {
        let mut series = Series::new(What::Cold);
        series.add(Duration::from_micros(2500), vec!["first".to_owned()]);
        series.add(Duration::from_millis(1), vec!["second".to_owned()]);
        let phase = serde_json::to_value(series.phase()).unwrap();
        assert_eq!(phase["phase"], "cold");
        assert_eq!(phase["samples_ms"], serde_json::json!([2.5, 1.0]));
        assert_eq!(phase["commands"], serde_json::json!(["first"]));
    }
}
