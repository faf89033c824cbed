//! Tables for the life of a service.

use std::time::{Duration, Instant};

use hd_config::{Backoff, RestartPolicy};

use super::lifecycle::{Action, Input, Lifecycle, Past, Rules};
use crate::messages::Ended;
use crate::model::report::ServiceState as S;

fn rules(policy: RestartPolicy, oneshot: bool) -> Rules {
    Rules {
        policy,
        oneshot,
        grace: Duration::from_secs(5),
        backoff: Backoff {
            max: Some(4),
            max_delay: Duration::from_secs(2),
            ..Backoff::default()
        },
    }
}

fn edit() -> Input {
    Input::Start("app.py changed".to_owned())
}

fn running(policy: RestartPolicy, oneshot: bool, now: Instant) -> Lifecycle {
    let mut life = Lifecycle::new(rules(policy, oneshot), Past::default());
    life.depends(Some("db (starting)".to_owned()));
    assert_eq!(
        life.on(Input::Start(String::new()), now),
        None,
        "its dependencies are not met"
    );
    assert_eq!(
        (life.state(), life.reason()),
        (S::Waiting, "waiting for db (starting)")
    );
    life.depends(None);
    assert_eq!(
        life.on(Input::DependenciesChanged, now),
        Some(Action::Spawn)
    );
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
        assert_eq!(
            life.state(),
            state,
            "{policy:?} oneshot {oneshot} {ended:?}: {}",
            life.reason()
        );
        assert_eq!(life.succeeded(), state == S::Exited);
    }
}

#[test]
fn crashes_back_off_then_give_up_and_a_change_revives() {
    let mut now = Instant::now();
    let mut life = running(RestartPolicy::Always, false, now);
    let mut delays = Vec::new();
    loop {
        life.on(Input::Ended(Ended::Code(1)), now);
        let Some(deadline) = life.deadline() else {
            break;
        };
        delays.push((deadline - now).as_millis());
        assert_eq!(life.on(Input::Tick, now), None, "too early");
        now = deadline;
        assert_eq!(life.on(Input::Tick, now), Some(Action::Spawn));
    }
    assert_eq!(delays, [100, 200, 400, 800]);
    assert_eq!((life.state(), life.crash_restarts()), (S::Failed, 4));
    assert_eq!(
        life.on(edit(), now),
        Some(Action::Spawn),
        "an edit revives it at once"
    );
    life.on(Input::Healthy, now);
    now += Duration::from_secs(11);
    life.on(Input::Ended(Ended::Code(1)), now);
    assert_eq!(
        life.deadline(),
        Some(now + Duration::from_millis(100)),
        "a long run resets the delay"
    );
}

#[test]
fn a_restart_stops_first_and_kills_after_the_grace() {
    let now = Instant::now();
    let mut life = running(RestartPolicy::Always, false, now);
    let first = life.run();
    assert_eq!(life.on(edit(), now), Some(Action::Signal));
    assert_eq!(
        life.on(edit(), now),
        None,
        "a second change while stopping changes nothing"
    );
    assert_eq!(life.state(), S::Stopping);
    let deadline = life.deadline().unwrap();
    assert_eq!(life.on(Input::Tick, deadline), Some(Action::Kill));
    assert_eq!(
        life.on(Input::Ended(Ended::Signal(9)), deadline),
        Some(Action::Spawn)
    );
    assert_eq!(
        (life.state(), life.run(), life.crash_restarts()),
        (S::Starting, first + 1, 0)
    );
}

#[test]
fn a_stop_holds_whatever_the_policy() {
    for at_once in [false, true] {
        let now = Instant::now();
        let mut life = running(RestartPolicy::Always, false, now);
        let action = life.on(Input::Stop(at_once), now);
        assert_eq!(
            action,
            Some(if at_once {
                Action::Kill
            } else {
                Action::Signal
            })
        );
        assert_eq!(life.on(Input::Ended(Ended::Signal(15)), now), None);
        assert_eq!((life.state(), life.deadline()), (S::Exited, None));
    }
}

#[test]
fn a_start_that_cannot_be_is_no_crash_loop() {
    let now = Instant::now();
    let mut life = Lifecycle::new(rules(RestartPolicy::Always, false), Past::default());
    assert_eq!(
        life.on(Input::Start(String::new()), now),
        Some(Action::Spawn)
    );
    assert_eq!(
        life.on(Input::CannotStart("port 5000 is in use".to_owned()), now),
        None
    );
    assert_eq!(
        (life.state(), life.reason(), life.deadline()),
        (S::Failed, "port 5000 is in use", None)
    );
    assert_eq!(
        life.on(edit(), now),
        Some(Action::Spawn),
        "an edit tries again"
    );
    assert_eq!(
        life.on(Input::SpawnFailed("no such file".to_owned()), now),
        None
    );
    assert_eq!(life.state(), S::Backoff);
}

#[test]
fn a_stop_while_the_process_is_being_started_ends_with_its_failure() {
    for input in [
        Input::SpawnFailed("x".to_owned()),
        Input::CannotStart("x".to_owned()),
    ] {
        let now = Instant::now();
        let mut life = Lifecycle::new(rules(RestartPolicy::Always, false), Past::default());
        life.on(Input::Start(String::new()), now);
        assert_eq!(life.on(Input::Stop(false), now), Some(Action::Signal));
        assert_eq!(life.on(input, now), None);
        assert_eq!((life.state(), life.reason()), (S::Exited, "stopped"));
    }
}

#[test]
fn a_restart_waits_for_dependencies_that_went_away_meanwhile() {
    let now = Instant::now();
    let mut life = running(RestartPolicy::Always, false, now);
    life.on(edit(), now);
    life.depends(Some("db (stopping)".to_owned()));
    assert_eq!(life.on(Input::Ended(Ended::Signal(15)), now), None);
    assert_eq!(life.state(), S::Waiting);
    life.depends(None);
    assert_eq!(
        life.on(Input::DependenciesChanged, now),
        Some(Action::Spawn)
    );
    assert_eq!(life.reason(), "starting; restarted: app.py changed");
}

#[test]
fn a_probe_that_gave_up_is_told_until_it_passes_again() {
    let now = Instant::now();
    let mut life = running(RestartPolicy::Always, false, now);
    life.on(Input::Unhealthy("status 500".to_owned()), now);
    assert_eq!(
        (life.state(), life.reason(), life.unhealthy()),
        (S::Ready, "status 500", true)
    );
    life.on(Input::Healthy, now);
    assert_eq!(
        (life.state(), life.reason(), life.unhealthy()),
        (S::Ready, "ready", false)
    );
}

#[test]
fn a_new_supervisor_starts_what_ran_and_leaves_what_rested() {
    let now = Instant::now();
    let mut life = running(RestartPolicy::Always, false, now);
    let mut next = Lifecycle::new(rules(RestartPolicy::Always, false), life.past());
    assert_eq!(next.on(Input::Resume, now), Some(Action::Spawn));
    assert_eq!((next.run(), next.crash_restarts()), (2, 1));
    life.on(Input::Stop(true), now);
    life.on(Input::Ended(Ended::Signal(9)), now);
    let mut next = Lifecycle::new(rules(RestartPolicy::Always, false), life.past());
    assert_eq!(next.on(Input::Resume, now), None);
    assert_eq!((next.state(), next.reason()), (S::Exited, "stopped"));
    let mut life = running(RestartPolicy::Always, false, now);
    life.rest();
    life.on(Input::Stop(false), now);
    let mut next = Lifecycle::new(rules(RestartPolicy::Always, false), life.past());
    assert_eq!(next.on(Input::Resume, now), None, "a stop was under way");
    assert!(next.is_stopped() && next.state() == S::Exited);
    assert_eq!(next.on(edit(), now), Some(Action::Spawn));
    assert!(!next.is_stopped());
}
