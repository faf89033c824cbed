//! One event, one line. Pure.

use std::fmt::Write;
use std::time::Duration;

use hd_actors::events::BatchLine;
use hd_actors::model::report::{Report, ServiceState, StepOutcome, StepReport};

use super::human::{bytes, duration, ms, plural, short};
use super::style::{Style, Tint, one_line, tame};

/// Least width of the names in front of log lines, so that they rarely move.
pub(crate) const PREFIX_MIN: usize = 6;

/// Writes the line of an edit, without what comes after the restart.
pub(crate) fn edit(batch: &BatchLine, style: Style) -> String {
    let mut changed: Vec<String> = batch
        .changed
        .iter()
        .map(|(mark, path)| format!("{mark} {}", style.paint(Tint::Bold, tame(path, false))))
        .collect();
    if batch.more > 0 {
        changed.push(format!("and {} more", batch.more));
    }
    if changed.is_empty() {
        changed.push("~".to_owned());
    }
    let mut line = changed.join(", ");
    let root = batch.root.to_string();
    // Writing to a String cannot fail.
    let _ = write!(line, "   root {} ({})", short(&root), duration(batch.took));
    let _ = write!(line, " · steps {} ran", batch.ran.len());
    if !batch.ran.is_empty() {
        let _ = write!(line, " ({})", batch.ran.join(", "));
    }
    let _ = write!(line, ", {} kept", batch.kept);
    if let Some(step) = &batch.failed {
        let failed = style.paint(Tint::Bad, format!("{step} failed"));
        let _ = write!(line, " · {failed}, the last good state stays");
    }
    if !batch.restarting.is_empty() {
        let _ = write!(line, " · restart {}", batch.restarting.join(", "));
    }
    line
}

/// Writes what follows the line of an edit when its services answer again.
pub(crate) fn answering(after: Option<Duration>) -> String {
    match after {
        Some(after) => format!(" · answering again after {}", duration(after)),
        None => " · answering again".to_owned(),
    }
}

/// Writes the line of a step that begins.
pub(crate) fn step_started(name: &str, command: &str, reason: &str, style: Style) -> String {
    let mut line = format!(
        "{} {name}  {}",
        style.paint(Tint::Name, "▸"),
        one_line(command)
    );
    if !reason.is_empty() {
        let _ = write!(line, "   {}", style.paint(Tint::Dim, tame(reason, false)));
    }
    line
}

/// Writes the line of a step that is done.
pub(crate) fn step_done(step: &StepReport, style: Style) -> String {
    let (mark, word) = match step.result {
        StepOutcome::Ran => (style.paint(Tint::Good, "✓"), "ran in"),
        StepOutcome::Kept => (style.paint(Tint::Dim, "="), "kept,"),
        StepOutcome::Failed => (style.paint(Tint::Bad, "✗"), "failed after"),
    };
    let slug = style.paint(Tint::Dim, format!("({})", step.slug));
    format!("{mark} {} {slug} {word} {}", step.name, ms(step.ms))
}

/// Writes a line of output of a step or a service behind its name.
pub(crate) fn prefixed(name: &str, width: usize, index: usize, line: &str, style: Style) -> String {
    let prefix = format!("{name:<width$} |");
    format!("{} {line}", style.name(index, prefix))
}

/// Gives the mark of a state: its shape tells it without colour.
pub(crate) fn mark(state: ServiceState, style: Style) -> String {
    let (tint, shape) = match state {
        ServiceState::Waiting => (Tint::Dim, "○"),
        ServiceState::Starting => (Tint::Name, "◐"),
        ServiceState::Ready => (Tint::Good, "●"),
        ServiceState::Stopping => (Tint::Dim, "◑"),
        ServiceState::Backoff => (Tint::Warn, "↻"),
        ServiceState::Failed => (Tint::Bad, "✗"),
        ServiceState::Exited => (Tint::Dim, "■"),
    };
    style.paint(tint, shape)
}

/// Gives the word of a state, as in the JSON.
pub(crate) fn word(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Waiting => "waiting",
        ServiceState::Starting => "starting",
        ServiceState::Ready => "ready",
        ServiceState::Stopping => "stopping",
        ServiceState::Backoff => "backoff",
        ServiceState::Failed => "failed",
        ServiceState::Exited => "exited",
    }
}

/// Writes the line of a service that changed its state.
pub(crate) fn service(
    name: &str,
    state: ServiceState,
    reason: &str,
    after: Option<Duration>,
    style: Style,
) -> String {
    let mut line = format!("{} {name} {}", mark(state, style), word(state));
    if let Some(after) = after {
        let _ = write!(line, " after {}", duration(after));
    }
    // A reason may begin with the state itself: "ready", "ready; restarted: its view changed", or
    // "exited with code 0".
    let more = reason.strip_prefix(word(state)).unwrap_or(reason);
    let more = more.strip_prefix("; ").unwrap_or(more);
    if more.starts_with(' ') {
        line.push_str(&tame(more, false));
    } else if !more.is_empty() {
        let _ = write!(line, ": {}", tame(more, false));
    }
    line
}

/// Writes the line of a transfer, with rate and remaining time where they can be known.
pub(crate) fn transfer(what: &str, received: u64, total: u64, since: Duration) -> String {
    let mut line = format!("{what}  {}", bytes(received));
    if total > 0 {
        let _ = write!(line, " of {}", bytes(total));
    }
    let seconds = since.as_secs_f64();
    if seconds > 0.5 && received > 0 {
        let rate = received as f64 / seconds;
        let _ = write!(line, " · {}/s", bytes(rate as u64));
        let left = total.saturating_sub(received) as f64 / rate;
        if total > 0 && left >= 0.5 {
            let _ = write!(
                line,
                " · {} left",
                duration(Duration::from_secs(left.ceil() as u64))
            );
        }
    }
    line
}

/// Writes the line that ends a build.
pub(crate) fn summary(report: &Report, style: Style) -> String {
    let of = |result| {
        report
            .steps
            .iter()
            .filter(|step| step.result == result)
            .count()
    };
    let root = report
        .root
        .as_deref()
        .map_or_else(|| "none".to_owned(), short);
    let mut line = format!(
        "{}   root {root} · steps {} ran, {} kept",
        style.paint(Tint::Bold, &report.name),
        of(StepOutcome::Ran),
        of(StepOutcome::Kept)
    );
    if of(StepOutcome::Failed) > 0 {
        let _ = write!(
            line,
            ", {}",
            style.paint(Tint::Bad, format!("{} failed", of(StepOutcome::Failed)))
        );
    }
    let files = plural(report.files, "file");
    let _ = write!(
        line,
        " · {files}, {} · {}",
        bytes(report.bytes),
        ms(report.ms)
    );
    line
}

#[cfg(test)]
mod tests {
    use hd_store::Id;

    use super::*;

    const PLAIN: fn() -> Style = || Style::new(false);

    fn batch() -> BatchLine {
        let mut root = [0; 32];
        root[..2].copy_from_slice(&[0x3f, 0x9a]);
        BatchLine {
            changed: vec![('~', "app.py".to_owned())],
            more: 0,
            root: Id::from_bytes(root),
            took: Duration::from_micros(800),
            ran: Vec::new(),
            kept: 2,
            restarting: vec!["web".to_owned()],
            failed: None,
        }
    }

    #[test]
    fn an_edit_is_one_line() {
        let line = edit(&batch(), PLAIN()) + &answering(Some(Duration::from_millis(165)));
        let expected = "~ app.py   root 3f9a… (0.8 ms) · steps 0 ran, 2 kept · restart web · answering again after 165 ms";
        assert_eq!(line, expected);
    }

    #[test]
    fn an_edit_of_many_files_that_runs_steps() {
        let batch = BatchLine {
            changed: vec![
                ('~', "a".to_owned()),
                ('+', "b\u{1b}[2J".to_owned()),
                ('-', "c".to_owned()),
            ],
            more: 19_997,
            ran: vec!["step-2".to_owned()],
            kept: 1,
            restarting: Vec::new(),
            failed: Some("step-3".to_owned()),
            ..batch()
        };
        let expected = "~ a, + b, - c, and 19997 more   root 3f9a… (0.8 ms) · steps 1 ran (step-2), 1 kept · step-3 failed, the last good state stays";
        assert_eq!(edit(&batch, PLAIN()), expected);
    }

    #[test]
    fn steps() {
        let started = step_started("step-1", "npm ci", "package-lock.json changed", PLAIN());
        assert_eq!(started, "▸ step-1  npm ci   package-lock.json changed");
        let mut step = StepReport {
            name: "step-1".to_owned(),
            result: StepOutcome::Ran,
            ms: 12_300.0,
            reason: "package-lock.json changed".to_owned(),
            slug: "npm-ci".to_owned(),
            command: "npm ci".to_owned(),
        };
        assert_eq!(step_done(&step, PLAIN()), "✓ step-1 (npm-ci) ran in 12.3 s");
        step.result = StepOutcome::Failed;
        assert_eq!(
            step_done(&step, PLAIN()),
            "✗ step-1 (npm-ci) failed after 12.3 s"
        );
    }

    #[test]
    fn services() {
        let after = Some(Duration::from_millis(165));
        assert_eq!(
            service("web", ServiceState::Ready, "", after, PLAIN()),
            "● web ready after 165 ms"
        );
        assert_eq!(
            service("web", ServiceState::Ready, "ready", after, PLAIN()),
            "● web ready after 165 ms"
        );
        let reason = "ready; restarted: its view changed";
        assert_eq!(
            service("web", ServiceState::Ready, reason, None, PLAIN()),
            "● web ready: restarted: its view changed"
        );
        assert_eq!(
            service(
                "job",
                ServiceState::Exited,
                "exited with code 0",
                after,
                PLAIN()
            ),
            "■ job exited after 165 ms with code 0"
        );
        let failed = service(
            "web",
            ServiceState::Failed,
            "port 5000 is taken",
            None,
            PLAIN(),
        );
        assert_eq!(failed, "✗ web failed: port 5000 is taken");
        assert_eq!(
            prefixed("web", PREFIX_MIN, 0, "* Running", PLAIN()),
            "web    | * Running"
        );
    }

    #[test]
    fn a_transfer_has_rate_and_time_left_once_they_are_known() {
        let at = Duration::from_secs(2);
        let line = transfer("pulling debian:12", 10_000_000, 50_000_000, at);
        assert_eq!(
            line,
            "pulling debian:12  10.0 MB of 50.0 MB · 5.0 MB/s · 8.0 s left"
        );
        assert_eq!(
            transfer("pulling debian:12", 500, 0, Duration::ZERO),
            "pulling debian:12  500 B"
        );
    }

    #[test]
    fn a_build_ends_with_a_summary() {
        let report = Report {
            name: "demo".to_owned(),
            root: Some("3f9a77".to_owned()),
            files: 12,
            bytes: 34_100,
            ms: 45.2,
            ..Report::default()
        };
        let expected = "demo   root 3f9a… · steps 0 ran, 0 kept · 12 files, 34.1 kB · 45 ms";
        assert_eq!(summary(&report, PLAIN()), expected);
    }
}
