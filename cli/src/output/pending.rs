//! The line of an edit, held until its services answer again. Pure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hd_actors::events::BatchLine;
use hd_actors::model::report::ServiceState;

use super::lines;
use super::style::{Style, Tint};

/// A line is printed without the rest when its services take longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A line of which the end is not known yet.
#[derive(Debug)]
pub(crate) struct Pending {
    batch: BatchLine,
    waiting: BTreeSet<String>,
    slowest: Option<Duration>,
    troubles: Vec<String>,
    until: Instant,
}

impl Pending {
    /// Begins to wait for the services that `batch` restarts.
    pub(crate) fn new(batch: BatchLine, now: Instant) -> Self {
        let waiting = batch.restarting.iter().cloned().collect();
        Self {
            batch,
            waiting,
            slowest: None,
            troubles: Vec::new(),
            until: now + PATIENCE,
        }
    }

    /// Takes a change of state; tells whether it belongs to this line.
    pub(crate) fn service(
        &mut self,
        name: &str,
        state: ServiceState,
        reason: &str,
        after: Option<Duration>,
    ) -> bool {
        if !self.waiting.contains(name) {
            return false;
        }
        match state {
            ServiceState::Waiting | ServiceState::Starting | ServiceState::Stopping => return true,
            ServiceState::Ready => self.slowest = self.slowest.max(after),
            ServiceState::Exited | ServiceState::Backoff | ServiceState::Failed => {
                let reason = if reason.is_empty() {
                    String::new()
                } else {
                    format!(": {reason}")
                };
                self.troubles
                    .push(format!("{name} {}{reason}", lines::word(state)));
            }
        }
        self.waiting.remove(name);
        true
    }

    /// Tells whether nothing is waited for (any more).
    pub(crate) fn complete(&self, now: Instant) -> bool {
        self.waiting.is_empty() || now >= self.until
    }

    /// Gives the moment at which the line is printed in any case.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Writes the line as far as it is known.
    pub(crate) fn line(&self, style: Style) -> String {
        let mut line = lines::edit(&self.batch, style);
        for trouble in &self.troubles {
            line.push_str(" · ");
            line.push_str(&style.paint(Tint::Bad, trouble));
        }
        let some_answer = self.troubles.len() < self.batch.restarting.len();
        if self.waiting.is_empty() && some_answer {
            line.push_str(&lines::answering(self.slowest));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use hd_store::Id;

    use super::*;

    fn pending(services: &[&str], now: Instant) -> Pending {
        let batch = BatchLine {
            changed: vec![('~', "app.py".to_owned())],
            more: 0,
            root: Id::from_bytes([0x3f; 32]),
            took: Duration::from_micros(800),
            ran: Vec::new(),
            kept: 2,
            restarting: services.iter().map(|name| (*name).to_owned()).collect(),
            failed: None,
        };
        Pending::new(batch, now)
    }

    fn end(pending: &Pending) -> String {
        let line = pending.line(Style::new(false));
        line.split_once("kept").unwrap().1.to_owned()
    }

    #[test]
    fn the_slowest_service_ends_the_line() {
        let now = Instant::now();
        let mut line = pending(&["a", "b"], now);
        assert!(line.service("a", ServiceState::Stopping, "", None));
        assert!(line.service(
            "a",
            ServiceState::Ready,
            "",
            Some(Duration::from_millis(165))
        ));
        assert!(!line.service("c", ServiceState::Ready, "", None));
        assert!(!line.complete(now));
        assert_eq!(end(&line), " · restart a, b");
        assert!(line.service(
            "b",
            ServiceState::Ready,
            "",
            Some(Duration::from_millis(20))
        ));
        assert!(line.complete(now));
        assert_eq!(end(&line), " · restart a, b · answering again after 165 ms");
        assert!(
            !line.service("b", ServiceState::Ready, "", None),
            "later ones are not its own"
        );
    }

    #[test]
    fn a_service_that_does_not_come_back_is_named() {
        let now = Instant::now();
        let mut line = pending(&["a"], now);
        line.service("a", ServiceState::Backoff, "exit code 1", None);
        assert_eq!(end(&line), " · restart a · a backoff: exit code 1");
    }

    #[test]
    fn patience_has_an_end() {
        let now = Instant::now();
        let line = pending(&["a"], now);
        assert!(!line.complete(now + PATIENCE / 2) && line.complete(line.until()));
        assert_eq!(end(&line), " · restart a");
        assert!(pending(&[], now).complete(now));
    }
}
