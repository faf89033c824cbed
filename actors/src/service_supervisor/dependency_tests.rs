//! Services that depend on each other, with processes that are played.

use hd_config::{Condition, Healthcheck, Kind, Probe, RestartPolicy, Service};
use hd_supervision::testkit::until;

use super::play_tests::{SOON, needs, play, web};
use crate::messages::Ended;
use crate::model::report::ServiceState as S;

#[test]
fn dependants_start_when_their_condition_holds_and_say_what_they_wait_for() {
    let mut db = Service::new("db", "serve");
    db.healthcheck = Some(Healthcheck {
        test: Probe::Exec(hd_config::Command::Shell("check".to_owned())),
        interval: SOON,
        timeout: SOON,
        retries: 1,
        start_period: SOON,
    });
    let mut job = needs(Service::new("job", "migrate"), "db", Condition::Healthy);
    (job.kind, job.restart) = (Kind::Oneshot, RestartPolicy::Never);
    let all = vec![
        needs(
            needs(web(), "db", Condition::Healthy),
            "job",
            Condition::Completed,
        ),
        job,
        db,
        needs(Service::new("side", "serve"), "db", Condition::Started),
    ];
    play(all, |play| async move {
        for service in ["web", "job", "side", "db"] {
            play.boot(service).await;
        }
        play.world.reaches("side", S::Ready).await;
        play.world.reaches("db", S::Starting).await;
        assert_eq!(
            play.world.standing("web").report.reason,
            "waiting for db (starting)"
        );
        play.fakes("db").answer(Ok(()));
        play.world.reaches("db", S::Ready).await;
        play.fakes("job").started(1).await;
        until("web waits for job", || {
            play.world.standing("web").report.reason == "waiting for job (starting)"
        })
        .await;
        play.fakes("job").latest().end(Ended::Code(3));
        play.world.reaches("job", S::Failed).await;
        let reason = "waiting for job, which failed: exited with code 3";
        until("web says why", || {
            play.world.standing("web").report.reason == reason
        })
        .await;
        assert_eq!(play.fakes("web").count(), 0);
        play.edit("job").await;
        play.fakes("job").started(2).await;
        play.fakes("job").latest().end(Ended::Code(0));
        play.world.reaches("web", S::Ready).await;
        assert!(play.world.context.board.all_ready(&[]));
        play.end().await;
    });
}

#[test]
fn the_end_stops_dependants_first() {
    let all = vec![
        Service::new("db", "serve"),
        needs(web(), "db", Condition::Healthy),
    ];
    play(all, |play| async move {
        for service in ["db", "web"] {
            play.boot(service).await;
            play.world.reaches(service, S::Ready).await;
        }
        let (web, db) = (play.fakes("web").latest(), play.fakes("db").latest());
        let heard = play.world.heard.clone();
        play.end().await;
        assert_eq!(
            (web.did(), db.did()),
            (vec!["terminate"], vec!["terminate"])
        );
        let states = |service| {
            heard
                .states(service)
                .into_iter()
                .map(|(state, _)| state)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            states("db"),
            [S::Starting, S::Ready, S::Stopping, S::Exited]
        );
        assert_eq!(
            states("web"),
            [S::Starting, S::Ready, S::Stopping, S::Exited]
        );
        let order = heard.order();
        let at = |event: &(String, S)| order.iter().position(|one| one == event).unwrap();
        assert!(
            at(&("web".to_owned(), S::Exited)) < at(&("db".to_owned(), S::Stopping)),
            "{order:?}"
        );
    });
}
