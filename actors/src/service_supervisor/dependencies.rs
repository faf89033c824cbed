//! What a service waits for.

use hd_config::{Condition, DependsOn};

use super::board::Standing;
use crate::model::report::ServiceState;

/// Names the first dependency that is not as it is needed, with its state; nothing when all are.
pub(crate) fn missing(
    needs: &[DependsOn],
    standing: impl Fn(&str) -> Option<Standing>,
) -> Option<String> {
    needs.iter().find_map(|need| {
        // A name that is no service is refused by the parser.
        let standing = standing(&need.service)?;
        (!is_met(need.condition, &standing)).then(|| told(need, &standing))
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
            let missing = missing(&needs, |_| Some(standing(state, oneshot, reason)));
            assert_eq!(
                missing.as_deref(),
                expected,
                "{condition:?} {state:?} oneshot {oneshot} {reason}"
            );
        }
    }
}
