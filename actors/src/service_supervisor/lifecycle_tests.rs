//! Tables for the life of a service.

use std::time::{Duration, Instant};

use hd_config::RestartPolicy;

use super::lifecycle::{Action, Input, Lifecycle, Rules};
use crate::messages::Ended;
use crate::model::report::ServiceState as S;

fn rules(policy: RestartPolicy, oneshot: bool) -> Rules {
    Rules {
        policy,
        oneshot,
        grace: Duration::from_secs(5),
        delay_min: Duration::from_millis(100),
        delay_max: Duration::from_secs(2),
        reset_after: Duration::from_secs(10),
        crashes_max: 4,
    }
}

fn running(policy: RestartPolicy, oneshot: bool, now: Instant) -> Lifecycle {
    let mut life = Lifecycle::new(rules(policy, oneshot));
    assert_eq!(life.on(Input::Start, now), None, "its dependencies are not met");
    assert_eq!(life.state(), S::Waiting);
    assert_eq!(life.on(Input::DependenciesMet, now), Some(Action::Spawn));
    life.on(Input::Spawned, now);
    life.on(Input::Healthy, now);
    assert_eq!(life.state(), S::Ready);
    life
}

#[test]
fn what_follows_an_end_is_the_policy() {
    use RestartPolicy::{Always, Never, OnFailure};
    let cases = [
        (Always, false, Ended::Code(0), S::Backoff),
        (Always, false, Ended::Signal(9), S::Backoff),
        (OnFailure, false, Ended::Code(0), S::Exited),
        (OnFailure, false, Ended::Code(1), S::Backoff),
        (Never, false, Ended::Code(0), S::Exited),
        (Never, false, Ended::Code(3), S::Failed),
        (Always, true, Ended::Code(0), S::Exited),
        (Always, true, Ended::Code(1), S::Failed),
        (OnFailure, true, Ended::Code(1), S::Backoff),
    ];
    for (policy, oneshot, ended, state) in cases {
        let now = Instant::now();
        let mut life = running(policy, oneshot, now);
        assert_eq!(life.on(Input::Ended(ended), now), None);
        assert_eq!(life.state(), state, "{policy:?} oneshot {oneshot} {ended:?}: {}", life.reason());
        assert_eq!(life.succeeded(), oneshot && ended == Ended::Code(0));
    }
}

#[test]
fn crashes_back_off_then_give_up_and_a_change_revives() {
    let mut now = Instant::now();
    let mut life = running(RestartPolicy::Always, false, now);
    let mut delays = Vec::new();
    loop {
        life.on(Input::Ended(Ended::Code(1)), now);
        let Some(deadline) = life.deadline() else { break };
        delays.push((deadline - now).as_millis());
        assert_eq!(life.on(Input::Tick, now), None, "too early");
        now = deadline;
        assert_eq!(life.on(Input::Tick, now), Some(Action::Spawn));
    }
    assert_eq!(delays, [100, 200, 400, 800]);
    assert_eq!((life.state(), life.crash_restarts()), (S::Failed, 4));
    assert_eq!(life.on(Input::Start, now), Some(Action::Spawn), "an edit revives it at once");
    life.on(Input::Healthy, now);
    now += Duration::from_secs(11);
    life.on(Input::Ended(Ended::Code(1)), now);
    assert_eq!(life.deadline(), Some(now + Duration::from_millis(100)), "a long run resets the delay");
}

#[test]
fn a_restart_stops_first_and_kills_after_the_grace() {
    let now = Instant::now();
    let mut life = running(RestartPolicy::Always, false, now);
    let first = life.run();
    assert_eq!(life.on(Input::Start, now), Some(Action::Signal));
    assert_eq!(life.on(Input::Start, now), None, "a second change while stopping changes nothing");
    assert_eq!(life.state(), S::Stopping);
    let deadline = life.deadline().unwrap();
    assert_eq!(life.on(Input::Tick, deadline), Some(Action::Kill));
    assert_eq!(life.on(Input::Ended(Ended::Signal(9)), deadline), Some(Action::Spawn));
    assert_eq!((life.state(), life.run(), life.crash_restarts()), (S::Starting, first + 1, 0));
}

#[test]
fn a_stop_holds_whatever_the_policy() {
    for at_once in [false, true] {
        let now = Instant::now();
        let mut life = running(RestartPolicy::Always, false, now);
        let action = life.on(Input::Stop(at_once), now);
        assert_eq!(action, Some(if at_once { Action::Kill } else { Action::Signal }));
        assert_eq!(life.on(Input::Ended(Ended::Signal(15)), now), None);
        assert_eq!((life.state(), life.deadline()), (S::Exited, None));
    }
}
