//! Turns events into lines and remembers what runs. Pure: time is a parameter.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use hd_actors::events::Event;
use hd_actors::model::instance::InstancePaths;
use hd_actors::model::report::{ServiceState, StepOutcome, StepReport};

use super::human::{count, duration};
use super::lines;
use super::pending::Pending;
use super::style::{Style, Tint, tame};

/// Lines of a failed step that are shown again.
const TAIL: usize = 20;
/// Lines of a running step that are shown live.
const LIVE_TAIL: usize = 8;
/// Time between two lines of a transfer where nothing is shown live.
const PULL_EVERY: Duration = Duration::from_secs(5);

/// What is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shows {
    /// Lines of services.
    pub(crate) logs: bool,
    /// Lines of steps as they come; else they are shown live, or not at all.
    pub(crate) step_output: bool,
    /// Anything but failures.
    pub(crate) talk: bool,
}

/// A line to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// hd speaks.
    Talk(String),
    /// A service speaks.
    Log(String),
}

/// What is known of the moment.
#[derive(Debug)]
pub(crate) struct Teller {
    style: Style,
    shows: Shows,
    names: Vec<String>,
    paths: InstancePaths,
    steps: BTreeMap<String, RunningStep>,
    pulls: BTreeMap<String, Pull>,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct RunningStep {
    command: String,
    since: Instant,
    tail: VecDeque<String>,
}

#[derive(Debug)]
struct Pull {
    since: Instant,
    told: Instant,
    received: u64,
    total: u64,
}

impl Teller {
    /// Begins with nothing running; `names` are those of the services.
    pub(crate) fn new(style: Style, shows: Shows, names: Vec<String>, paths: InstancePaths) -> Self {
        let (steps, pulls) = (BTreeMap::new(), BTreeMap::new());
        Self { style, shows, names, paths, steps, pulls, pending: None }
    }

    /// Takes an event and gives the lines it is worth.
    pub(crate) fn event(&mut self, event: Event, now: Instant) -> Vec<Say> {
        match event {
            Event::Pulling { image, received, total } => self.pulling(image, received, total, now),
            Event::Pulled { image, digest } => {
                let pull = self.pulls.remove(&image);
                let took = pull.map_or_else(String::new, |pull| {
                    format!(" in {}", duration(now.saturating_duration_since(pull.since)))
                });
                self.talk(format!("pulled {image}{took}   {digest}"))
            }
            Event::StepStarted { name, command, reason } => {
                let line = lines::step_started(&name, &command, &reason, self.style);
                let tail = VecDeque::with_capacity(TAIL);
                self.steps.insert(name, RunningStep { command, since: now, tail });
                self.talk(line)
            }
            Event::StepOutput { name, line } => self.step_output(&name, &line),
            Event::StepDone(step) => self.step_done(&step),
            Event::Batch(batch) => {
                let mut said = self.flush();
                self.pending = Some(Pending::new(batch, now));
                said.extend(self.tick(now));
                said
            }
            Event::Service { name, state, reason, after } => self.service(&name, state, &reason, after, now),
            Event::Log { service, line, .. } if self.shows.logs => {
                vec![Say::Log(self.prefixed(&service, &line))]
            }
            Event::Log { .. } => Vec::new(),
            Event::Note(text) => self.talk(format!("{} {text}", self.style.paint(Tint::Warn, "!"))),
        }
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
        pending.map_or_else(Vec::new, |pending| self.talk(pending.line(self.style)))
    }

    /// Says how many events were dropped.
    pub(crate) fn dropped(&self, dropped: u64) -> Vec<Say> {
        let text = format!("{} lines not shown here; `hd logs` has them all", count(dropped));
        self.talk(self.style.paint(Tint::Dim, text))
    }

    /// Gives the moment at which [`Teller::tick`] has something to say.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.pending.as_ref().map(Pending::until)
    }

    /// Gives the lines that are true only now, at most `rows`.
    pub(crate) fn live(&self, now: Instant, rows: usize) -> Vec<String> {
        let mut heads = Vec::new();
        for (image, pull) in &self.pulls {
            let since = now.saturating_duration_since(pull.since);
            heads.push((lines::pulling(image, pull.received, pull.total, since), None));
        }
        for (name, step) in &self.steps {
            let since = now.saturating_duration_since(step.since);
            let mark = self.style.paint(Tint::Name, "▸");
            let head = format!("{mark} {name}  {}  {}", duration(since), tame(&step.command, false));
            heads.push((head, Some(&step.tail)));
        }
        if let Some(pending) = &self.pending {
            heads.push((pending.line(self.style), None));
        }
        heads.truncate(rows);
        let spare = rows - heads.len();
        let share = spare.checked_div(self.steps.len()).unwrap_or(0).min(LIVE_TAIL);
        let mut out = Vec::new();
        for (head, tail) in heads {
            out.push(head);
            let tail = tail.into_iter().flat_map(|tail| tail.iter().skip(tail.len().saturating_sub(share)));
            out.extend(tail.map(|line| format!("  {}", self.style.paint(Tint::Dim, tame(line, false)))));
        }
        out
    }

    fn talk(&self, line: String) -> Vec<Say> {
        if self.shows.talk { vec![Say::Talk(line)] } else { Vec::new() }
    }

    fn prefixed(&self, name: &str, line: &str) -> String {
        let width = self.names.iter().map(|name| name.len()).max().unwrap_or(0).max(lines::PREFIX_MIN);
        let index = self.names.iter().position(|known| known == name).unwrap_or(0);
        lines::prefixed(name, width, index, &tame(line, self.style.colour()), self.style)
    }

    fn pulling(&mut self, image: String, received: u64, total: u64, now: Instant) -> Vec<Say> {
        let fresh = !self.pulls.contains_key(&image);
        let pull = self.pulls.entry(image.clone()).or_insert(Pull { since: now, told: now, received, total });
        (pull.received, pull.total) = (received, total);
        if !fresh && now.saturating_duration_since(pull.told) < PULL_EVERY {
            return Vec::new();
        }
        pull.told = now;
        let since = now.saturating_duration_since(pull.since);
        if self.shows.step_output {
            self.talk(lines::pulling(&image, received, total, since))
        } else {
            Vec::new()
        }
    }

    fn step_output(&mut self, name: &str, line: &str) -> Vec<Say> {
        if let Some(step) = self.steps.get_mut(name) {
            if step.tail.len() == TAIL {
                step.tail.pop_front();
            }
            step.tail.push_back(line.to_owned());
        }
        if self.shows.step_output && self.shows.talk {
            vec![Say::Talk(self.prefixed(name, line))]
        } else {
            Vec::new()
        }
    }

    fn step_done(&mut self, step: &StepReport) -> Vec<Say> {
        let running = self.steps.remove(&step.name);
        let line = lines::step_done(step, self.style);
        match step.result {
            // The summary counts them.
            StepOutcome::Kept => Vec::new(),
            StepOutcome::Ran => self.talk(line),
            StepOutcome::Failed => {
                let mut said = vec![Say::Talk(line)];
                if !self.shows.step_output {
                    let tail = running.map(|step| step.tail).unwrap_or_default();
                    said.extend(tail.iter().map(|line| {
                        Say::Talk(format!("    {}", tame(line, self.style.colour())))
                    }));
                }
                let log = self.paths.step_log(&step.name);
                said.push(Say::Talk(format!("  log: {}", log.display())));
                said.push(Say::Talk(format!("  next: mend it and save; `hd why {}` says why it ran", step.name)));
                said
            }
        }
    }

    fn service(
        &mut self,
        name: &str,
        state: ServiceState,
        reason: &str,
        after: Option<Duration>,
        now: Instant,
    ) -> Vec<Say> {
        let held = self.pending.as_mut().is_some_and(|pending| pending.service(name, state, reason, after));
        if held {
            return self.tick(now);
        }
        let line = lines::service(name, state, reason, after, self.style);
        match state {
            ServiceState::Waiting | ServiceState::Starting | ServiceState::Stopping => Vec::new(),
            ServiceState::Ready | ServiceState::Exited => self.talk(line),
            ServiceState::Backoff | ServiceState::Failed => vec![Say::Talk(line)],
        }
    }
}

#[cfg(test)]
#[path = "teller_tests.rs"]
mod tests;
