//! E13, E14: a tree that gives up is an ordinary end for the tree around it, and a root says so.

use hd_supervision::testkit::paused;
use hd_supervision::{Intensity, NameTaken, RootExit, Runtime, Strategy, TreeSpec};

use crate::support::{Do, Log, SECOND, answers_again, end, puppet, tell};

#[test]
fn e13_root_beyond_its_budget_stops_all_and_says_so() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, _) = puppet("a", &log);
        let (b, to_b) = puppet("b", &log);
        let (c, _) = puppet("c", &log);
        let tree = TreeSpec::new("root", Strategy::OneForOne)
            .child(a)
            .child(b)
            .child(c);
        let root = tree.start(&runtime).unwrap();
        for _ in 0..3 {
            let _ = tell(&to_b, Do::Panic).await;
            answers_again(&to_b).await;
        }
        log.clear();
        let _ = tell(&to_b, Do::Panic).await;
        let RootExit::Escalated(cause) = root.exit().await else {
            panic!("not escalated");
        };
        assert!(cause.starts_with("b panicked: told to panic"), "{cause}");
        assert_eq!(
            log.lines(),
            [
                "b dropped",
                "c stopped",
                "c dropped",
                "a stopped",
                "a dropped"
            ]
        );
        assert_eq!(runtime.restarts("b"), 3);
    });
}

#[test]
fn restarts_spread_over_more_than_the_window_do_not_escalate() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet("a", &log);
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(a)
            .start(&runtime)
            .unwrap();
        for _ in 0..20 {
            let _ = tell(&to_a, Do::Panic).await;
            answers_again(&to_a).await;
            tokio::time::sleep(2 * SECOND).await;
        }
        assert_eq!(runtime.restarts("a"), 20);
        end(root, &runtime).await;
    });
}

#[test]
fn intensity_is_configurable() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet("a", &log);
        let intensity = Intensity {
            max: 0,
            window: SECOND,
        };
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .intensity(intensity)
            .child(a);
        let root = root.start(&runtime).unwrap();
        let _ = tell(&to_a, Do::Panic).await;
        assert!(matches!(root.exit().await, RootExit::Escalated(_)));
        assert_eq!(log.count("a started"), 1);
    });
}

#[test]
fn e14_tree_under_a_tree_is_rebuilt_whole_and_its_sibling_never_notices() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet("a", &log);
        let (b, to_b) = puppet("b", &log);
        let (sibling, to_sibling) = puppet("sibling", &log);
        let inner = TreeSpec::new("inner", Strategy::OneForOne)
            .child(a)
            .child(b);
        let once = Intensity {
            max: 1,
            window: 60 * SECOND,
        };
        let root = TreeSpec::new("root", Strategy::OneForOne).intensity(once);
        let root = root.child(sibling).child(inner).start(&runtime).unwrap();
        assert_eq!(tell(&to_sibling, Do::Nothing).await, Ok(1));

        // Four panics spend the inner budget: the root rebuilds the inner tree from its specs.
        for _ in 0..4 {
            let _ = tell(&to_a, Do::Panic).await;
            answers_again(&to_a).await;
        }
        assert_eq!((log.count("a started"), log.count("b started")), (5, 2));
        assert_eq!(
            answers_again(&to_b).await,
            1,
            "ports work over the rebuilding of the tree"
        );
        assert_eq!(tell(&to_sibling, Do::Nothing).await, Ok(2));

        // The second time the root has spent its own.
        for _ in 0..3 {
            let _ = tell(&to_a, Do::Panic).await;
            answers_again(&to_a).await;
        }
        let _ = tell(&to_a, Do::Panic).await;
        let RootExit::Escalated(cause) = root.exit().await else {
            panic!("not escalated");
        };
        assert!(
            cause.starts_with("inner gave up: a panicked: told to panic"),
            "{cause}"
        );
        assert_eq!(log.count("sibling dropped"), 1);
        assert_eq!(
            (runtime.restarts("a"), runtime.restarts("b")),
            (7, 1),
            "every restart counted"
        );
    });
}

#[test]
fn names_are_unique_over_all_trees() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let inner = TreeSpec::new("inner", Strategy::OneForOne).child(puppet("a", &log).0);
        let tree = TreeSpec::new("root", Strategy::OneForOne)
            .child(puppet("a", &log).0)
            .child(inner);
        assert_eq!(
            tree.start(&runtime).unwrap_err(),
            NameTaken { name: "a".into() }
        );
        assert_eq!(log.lines(), [""; 0]);
    });
}
