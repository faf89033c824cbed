//! Restarts whose sandbox is made while the process before ends.

use hd_config::Service;
use hd_supervision::testkit::until;

use super::fake_tests::Fakes;
use super::play_tests::{Play, SOON, play, web};
use crate::messages::{Ended, StopService};
use crate::model::report::ServiceState as S;

async fn runs_once(play: &Play, service: &str) -> Fakes {
    let fakes = play.fakes(service);
    play.boot(service).await;
    fakes.started(1).await;
    play.world.reaches(service, S::Ready).await;
    assert_eq!(
        fakes.waiting(),
        0,
        "nothing is made for a restart that nobody asked for"
    );
    fakes
}

/// Edits a service that does not heed the stop signal, up to where the next sandbox waits.
async fn edited_while_it_stays(play: &Play) -> Fakes {
    let fakes = play.fakes("web");
    fakes.be_stubborn();
    runs_once(play, "web").await;
    play.edit("web").await;
    until("the next sandbox waits", || fakes.waiting() == 1).await;
    fakes
}

#[test]
fn a_restart_starts_in_the_sandbox_that_was_made_meanwhile() {
    play(vec![web()], |play| async move {
        let fakes = runs_once(&play, "web").await;
        for run in 2..5 {
            play.edit("web").await;
            fakes.started(run).await;
            play.world.reaches("web", S::Ready).await;
        }
        assert_eq!((fakes.used(), fakes.waiting()), (3, 0));
        play.end().await;
    });
}

#[test]
fn what_was_made_for_an_earlier_wish_is_not_used() {
    play(vec![web()], |play| async move {
        let fakes = edited_while_it_stays(&play).await;
        play.edit("web").await;
        fakes.started(2).await;
        play.world.reaches("web", S::Ready).await;
        assert_eq!((fakes.used(), fakes.waiting()), (0, 0));
        play.end().await;
    });
}

#[test]
fn a_stop_removes_what_was_made_for_the_restart() {
    play(vec![web()], |play| async move {
        let fakes = edited_while_it_stays(&play).await;
        let stop = play.ports("web").stop;
        stop.ask(StopService { now: false }, SOON).await.unwrap();
        play.world.reaches("web", S::Exited).await;
        until("nothing waits any more", || fakes.waiting() == 0).await;
        assert_eq!((fakes.count(), fakes.used()), (1, 0));
        play.end().await;
    });
}

#[test]
fn where_the_process_cannot_be_started_in_it_a_new_one_is_made() {
    play(vec![web()], |play| async move {
        let fakes = edited_while_it_stays(&play).await;
        fakes.refuse(1);
        fakes.latest().end(Ended::Code(0));
        fakes.started(2).await;
        play.world.reaches("web", S::Ready).await;
        assert_eq!((fakes.used(), fakes.waiting()), (0, 0));
        assert_eq!(play.world.standing("web").report.restarts.crash, 0);
        play.end().await;
    });
}

#[test]
fn a_service_with_commands_before_its_start_waits_for_them() {
    let mut service = Service::new("web", "serve");
    service.pre_start = vec![hd_config::Command::Shell("true".to_owned())];
    play(vec![service], |play| async move {
        let fakes = play.fakes("web");
        play.boot("web").await;
        fakes.started(1).await;
        fakes.latest().end(Ended::Code(0));
        fakes.started(2).await;
        play.world.reaches("web", S::Ready).await;
        play.edit("web").await;
        fakes.started(3).await;
        fakes.latest().end(Ended::Code(0));
        fakes.started(4).await;
        assert_eq!(fakes.used(), 0);
        play.end().await;
    });
}
