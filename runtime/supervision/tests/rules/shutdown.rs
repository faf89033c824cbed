//! E7: the end is a protocol: last first, each within its grace, nobody waits for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hd_supervision::testkit::paused;
use hd_supervision::{Lane, RootExit, Runtime, Strategy, TreeSpec, block_on};
use tokio::time::Instant;

use crate::support::{Do, Log, SECOND, end, puppet, puppet_with, tell};

#[test]
fn e7_stop_runs_in_reverse_start_order_through_nested_trees() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let tree = |name: &str, children: [&str; 2]| {
            let spec = TreeSpec::new(name, Strategy::RestForOne);
            children
                .iter()
                .fold(spec, |spec, child| spec.child(puppet(child, &log).0))
        };
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(tree("engine", ["store", "dag"]))
            .child(tree("world", ["mount", "web"]))
            .child(tree("intake", ["debouncer", "watcher"]));
        let root = root.start(&runtime).unwrap();
        log.wait("watcher started", 1).await;
        let order = ["store", "dag", "mount", "web", "debouncer", "watcher"];
        assert_eq!(log.lines(), order.map(|name| format!("{name} started")));
        log.clear();
        end(root, &runtime).await;
        let stopped: Vec<_> = log
            .lines()
            .into_iter()
            .filter(|line| line.ends_with("stopped"))
            .collect();
        let reversed: Vec<_> = order
            .iter()
            .rev()
            .map(|name| format!("{name} stopped"))
            .collect();
        assert_eq!(stopped, reversed);
    });
}

#[test]
fn e7_all_lanes_have_ended_when_close_returns() {
    block_on(async {
        let (runtime, log) = (Runtime::new(), Log::default());
        let mut tree = TreeSpec::new("root", Strategy::OneForOne);
        for (name, lane) in [("a", "one"), ("b", "two"), ("c", "three")] {
            tree = tree.child(puppet(name, &log).0.lane(Lane::Named(lane)));
        }
        let root = tree.start(&runtime).unwrap();
        for name in ["a", "b", "c"] {
            log.wait(&format!("{name} started"), 1).await;
        }
        log.clear();
        end(root, &runtime).await;
        let expected =
            ["c", "b", "a"].map(|name| [format!("{name} stopped"), format!("{name} dropped")]);
        assert_eq!(log.lines(), expected.concat());
    })
    .unwrap();
}

#[test]
fn actor_that_needs_time_gets_it_and_handles_mail_meanwhile() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet_with("a", &log, |puppet| puppet.linger = SECOND);
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(a)
            .start(&runtime)
            .unwrap();
        log.wait("a started", 1).await;
        let asked = Instant::now();
        root.stopper().stop();
        log.wait("a lingers", 1).await;
        assert_eq!(tell(&to_a, Do::Nothing).await, Ok(1));
        assert_eq!(root.exit().await, RootExit::Stopped);
        assert!(
            (SECOND..2 * SECOND).contains(&asked.elapsed()),
            "{:?}",
            asked.elapsed()
        );
        assert_eq!(
            log.lines(),
            ["a started", "a lingers", "a stopped", "a dropped"]
        );
    });
}

#[test]
fn actor_that_takes_longer_than_its_grace_is_dropped() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, _) = puppet_with("a", &log, |puppet| puppet.linger = 3_600 * SECOND);
        let root = TreeSpec::new("root", Strategy::OneForOne).child(a.grace(|| 2 * SECOND));
        let root = root.start(&runtime).unwrap();
        log.wait("a started", 1).await;
        let asked = Instant::now();
        root.stopper().stop();
        assert_eq!(root.exit().await, RootExit::Stopped);
        assert_eq!(asked.elapsed().as_secs(), 2);
        assert_eq!(log.lines(), ["a started", "a lingers", "a dropped"]);
    });
}

#[test]
fn the_grace_is_what_it_is_said_to_be_when_it_is_to_stop() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let seconds = Arc::new(AtomicU32::new(2));
        let now = seconds.clone();
        let (a, _) = puppet_with("a", &log, |puppet| puppet.linger = 100 * SECOND);
        let spec = a.grace(move || now.load(Ordering::Relaxed) * SECOND);
        let root = TreeSpec::new("root", Strategy::OneForOne).child(spec);
        let root = root.start(&runtime).unwrap();
        log.wait("a started", 1).await;
        seconds.store(200, Ordering::Relaxed);
        root.stopper().stop();
        assert_eq!(root.exit().await, RootExit::Stopped);
        assert_eq!(log.count("a stopped"), 1);
    });
}

#[test]
fn second_interrupt_skips_the_grace() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let mut inner = TreeSpec::new("inner", Strategy::RestForOne);
        for name in ["a", "b"] {
            let (spec, _) = puppet_with(name, &log, |puppet| puppet.linger = 3_600 * SECOND);
            inner = inner.child(spec.grace(|| 600 * SECOND));
        }
        let root = TreeSpec::new("root", Strategy::OneForOne).child(inner);
        let root = root.start(&runtime).unwrap();
        log.wait("b started", 1).await;
        let asked = Instant::now();
        root.stopper().stop();
        log.wait("b lingers", 1).await;
        root.stopper().stop_now();
        assert_eq!(root.exit().await, RootExit::Stopped);
        assert!(asked.elapsed() < SECOND, "{:?}", asked.elapsed());
        assert_eq!((log.count("a dropped"), log.count("b dropped")), (1, 1));
    });
}

#[test]
fn children_that_do_not_build_on_each_other_can_stop_together() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let mut tree = TreeSpec::new("root", Strategy::OneForOne).stop_together();
        for name in ["a", "b", "c", "d"] {
            let (spec, _) = puppet_with(name, &log, |puppet| puppet.linger = SECOND);
            tree = tree.child(spec.grace(|| 2 * SECOND));
        }
        let root = tree.start(&runtime).unwrap();
        log.wait("d started", 1).await;
        let asked = Instant::now();
        root.stopper().stop();
        assert_eq!(root.exit().await, RootExit::Stopped);
        assert!(
            asked.elapsed() < SECOND + Duration::from_millis(100),
            "{:?}",
            asked.elapsed()
        );
        assert_eq!(log.count("a stopped"), 1);
    });
}

#[test]
fn handles_can_be_used_from_any_thread() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<hd_supervision::Stopper>();
    shared::<hd_supervision::Branch>();
    shared::<hd_supervision::Pool>();
    shared::<hd_supervision::Status>();
    shared::<hd_supervision::Port<Do>>();
    shared::<Runtime>();
    shared::<TreeSpec>();
}
