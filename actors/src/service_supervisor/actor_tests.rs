//! The supervisor with processes that are played.

use std::time::{Duration, Instant};

use hd_config::{Kind, RestartPolicy, Service};
use hd_supervision::fault;
use hd_supervision::testkit::until;

use super::play_tests::{SOON, play, web};
use super::ports::actor_name;
use crate::messages::{Ended, RestartCause, StartService, StopService};
use crate::model::report::ServiceState as S;

#[test]
fn a_crash_is_answered_by_a_delayed_restart_until_it_is_given_up_and_an_edit_revives() {
    play(vec![web()], |play| async move {
        let fakes = play.fakes("web");
        play.boot("web").await;
        for run in 1..=3 {
            fakes.started(run).await;
            play.world.reaches("web", S::Ready).await;
            fakes.latest().end(Ended::Signal(9));
        }
        fakes.started(4).await;
        until("ready again", || {
            play.world.standing("web").report.pid == Some(4)
        })
        .await;
        let report = play.world.standing("web").report;
        assert_eq!((report.restarts.crash, report.restarts.watch), (3, 0));
        assert!(
            report.reason.contains("killed by signal 9"),
            "{}",
            report.reason
        );
        fakes.latest().end(Ended::Code(7));
        play.world.reaches("web", S::Failed).await;
        let reason = play.world.standing("web").report.reason;
        assert_eq!(reason, "exited with code 7; given up after 4 tries");
        play.edit("web").await;
        fakes.started(5).await;
        play.world.reaches("web", S::Ready).await;
        let report = play.world.standing("web").report;
        assert_eq!((report.restarts.crash, report.restarts.watch), (3, 1));
        play.end().await;
    });
}

#[test]
fn an_edit_stops_first_then_starts_and_is_timed_from_when_it_was_seen() {
    play(vec![web()], |play| async move {
        let fakes = play.fakes("web");
        play.boot("web").await;
        fakes.started(1).await;
        play.world.reaches("web", S::Ready).await;
        let first = fakes.latest();
        let seen_at = Instant::now().checked_sub(Duration::from_secs(3)).unwrap();
        play.wish("web", RestartCause::Asked, seen_at).await;
        fakes.started(2).await;
        play.world.reaches("web", S::Ready).await;
        assert_eq!(first.did(), ["terminate"]);
        let told = play.world.heard.states("web");
        let states: Vec<S> = told.iter().map(|(state, _)| *state).collect();
        assert_eq!(
            states,
            [S::Starting, S::Ready, S::Stopping, S::Starting, S::Ready]
        );
        assert!(
            told[1].1.unwrap() < Duration::from_secs(3),
            "since the start: {told:?}"
        );
        assert!(
            told[4].1.unwrap() >= Duration::from_secs(3),
            "since the edit: {told:?}"
        );
        until("the log tells it", || {
            play.world
                .log("web")
                .contains(" h started, pid 2 (asked for)\n")
        })
        .await;
        assert!(
            play.world.log("web").contains(" h killed by signal 15\n"),
            "{}",
            play.world.log("web")
        );
        play.end().await;
    });
}

#[test]
fn a_conductor_that_boots_again_restarts_nothing() {
    play(vec![web()], |play| async move {
        let fakes = play.fakes("web");
        play.boot("web").await;
        fakes.started(1).await;
        play.world.reaches("web", S::Ready).await;
        play.boot("web").await;
        let start = play.ports("web").start;
        start
            .ask(StartService { restart: false }, SOON)
            .await
            .unwrap();
        assert_eq!(play.world.standing("web").report.state, S::Ready);
        assert!(fakes.latest().did().is_empty());
        play.edit("web").await;
        fakes.started(2).await;
        assert_eq!(play.world.standing("web").report.restarts.watch, 1);
        play.end().await;
    });
}

#[test]
fn a_stop_is_answered_when_the_process_is_gone_and_holds() {
    play(vec![web()], |play| async move {
        let (fakes, ports) = (play.fakes("web"), play.ports("web"));
        fakes.be_stubborn();
        play.boot("web").await;
        play.world.reaches("web", S::Ready).await;
        ports
            .stop
            .ask(StopService { now: false }, SOON)
            .await
            .unwrap();
        assert_eq!(
            fakes.latest().did(),
            ["terminate", "kill"],
            "the grace has to pass"
        );
        assert_eq!(fakes.latest().ended(), Some(Ended::Signal(9)));
        let standing = play.world.standing("web");
        assert_eq!(
            (standing.report.state, standing.report.pid),
            (S::Exited, None)
        );
        ports
            .stop
            .ask(StopService { now: false }, SOON)
            .await
            .unwrap();
        assert_eq!(fakes.count(), 1, "no policy restarts it");
        ports
            .start
            .ask(StartService { restart: false }, SOON)
            .await
            .unwrap();
        fakes.started(2).await;
        play.world.reaches("web", S::Ready).await;
        ports
            .start
            .ask(StartService { restart: false }, SOON)
            .await
            .unwrap();
        assert_eq!(
            play.world.standing("web").report.state,
            S::Ready,
            "it runs already"
        );
        ports
            .stop
            .ask(StopService { now: true }, SOON)
            .await
            .unwrap();
        assert_eq!(fakes.latest().did(), ["kill"]);
        play.end().await;
    });
}

#[test]
fn what_a_person_stopped_starts_when_he_asks_or_says_what_it_is_now() {
    play(vec![web()], |play| async move {
        let (fakes, ports) = (play.fakes("web"), play.ports("web"));
        let rests = async |count: usize| {
            let stop = StopService { now: false };
            ports.stop.ask(stop, SOON).await.unwrap();
            play.edit("web").await;
            let view = RestartCause::View(Vec::new());
            play.wish("web", view, Instant::now()).await;
            let report = play.world.standing("web").report;
            let stands = (report.state, report.reason.as_str(), fakes.count());
            assert_eq!(stands, (S::Exited, "stopped", count));
        };
        play.boot("web").await;
        play.world.reaches("web", S::Ready).await;
        rests(1).await;
        let changed = RestartCause::Changed(vec!["env".to_owned()]);
        play.wish("web", changed, Instant::now()).await;
        play.world.reaches("web", S::Ready).await;
        rests(2).await;
        let start = StartService { restart: false };
        ports.start.ask(start, SOON).await.unwrap();
        play.world.reaches("web", S::Ready).await;
        play.edit("web").await;
        fakes.started(4).await;
        // Given up by itself, then stopped.
        for run in 5..8 {
            fakes.latest().end(Ended::Code(1));
            fakes.started(run).await;
        }
        fakes.latest().end(Ended::Code(1));
        play.world.reaches("web", S::Failed).await;
        rests(7).await;
        play.end().await;
    });
}

#[test]
fn a_stop_while_it_is_being_started_ends_what_is_started() {
    play(vec![web()], |play| async move {
        let (fakes, ports) = (play.fakes("web"), play.ports("web"));
        fakes.hold(true);
        play.boot("web").await;
        play.world.reaches("web", S::Starting).await;
        let stop = ports.stop.ask(StopService { now: true }, SOON);
        let release = async {
            play.world.reaches("web", S::Stopping).await;
            fakes.hold(false);
        };
        let (stopped, ()) = tokio::join!(stop, release);
        stopped.unwrap();
        assert_eq!(
            (
                fakes.latest().did(),
                play.world.standing("web").report.state
            ),
            (vec!["kill"], S::Exited)
        );
        play.end().await;
    });
}

#[test]
fn a_process_that_cannot_be_started_is_tried_again_unless_the_policy_says_never() {
    let mut never = Service::new("never", "x");
    never.restart = RestartPolicy::Never;
    play(vec![web(), never], |play| async move {
        for service in ["web", "never"] {
            play.fakes(service).refuse(2);
            play.boot(service).await;
        }
        play.world.reaches("web", S::Ready).await;
        play.world.reaches("never", S::Failed).await;
        assert_eq!(play.world.standing("web").report.restarts.crash, 2);
        assert_eq!(
            play.world.standing("never").report.reason,
            "no such program"
        );
        play.end().await;
    });
}

#[test]
fn a_port_that_is_taken_fails_the_start_and_names_the_holder() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut service = web();
    service.port = Some(port);
    play(vec![service], |play| async move {
        play.boot("web").await;
        play.world.reaches("web", S::Failed).await;
        let report = play.world.standing("web").report;
        let start = format!("port {port} is in use by ");
        let holder = format!("(pid {}): ", std::process::id());
        assert!(
            report.reason.starts_with(&start) && report.reason.contains(&holder),
            "{}",
            report.reason
        );
        assert_eq!(
            (report.restarts.crash, play.fakes("web").count()),
            (0, 0),
            "no crash loop"
        );
        drop(listener);
        play.edit("web").await;
        play.world.reaches("web", S::Starting).await;
        play.fakes("web").started(1).await;
        let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        play.world.reaches("web", S::Ready).await;
        play.end().await;
    });
}

#[test]
fn a_panic_of_the_supervisor_leaves_no_process_alone_and_starts_the_service_again() {
    let service = Service::new("panics", "serve");
    play(vec![service], |play| async move {
        let (fakes, ports) = (play.fakes("panics"), play.ports("panics"));
        let name = actor_name("panics");
        play.boot("panics").await;
        fakes.started(1).await;
        play.world.reaches("panics", S::Ready).await;
        let first = fakes.latest();
        fault::arm(&name, 1);
        assert!(
            ports
                .start
                .ask(StartService { restart: false }, SOON)
                .await
                .is_err()
        );
        fakes.started(2).await;
        assert_eq!(first.did(), ["kill"]);
        until("ready again", || {
            play.world.standing("panics").report.pid == Some(2)
        })
        .await;
        play.world.reaches("panics", S::Ready).await;
        assert_eq!(play.world.context.runtime.restarts(&name), 1);
        let report = play.world.standing("panics").report;
        assert_eq!((report.restarts.crash, report.restarts.watch), (1, 0));
        assert_eq!(
            report.reason,
            "ready; restarted: its supervisor was restarted"
        );
        play.edit("panics").await;
        fakes.started(3).await;
        play.end().await;
    });
}

#[test]
fn a_panic_starts_nothing_that_was_done_or_stopped() {
    let mut job = Service::new("rests", "migrate");
    job.kind = Kind::Oneshot;
    play(vec![job], |play| async move {
        let (fakes, ports) = (play.fakes("rests"), play.ports("rests"));
        play.boot("rests").await;
        fakes.started(1).await;
        fakes.latest().end(Ended::Code(0));
        play.world.reaches("rests", S::Exited).await;
        fault::arm(&actor_name("rests"), 1);
        assert!(
            ports
                .stop
                .ask(StopService { now: false }, SOON)
                .await
                .is_err()
        );
        until("it answers again", || {
            play.world.context.runtime.restarts(&actor_name("rests")) == 1
        })
        .await;
        let standing = play.world.standing("rests");
        assert_eq!(
            (standing.report.state, standing.succeeded, fakes.count()),
            (S::Exited, true, 1)
        );
        let stop = StopService { now: false };
        ports.stop.ask(stop, SOON).await.unwrap();
        fault::arm(&actor_name("rests"), 1);
        let start = StartService { restart: false };
        assert!(ports.start.ask(start, SOON).await.is_err());
        until("it answers once more", || {
            play.world.context.runtime.restarts(&actor_name("rests")) == 2
        })
        .await;
        play.edit("rests").await;
        assert_eq!(fakes.count(), 1, "it was stopped though it was done");
        play.end().await;
    });
}
