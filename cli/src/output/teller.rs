//! Turns events into lines and remembers what runs. Pure: time is a parameter.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use hd_actors::events::Event;
use hd_actors::model::report::{ServiceState, StepOutcome, StepReport};
use hd_actors::step_runner::chain::StepFailure;

use super::human::{count, duration};
use super::lines;
use super::pending::Pending;
use super::style::{Style, Tint, one_line, tame};

/// Lines of a failed step that are shown.
const TAIL: usize = 20;
/// Lines of a running step that are shown live.
const LIVE_TAIL: usize = 8;
/// Time between two lines of a transfer where nothing is shown live.
const PULL_EVERY: Duration = Duration::from_secs(5);

/// A line and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// hd tells what it does.
    Talk(String),
    /// hd tells of a failure: said even when nothing else is.
    Bad(String),
    /// A running step wrote it.
    Step(String),
    /// A failed step wrote it: for those who did not see it as [`Say::Step`].
    Tail(String),
    /// A service wrote it.
    Log(String),
}

/// What is known of the moment.
#[derive(Debug)]
pub(crate) struct Teller {
    style: Style,
    names: Vec<String>,
    steps: BTreeMap<String, RunningStep>,
    /// By what is said of them.
    transfers: BTreeMap<String, Transfer>,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct RunningStep {
    command: String,
    since: Instant,
    tail: VecDeque<String>,
}

#[derive(Debug)]
struct Transfer {
    since: Instant,
    told: Instant,
    received: u64,
    total: u64,
}

impl Teller {
    /// Begins with nothing running; `names` are those of the services.
    pub(crate) fn new(style: Style, names: Vec<String>) -> Self {
        let (steps, transfers) = (BTreeMap::new(), BTreeMap::new());
        Self {
            style,
            names,
            steps,
            transfers,
            pending: None,
        }
    }

    /// Takes an event and gives the lines it is worth.
    pub(crate) fn event(&mut self, event: Event, now: Instant) -> Vec<Say> {
        match event {
            Event::Pulling {
                image,
                received,
                total,
            } => self.transfer(format!("pulling {image}"), received, total, now),
            Event::Exporting {
                target,
                sent,
                total,
            } => self.transfer(format!("exporting {target}"), sent, total, now),
            Event::Pulled { image, digest } => {
                let pull = self.transfers.remove(&format!("pulling {image}"));
                let took = pull.map_or_else(String::new, |pull| {
                    format!(
                        " in {}",
                        duration(now.saturating_duration_since(pull.since))
                    )
                });
                talk(format!("pulled {image}{took}   {digest}"))
            }
            Event::StepStarted {
                name,
                command,
                reason,
            } => {
                let line = lines::step_started(&name, &command, &reason, self.style);
                let tail = VecDeque::with_capacity(LIVE_TAIL);
                self.steps.insert(
                    name,
                    RunningStep {
                        command,
                        since: now,
                        tail,
                    },
                );
                // Where there are live lines, it is one of them.
                vec![Say::Step(line)]
            }
            Event::StepOutput { name, line } => self.step_output(&name, &line),
            Event::StepDone(step) => self.step_done(&step),
            Event::StepFailed(failure) => self.step_failed(&failure),
            Event::Batch(batch) => {
                let mut said = self.flush();
                self.pending = Some(Pending::new(batch, now));
                said.extend(self.tick(now));
                said
            }
            Event::Service {
                name,
                state,
                reason,
                after,
            } => self.service(&name, state, &reason, after, now),
            Event::Log { service, line, .. } => vec![Say::Log(self.prefixed(&service, &line))],
            Event::Invalid(text) => self.invalid(&text),
            Event::Note(text) => talk(format!("{} {text}", self.style.paint(Tint::Warn, "!"))),
        }
    }

    fn invalid(&self, text: &str) -> Vec<Say> {
        let mark = self.style.paint(Tint::Bad, "✗");
        let mut said = talk(format!(
            "{mark} hd.toml is of no use as it is now; all goes on as before"
        ));
        said.extend(text.lines().flat_map(|line| talk(line.to_owned())));
        said
    }

    /// Gives the lines that are due because time has passed.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Say> {
        match &self.pending {
            Some(pending) if pending.complete(now) => self.flush(),
            _ => Vec::new(),
        }
    }

    /// Gives the lines that were held back.
    pub(crate) fn flush(&mut self) -> Vec<Say> {
        let pending = self.pending.take();
        pending.map_or_else(Vec::new, |pending| talk(pending.line(self.style)))
    }

    /// Says how many events were dropped.
    pub(crate) fn dropped(&self, dropped: u64) -> Vec<Say> {
        let text = format!(
            "{} lines not shown here; `hd logs` has them all",
            count(dropped)
        );
        talk(self.style.paint(Tint::Dim, text))
    }

    /// Gives the moment at which [`Teller::tick`] has something to say.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.pending.as_ref().map(Pending::until)
    }

    /// Gives the lines that are true only now, at most `rows`.
    pub(crate) fn live(&self, now: Instant, rows: usize) -> Vec<String> {
        let mut heads = Vec::new();
        for (what, pull) in &self.transfers {
            let since = now.saturating_duration_since(pull.since);
            heads.push((
                lines::transfer(what, pull.received, pull.total, since),
                None,
            ));
        }
        for (name, step) in &self.steps {
            let since = now.saturating_duration_since(step.since);
            let mark = self.style.paint(Tint::Name, "▸");
            let head = format!(
                "{mark} {name}  {}  {}",
                duration(since),
                one_line(&step.command)
            );
            heads.push((head, Some(&step.tail)));
        }
        if let Some(pending) = &self.pending {
            heads.push((pending.line(self.style), None));
        }
        heads.truncate(rows);
        let spare = rows - heads.len();
        let share = spare
            .checked_div(self.steps.len())
            .unwrap_or(0)
            .min(LIVE_TAIL);
        let mut out = Vec::new();
        for (head, tail) in heads {
            out.push(head);
            let tail = tail
                .into_iter()
                .flat_map(|tail| tail.iter().skip(tail.len().saturating_sub(share)));
            out.extend(
                tail.map(|line| format!("  {}", self.style.paint(Tint::Dim, tame(line, false)))),
            );
        }
        out
    }

    fn prefixed(&mut self, name: &str, line: &str) -> String {
        if !self.names.iter().any(|known| known == name) {
            // It came with an edit of the hd.toml.
            self.names.push(name.to_owned());
        }
        let width = self
            .names
            .iter()
            .map(|name| name.len())
            .max()
            .unwrap_or(0)
            .max(lines::PREFIX_MIN);
        let index = self
            .names
            .iter()
            .position(|known| known == name)
            .unwrap_or(0);
        lines::prefixed(
            name,
            width,
            index,
            &tame(line, self.style.colour()),
            self.style,
        )
    }

    fn transfer(&mut self, what: String, received: u64, total: u64, now: Instant) -> Vec<Say> {
        let fresh = !self.transfers.contains_key(&what);
        let pull = self.transfers.entry(what.clone()).or_insert(Transfer {
            since: now,
            told: now,
            received,
            total,
        });
        (pull.received, pull.total) = (received, total);
        if !fresh && now.saturating_duration_since(pull.told) < PULL_EVERY {
            return Vec::new();
        }
        pull.told = now;
        let since = now.saturating_duration_since(pull.since);
        vec![Say::Step(lines::transfer(&what, received, total, since))]
    }

    fn step_output(&mut self, name: &str, line: &str) -> Vec<Say> {
        if let Some(step) = self.steps.get_mut(name) {
            if step.tail.len() == LIVE_TAIL {
                step.tail.pop_front();
            }
            step.tail.push_back(line.to_owned());
        }
        vec![Say::Step(self.prefixed(name, line))]
    }

    fn step_done(&mut self, step: &StepReport) -> Vec<Say> {
        self.steps.remove(&step.name);
        let line = lines::step_done(step, self.style);
        match step.result {
            // The summary counts them.
            StepOutcome::Kept => Vec::new(),
            StepOutcome::Ran => talk(line),
            StepOutcome::Failed => vec![Say::Bad(line)],
        }
    }

    /// The cause and what to do about it.
    fn step_failed(&self, failure: &StepFailure) -> Vec<Say> {
        let tail = failure
            .tail
            .iter()
            .skip(failure.tail.len().saturating_sub(TAIL));
        let tail = tail.map(|line| Say::Tail(format!("    {}", tame(line, self.style.colour()))));
        let end = [
            format!("  {}; all of its output: {}", failure.cause(), failure.log),
            failure.advice.map_or_else(
                || format!("  next: mend it; `hd why {}` says why it ran", failure.step),
                |advice| format!("  next: {advice}"),
            ),
        ];
        tail.chain(end.map(Say::Bad)).collect()
    }

    fn service(
        &mut self,
        name: &str,
        state: ServiceState,
        reason: &str,
        after: Option<Duration>,
        now: Instant,
    ) -> Vec<Say> {
        let held = self
            .pending
            .as_mut()
            .is_some_and(|pending| pending.service(name, state, reason, after));
        if held {
            return self.tick(now);
        }
        let line = lines::service(name, state, reason, after, self.style);
        match state {
            ServiceState::Waiting | ServiceState::Starting | ServiceState::Stopping => Vec::new(),
            ServiceState::Ready | ServiceState::Exited => talk(line),
            ServiceState::Backoff | ServiceState::Failed => vec![Say::Bad(line)],
        }
    }
}

fn talk(line: String) -> Vec<Say> {
    vec![Say::Talk(line)]
}

#[cfg(test)]
#[path = "teller_tests.rs"]
mod tests;
