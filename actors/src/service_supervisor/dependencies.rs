//! What a service waits for.
//!
//! A batch of edits may restart several services, and their supervisors hear of it one by one. Who does not run
//! could start beside what its dependency was before the batch: on what the last run of a one-shot left, though it
//! runs again. So a dependency counts as missing from the moment a restart was put down for it. The message itself
//! is the mark: it waits in the one place of its port until a supervisor takes it up, which tells its dependants to
//! look again. Hence no mark stays behind, whatever becomes of the supervisor, and no dependant waits for ever:
//!
//! - Messages are merged in that place, so there is one mark, and taking it up removes it.
//! - A supervisor that falls over leaves what it has not taken to its successor. What it had taken is no mark any
//!   more, and a successor tells its dependants to look again when it begins.
//! - The port of a service that is removed goes with it, and who depended on it no longer does.
//! - A notice that is refused because a port is full is not needed: those that wait in it lead to the same look.
//!
//! Two things make it hold. Restarts are put down for dependencies first
//! ([`Directory::restart_all`](super::directory::Directory::restart_all)): who learns of his own finds theirs. And
//! all supervisors share a lane: nobody looks between the moment one takes a restart up and the moment it has
//! published what follows.

use hd_config::{Condition, DependsOn};

use super::board::Standing;
use crate::model::report::ServiceState;

/// Names the first dependency that is not as it is needed, with its state; nothing when all are.
///
/// One `is_due` when it is to start anew and does not know it yet: what it was until now counts no more.
pub(crate) fn missing(
    needs: &[DependsOn],
    standing: impl Fn(&str) -> Option<Standing>,
    is_due: impl Fn(&str) -> bool,
) -> Option<String> {
    needs.iter().find_map(|need| {
        // A name that is no service is refused by the parser.
        let standing = standing(&need.service)?;
        if !is_met(need.condition, &standing) {
            return Some(told(need, &standing));
        }
        is_due(&need.service).then(|| format!("{} (about to start anew)", need.service))
    })
}

fn is_met(condition: Condition, standing: &Standing) -> bool {
    match condition {
        Condition::Started => standing.started,
        // A one-shot that runs is not done, whatever its probe says.
        Condition::Healthy if standing.oneshot => standing.succeeded,
        Condition::Healthy => standing.succeeded || standing.report.state == ServiceState::Ready,
        Condition::Completed => standing.succeeded,
    }
}

fn told(need: &DependsOn, standing: &Standing) -> String {
    let name = &need.service;
    match standing.report.state {
        ServiceState::Failed | ServiceState::Exited => {
            format!("{name}, which failed: {}", standing.report.reason)
        }
        _ if standing.unhealthy => {
            format!("{name}, which is not healthy: {}", standing.report.reason)
        }
        ServiceState::Backoff => format!("{name} ({})", standing.report.reason),
        ServiceState::Waiting => format!("{name} (waiting)"),
        ServiceState::Starting => format!("{name} (starting)"),
        ServiceState::Stopping => format!("{name} (stopping)"),
        ServiceState::Ready => format!("{name} (running)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::ServiceReport;

    fn standing(state: ServiceState, oneshot: bool, reason: &str) -> Standing {
        let report = ServiceReport {
            state,
            reason: reason.to_owned(),
            ..ServiceReport::default()
        };
        Standing {
            report,
            oneshot,
            started: state != ServiceState::Waiting,
            succeeded: state == ServiceState::Exited && reason == "done",
            unhealthy: reason.starts_with("probe"),
            is_due: false,
            is_stopped: false,
        }
    }

    #[test]
    fn conditions() {
        use Condition::{Completed, Healthy, Started};
        use ServiceState as S;
        let cases = [
            (Started, S::Waiting, false, "", Some("db (waiting)")),
            (Started, S::Starting, false, "", None),
            (Started, S::Ready, false, "", None),
            (Started, S::Backoff, false, "exited with code 1", None),
            (Healthy, S::Starting, false, "", Some("db (starting)")),
            (
                Healthy,
                S::Starting,
                false,
                "probe: refused",
                Some("db, which is not healthy: probe: refused"),
            ),
            (Healthy, S::Ready, false, "", None),
            (Healthy, S::Ready, true, "", Some("db (running)")),
            (Healthy, S::Exited, true, "done", None),
            (
                Healthy,
                S::Failed,
                false,
                "killed by signal 9",
                Some("db, which failed: killed by signal 9"),
            ),
            (Completed, S::Ready, false, "", Some("db (running)")),
            (Completed, S::Exited, true, "done", None),
            (
                Completed,
                S::Exited,
                true,
                "stopped",
                Some("db, which failed: stopped"),
            ),
            (
                Completed,
                S::Failed,
                true,
                "exited with code 3",
                Some("db, which failed: exited with code 3"),
            ),
        ];
        for (condition, state, oneshot, reason, expected) in cases {
            let needs = [DependsOn {
                service: "db".to_owned(),
                condition,
            }];
            let missing = missing(
                &needs,
                |_| Some(standing(state, oneshot, reason)),
                |_| false,
            );
            assert_eq!(
                missing.as_deref(),
                expected,
                "{condition:?} {state:?} oneshot {oneshot} {reason}"
            );
        }
    }

    #[test]
    fn what_is_to_start_anew_is_missing_whatever_it_was() {
        let needs = [DependsOn {
            service: "job".to_owned(),
            condition: Condition::Completed,
        }];
        let missing = |state, reason| {
            let standing = standing(state, true, reason);
            missing(&needs, |_| Some(standing.clone()), |name| name == "job")
        };
        let done = missing(ServiceState::Exited, "done");
        assert_eq!(done.as_deref(), Some("job (about to start anew)"));
        let runs = missing(ServiceState::Ready, "");
        assert_eq!(runs.as_deref(), Some("job (running)"));
    }
}
