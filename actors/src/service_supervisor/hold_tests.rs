//! Services that are held.

use std::collections::BTreeSet;

use hd_supervision::fault;
use hd_supervision::testkit::until;

use super::hold::{Held, Hold};
use super::play_tests::{Play, SOON, play, web};
use super::ports::actor_name;
use crate::messages::{Ended, HoldService, StartService, StopService};
use crate::model::report::ServiceState as S;

fn begin(play: &Play, service: &str) -> Hold {
    play.world.context.directory.hold(Held {
        services: BTreeSet::from([service.to_owned()]),
        volumes: BTreeSet::new(),
        by: "a test",
    })
}

async fn held(play: &Play, service: &str) -> Hold {
    let hold = begin(play, service);
    let ask = play.ports(service).hold;
    ask.ask(HoldService, SOON).await.unwrap();
    hold
}

#[track_caller]
fn waits(play: &Play, service: &str) {
    let report = play.world.standing(service).report;
    assert_eq!(
        (report.state, report.pid, report.reason.as_str()),
        (S::Waiting, None, "waiting for a test")
    );
}

async fn runs(play: &Play, service: &str) {
    play.boot(service).await;
    play.world.reaches(service, S::Ready).await;
}

#[test]
fn who_is_held_ends_and_starts_for_nobody_until_it_is_released() {
    play(vec![web()], |play| async move {
        let (fakes, ports) = (play.fakes("web"), play.ports("web"));
        runs(&play, "web").await;
        let hold = held(&play, "web").await;
        assert_eq!(fakes.latest().did(), ["terminate"]);
        waits(&play, "web");
        play.edit("web").await;
        waits(&play, "web");
        let restart = StartService { restart: true };
        ports.start.ask(restart, SOON).await.unwrap();
        waits(&play, "web");
        assert_eq!(fakes.count(), 1);
        drop(hold);
        fakes.started(2).await;
        play.world.reaches("web", S::Ready).await;
        play.end().await;
    });
}

#[test]
fn a_back_off_that_ends_and_a_first_start_wait_too() {
    play(vec![web()], |play| async move {
        let fakes = play.fakes("web");
        let hold = begin(&play, "web");
        play.boot("web").await;
        waits(&play, "web");
        drop(hold);
        play.world.reaches("web", S::Ready).await;
        let hold = begin(&play, "web");
        fakes.latest().end(Ended::Signal(9));
        play.world.reaches("web", S::Waiting).await;
        waits(&play, "web");
        assert_eq!(fakes.count(), 1);
        drop(hold);
        fakes.started(2).await;
        play.end().await;
    });
}

#[test]
fn a_start_that_is_under_way_is_ended() {
    play(vec![web()], |play| async move {
        let fakes = play.fakes("web");
        fakes.hold(true);
        play.boot("web").await;
        play.world.reaches("web", S::Starting).await;
        let go_on = async {
            play.world.reaches("web", S::Stopping).await;
            fakes.hold(false);
        };
        let (hold, ()) = tokio::join!(held(&play, "web"), go_on);
        assert_eq!(fakes.latest().did(), ["terminate"]);
        waits(&play, "web");
        drop(hold);
        fakes.started(2).await;
        play.end().await;
    });
}

#[test]
fn a_sandbox_that_was_made_ahead_is_not_used_afterwards() {
    play(vec![web()], |play| async move {
        let fakes = play.fakes("web");
        fakes.be_stubborn();
        runs(&play, "web").await;
        play.edit("web").await;
        until("the next sandbox waits", || fakes.waiting() == 1).await;
        let hold = held(&play, "web").await;
        assert_eq!(fakes.waiting(), 0);
        drop(hold);
        fakes.started(2).await;
        assert_eq!(fakes.used(), 0);
        play.end().await;
    });
}

#[test]
fn what_rests_stays_so_and_a_stop_meanwhile_holds() {
    play(vec![web()], |play| async move {
        let (fakes, ports) = (play.fakes("web"), play.ports("web"));
        runs(&play, "web").await;
        let hold = held(&play, "web").await;
        let stop = || ports.stop.ask(StopService { now: false }, SOON);
        stop().await.unwrap();
        drop(hold);
        let hold = held(&play, "web").await;
        assert_eq!(play.world.standing("web").report.state, S::Exited);
        drop(hold);
        // It has looked again by then.
        stop().await.unwrap();
        assert_eq!(play.world.standing("web").report.state, S::Exited);
        assert_eq!(fakes.count(), 1);
        play.end().await;
    });
}

#[test]
fn a_supervisor_that_panicked_is_held_as_before() {
    let service = hd_config::Service::new("held", "serve");
    play(vec![service], |play| async move {
        let fakes = play.fakes("held");
        runs(&play, "held").await;
        let hold = held(&play, "held").await;
        let name = actor_name("held");
        fault::arm(&name, 1);
        let start = play.ports("held").start;
        let asked = start.ask(StartService { restart: false }, SOON).await;
        assert!(asked.is_err());
        until("there is another one", || {
            play.world.context.runtime.restarts(&name) == 1
        })
        .await;
        play.edit("held").await;
        waits(&play, "held");
        drop(hold);
        fakes.started(2).await;
        play.end().await;
    });
}
