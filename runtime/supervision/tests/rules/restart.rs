//! E1, E1b, E5a, E5b, E8: an actor dies of its panic, and a fresh one takes its place.

use std::time::Duration;

use hd_supervision::testkit::paused;
use hd_supervision::{AskError, Refused, Restart, RootExit, Runtime, Strategy, TreeSpec, panics};

use crate::support::{Do, Log, answers_again, end, puppet, puppet_with, tell};

#[test]
fn e1_panic_in_a_handler_restarts_the_actor_and_no_sibling() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet("a", &log);
        let (b, to_b) = puppet("b", &log);
        let root = TreeSpec::new("root", Strategy::OneForOne).child(a).child(b);
        let root = root.start(&runtime).unwrap();
        assert_eq!(tell(&to_b, Do::Nothing).await, Ok(1));

        let died = AskError::Died {
            port: "a.do".into(),
        };
        assert_eq!(tell(&to_a, Do::Panic).await, Err(died));
        assert_eq!(answers_again(&to_a).await, 1, "a fresh value");
        assert_eq!(
            tell(&to_b, Do::Nothing).await,
            Ok(2),
            "the sibling never noticed"
        );
        assert_eq!((runtime.restarts("a"), runtime.restarts("b")), (1, 0));
        end(root, &runtime).await;
    });
}

#[test]
fn e1_panic_in_a_spawned_future_restarts_the_actor() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet("a", &log);
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(a)
            .start(&runtime)
            .unwrap();

        assert_eq!(
            tell(&to_a, Do::PanicLater).await,
            Ok(1),
            "the order itself succeeded"
        );
        log.wait("a started", 2).await;
        assert_eq!(answers_again(&to_a).await, 1);
        end(root, &runtime).await;
    });
}

#[test]
fn e1_panic_in_the_factory_restarts_the_actor() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet_with("a", &log, {
            let log = log.clone();
            move |_| {
                log.add("a built");
                assert!(log.count("a built") > 1, "not the first time");
            }
        });
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(a)
            .start(&runtime)
            .unwrap();
        assert_eq!(answers_again(&to_a).await, 1);
        assert_eq!(runtime.restarts("a"), 1);
        end(root, &runtime).await;
    });
}

#[test]
fn e1_no_panic_goes_unreported() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet("reported", &log);
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(a)
            .start(&runtime)
            .unwrap();
        let before = panics::total();
        let _ = tell(&to_a, Do::Panic).await;
        assert!(panics::total() > before);
        let ours = |report: &panics::PanicReport| report.actor.as_deref() == Some("reported");
        let report = panics::recent().into_iter().find(ours).expect("on record");
        assert_eq!(report.message, "told to panic");
        assert!(
            report.location.contains("support.rs:"),
            "{}",
            report.location
        );
        end(root, &runtime).await;
    });
}

#[test]
fn e1b_stop_ends_the_value_and_loses_its_mail() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet("a", &log);
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(a)
            .start(&runtime)
            .unwrap();
        assert_eq!(tell(&to_a, Do::Nothing).await, Ok(1));

        to_a.offer(Do::Stop).unwrap();
        let behind = tell(&to_a, Do::Nothing).await;
        assert_eq!(
            behind,
            Err(AskError::Died {
                port: "a.do".into()
            })
        );
        assert_eq!(
            answers_again(&to_a).await,
            1,
            "nothing of the old value is left"
        );
        assert_eq!(
            runtime.restarts("a"),
            1,
            "permanent: also after an ordinary end"
        );
        end(root, &runtime).await;
    });
}

#[test]
fn port_stays_valid_after_restart_and_says_down_in_between() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet("a", &log);
        let clone = to_a.clone();
        let refused = to_a.offer(Do::Nothing).unwrap_err();
        assert!(
            matches!(refused, Refused::Down(Do::Nothing)),
            "before the start"
        );
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(a)
            .start(&runtime)
            .unwrap();

        let _ = tell(&to_a, Do::Panic).await;
        let refused = clone.offer(Do::Nothing).unwrap_err();
        assert!(
            matches!(refused, Refused::Down(Do::Nothing)),
            "between two incarnations"
        );
        log.wait("a started", 2).await;
        assert_eq!(tell(&clone, Do::Nothing).await, Ok(1));
        assert_eq!(clone.queued(), 0, "lost mail gives its places back");
        end(root, &runtime).await;
        assert!(
            matches!(clone.offer(Do::Nothing), Err(Refused::Down(_))),
            "after the end"
        );
    });
}

#[test]
fn a_question_waits_for_the_first_incarnation_as_long_as_it_may() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet("a", &log);
        let early = tokio::task::spawn_local({
            let to_a = to_a.clone();
            async move { tell(&to_a, Do::Nothing).await }
        });
        tokio::task::yield_now().await;
        let root = TreeSpec::new("root", Strategy::OneForOne).child(a);
        let root = root.start(&runtime).unwrap();
        assert_eq!(early.await.unwrap(), Ok(1), "asked before the start");

        let (_never, to_b) = puppet("b", &log);
        let down = AskError::Down {
            port: "b.do".into(),
        };
        assert_eq!(tell(&to_b, Do::Nothing).await, Err(down));
        end(root, &runtime).await;
    });
}

#[test]
fn e5a_crash_loop_in_started_yields_and_ends() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, _) = puppet_with("a", &log, |puppet| puppet.on_start = |_| panic!("no start"));
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(a)
            .start(&runtime)
            .unwrap();
        let begun = tokio::time::Instant::now();
        let RootExit::Escalated(cause) = root.exit().await else {
            panic!("the loop went unnoticed");
        };
        assert!(cause.starts_with("a panicked: no start (at "), "{cause}");
        assert_eq!(
            log.count("a started"),
            4,
            "the first start and three restarts"
        );
        assert!(
            begun.elapsed() >= Duration::from_millis(10 + 40 + 160),
            "{:?}",
            begun.elapsed()
        );
    });
}

#[test]
fn e5b_panic_in_stopped_after_a_panic_does_not_abort() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet_with("a", &log, |puppet| puppet.bad_end = true);
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(a)
            .start(&runtime)
            .unwrap();
        let _ = tell(&to_a, Do::Panic).await;
        assert_eq!(answers_again(&to_a).await, 1);
        // After a panic only fields are dropped: the half-changed value is asked nothing any more.
        assert_eq!(log.lines(), ["a started", "a dropped", "a started"]);
        // A panic in an ordinary stop is an ordinary panic.
        to_a.offer(Do::Stop).unwrap();
        log.wait("a started", 3).await;
        assert_eq!(log.count("a stopped"), 1);
        root.stopper().stop();
        let _ = root.exit().await;
    });
}

#[test]
fn e8_rest_for_one_rebuilds_what_builds_on_the_one_that_died() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let mut tree = TreeSpec::new("root", Strategy::RestForOne);
        let mut ports = Vec::new();
        for name in ["a", "b", "c", "d"] {
            let (spec, port) = puppet(name, &log);
            tree = tree.child(spec);
            ports.push(port);
        }
        let root = tree.start(&runtime).unwrap();
        log.wait("d started", 1).await;
        log.clear();

        let _ = tell(&ports[1], Do::Panic).await;
        log.wait("d started", 1).await;
        let expected = [
            "b dropped",
            "d stopped",
            "d dropped",
            "c stopped",
            "c dropped",
            "b started",
            "c started",
            "d started",
        ];
        assert_eq!(log.lines(), expected);
        for port in &ports {
            answers_again(port).await;
        }
        assert_eq!(runtime.restarts("a"), 0);
        end(root, &runtime).await;
    });
}

#[test]
fn child_that_is_down_for_good_stays_down_when_its_elder_is_rebuilt() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (elder, to_elder) = puppet("elder", &log);
        let (done, to_done) = puppet("done", &log);
        let (once, to_once) = puppet("once", &log);
        let root = TreeSpec::new("root", Strategy::RestForOne)
            .child(elder)
            .child(done.restart(Restart::Transient))
            .child(once.restart(Restart::Never));
        let root = root.start(&runtime).unwrap();
        to_done.offer(Do::Stop).unwrap();
        log.wait("done dropped", 1).await;
        assert_eq!(tell(&to_once, Do::Nothing).await, Ok(1));

        let _ = tell(&to_elder, Do::Panic).await;
        answers_again(&to_elder).await;
        assert_eq!(log.count("done started"), 1, "it had ended well");
        assert_eq!(log.count("once stopped"), 1, "it built on the elder");
        assert_eq!(log.count("once started"), 1, "and is never rebuilt");
        end(root, &runtime).await;
    });
}
