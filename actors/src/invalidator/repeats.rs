//! Which batches a person hears of: not of a file that something keeps writing to. Pure.
//!
//! A service that logs into the project, or `hd up | tee up.log`, changes the same file over and
//! over; in the second case the line about it is what changes it again.

use std::time::{Duration, Instant};

use crate::events::{BatchLine, Event};

/// Batches further apart than this are told each.
const APART: Duration = Duration::from_secs(3);
/// So many are told before silence.
const TOLD: u32 = 5;

/// The batches told last.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    paths: Vec<String>,
    count: u32,
    last: Option<Instant>,
}

impl Repeats {
    /// Gives what is to be told of a batch: its line, nothing, or its line with a remark that it is
    /// the last for now. Steps may leave other outputs without running: other results were kept.
    pub(super) fn events(
        &mut self,
        line: BatchLine,
        other_outputs: bool,
        now: Instant,
    ) -> Vec<Event> {
        let idle = is_idle(&line) && !other_outputs;
        if line.changed.is_empty() && idle {
            return Vec::new();
        }
        let paths: Vec<String> = line.changed.iter().map(|(_, path)| path.clone()).collect();
        let again = idle
            && paths == self.paths
            && self
                .last
                .is_some_and(|last| now.saturating_duration_since(last) < APART);
        self.count = if again { self.count + 1 } else { 1 };
        self.last = Some(now);
        let events = match self.count {
            ..TOLD => vec![Event::Batch(line)],
            TOLD => vec![Event::Batch(line), Event::Note(remark(&paths))],
            _ => Vec::new(),
        };
        self.paths = paths;
        events
    }
}

/// Nothing ran, failed or is restarted.
fn is_idle(line: &BatchLine) -> bool {
    line.ran.is_empty() && line.restarting.is_empty() && line.failed.is_none()
}

fn remark(paths: &[String]) -> String {
    let list = paths.join(", ");
    let exclude = paths.iter().map(|path| format!("\"{path}\""));
    let exclude = exclude.collect::<Vec<_>>().join(", ");
    format!(
        "{list} keeps changing and concerns nothing here: no more lines about it ([files] exclude = [{exclude}] leaves it out)"
    )
}

#[cfg(test)]
mod tests {
    use hd_store::Id;

    use super::*;

    fn line(path: &str, restarting: &[&str]) -> BatchLine {
        BatchLine {
            changed: vec![('~', path.to_owned())],
            more: 0,
            root: Id::from_bytes([0; 32]),
            took: Duration::ZERO,
            ran: Vec::new(),
            kept: 0,
            restarting: restarting.iter().map(|name| (*name).to_owned()).collect(),
            failed: None,
        }
    }

    #[test]
    fn a_file_that_keeps_changing_falls_silent_until_something_else_does() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let mut told = |path, restarting: &[&str], ms| {
            let now = start + Duration::from_millis(ms);
            repeats.events(line(path, restarting), false, now).len()
        };
        let lines: Vec<_> = (0..8).map(|at| told("up.log", &[], at * 20)).collect();
        assert_eq!(lines, [1, 1, 1, 1, 2, 0, 0, 0]);
        assert_eq!(told("app.py", &[], 200), 1);
        assert_eq!(told("up.log", &[], 220), 1);
    }

    #[test]
    fn what_has_an_effect_or_comes_seldom_is_always_told() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        for at in 0..20 {
            let now = start + Duration::from_millis(at * 20);
            let told = repeats.events(line("app.py", &["web"]), false, now);
            assert_eq!(told.len(), 1);
            let told = repeats.events(line("app.py", &[]), true, now);
            assert_eq!(told.len(), 1, "another result was kept");
        }
        for at in 1..20 {
            let now = start + APART * u32::try_from(at).unwrap();
            assert_eq!(repeats.events(line("notes.md", &[]), false, now).len(), 1);
        }
    }

    #[test]
    fn a_batch_whose_changes_were_told_already_is_not_told_again() {
        let mut empty = line("x", &[]);
        empty.changed.clear();
        let now = Instant::now();
        assert!(Repeats::default().events(empty, false, now).is_empty());
    }
}
