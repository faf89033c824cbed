//! A command beside a service, and what is said of it when the service took it along.
//!
//! It lives in the sandbox of the service: whatever ends that one, a restart for an edit too, kills the command.

use std::time::{Duration, Instant};

use hd_actors::control::protocol::Request;
use hd_actors::model::report::{ServiceReport, ServiceState};
use hd_actors::model::surroundings::Surroundings;
use hd_sandbox::{End, Entered, Record};
use rustix::process::Signal;

use super::command::nowhere;
use super::conduct::{Conductor, Inside};
use crate::client::{PROMPT, pause};
use crate::error::{CliError, Outcome};
use crate::leftovers;
use crate::project::Located;

/// Exit code of a command that was killed.
const KILLED: i32 = 128 + Signal::KILL.as_raw();
/// How long a sandbox may take to end once it kills what is in it.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
/// How long hd may take to say what became of the service.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Pause before it is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// How a service says why it is started anew, before it is and after.
const RESTARTING: &str = "restarting: ";
const RESTARTED: &str = "; restarted: ";

/// A command in the sandbox of a service.
#[derive(Debug)]
pub(super) struct Beside {
    /// The command.
    pub(super) entered: Entered,
    /// The service.
    pub(super) service: String,
    /// Its sandbox.
    pub(super) sandbox: Record,
}

impl Beside {
    /// Stays with the command until it has ended; answers its exit code, or that it was taken along.
    pub(super) fn conduct(mut self, located: &Located, conductor: &Conductor) -> Outcome {
        let terminal = self.entered.take_terminal();
        let status = conductor.until_the_end(Inside::Entered(self.entered), terminal)?;
        let is_killed = status.end == End::Signal(Signal::KILL.as_raw());
        // What is looked at now can be broken off.
        conductor.idle();
        // In a sandbox that lives on it was killed alone: by a person, or for want of memory.
        if !is_killed || !self.sandbox.ends_within(ENDS_WITHIN).unwrap_or(false) {
            return Ok(status.code());
        }
        let fate = fate(located, &self.service, &self.sandbox);
        Err(taken_along(&self.service, fate.as_ref()))
    }
}

/// Asks what became of a service whose sandbox has ended; none when nobody says so.
fn fate(located: &Located, service: &str, ended: &Record) -> Option<ServiceReport> {
    let until = Instant::now() + TOLD_WITHIN;
    while Instant::now() < until {
        let client = leftovers::find(located).ok()??;
        let report = client.report(&Request::Brief, Some(PROMPT)).ok()?;
        let mut services = report.services.into_iter();
        let found = services.find(|one| one.name == service)?;
        if is_told(located, &found, ended) {
            return Some(found);
        }
        pause(AGAIN_AFTER);
    }
    None
}

/// Tells whether a state says what came of the end of a sandbox: that is noticed a moment later.
fn is_told(located: &Located, service: &ServiceReport, ended: &Record) -> bool {
    match service.state {
        // It is not settled yet what it will be.
        ServiceState::Stopping => service.reason.starts_with(RESTARTING),
        ServiceState::Starting | ServiceState::Ready => {
            let now = Surroundings::read(&located.paths.service(&service.name));
            matches!(now, Ok(Some(now)) if now.record != *ended)
        }
        _ => true,
    }
}

fn taken_along(service: &str, fate: Option<&ServiceReport>) -> CliError {
    let reason = fate.map_or("", |fate| fate.reason.as_str());
    let started = reason.split_once(RESTARTED).map(|(_, why)| why);
    let restarted = reason.strip_prefix(RESTARTING).or(started);
    let waits = fate.is_some_and(|fate| fate.state == ServiceState::Waiting);
    let what = match restarted {
        Some(why) => format!("was restarted ({why})"),
        None if waits => format!("was stopped to be started anew ({reason})"),
        None if reason.is_empty() => "ended".to_owned(),
        None => format!("ended ({reason})"),
    };
    let message = format!("`{service}` {what} while the command ran in it, and took it along");
    let error = nowhere(message).at(service).with_exit(KILLED);
    match restarted {
        Some(why) if why.contains(" changed") => error
            .hint("`hd watch pause` holds edits back meanwhile, `hd watch resume` lets them go"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_what_became_of_the_service() {
        for (reason, what, is_edit) in [
            (
                "restarting: a.py changed",
                "was restarted (a.py changed)",
                true,
            ),
            (
                "starting; restarted: a.py changed",
                "was restarted (a.py changed)",
                true,
            ),
            (
                "ready; restarted: asked for",
                "was restarted (asked for)",
                false,
            ),
            ("stopped", "ended (stopped)", false),
            (
                "killed by signal 9; starting again in 100 ms",
                "ended (killed by signal 9; starting again in 100 ms)",
                false,
            ),
            (
                "waiting for db",
                "was stopped to be started anew (waiting for db)",
                false,
            ),
            ("", "ended", false),
        ] {
            let state = match reason {
                "waiting for db" => ServiceState::Waiting,
                _ => ServiceState::Exited,
            };
            let fate = ServiceReport {
                name: "web".to_owned(),
                state,
                reason: reason.to_owned(),
                ..ServiceReport::default()
            };
            let error = taken_along("web", (!reason.is_empty()).then_some(&fate));
            let report = error.report();
            let message = format!("`web` {what} while the command ran in it, and took it along");
            assert_eq!(
                (error.exit(), report.message.as_str()),
                (137, message.as_str())
            );
            assert_eq!(report.hint.contains("hd watch pause"), is_edit, "{reason}");
        }
    }
}
