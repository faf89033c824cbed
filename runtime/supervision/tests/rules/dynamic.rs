//! Children that come and go while their tree runs.

use hd_supervision::testkit::paused;
use hd_supervision::{NameTaken, Runtime, Strategy, TreeSpec};

use crate::support::{Do, Log, answers_again, end, puppet, tell};

#[test]
fn services_are_added_and_removed_at_run_time() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let services = TreeSpec::new("services", Strategy::OneForOne);
        let branch = services.branch();
        let (early, to_early) = puppet("early", &log);
        branch.add(early).await.unwrap();
        let root = TreeSpec::new("root", Strategy::OneForOne).child(puppet("boot", &log).0);
        let root = root.child(services).start(&runtime).unwrap();
        assert_eq!(
            tell(&to_early, Do::Nothing).await,
            Ok(1),
            "added before the start"
        );

        let (web, to_web) = puppet("web", &log);
        branch.add(web).await.unwrap();
        assert_eq!(
            tell(&to_web, Do::Nothing).await,
            Ok(1),
            "bound when add returns"
        );
        let taken = branch.add(puppet("web", &log).0).await.unwrap_err();
        assert_eq!(taken, NameTaken { name: "web".into() });

        let (other, _) = puppet("boot", &log);
        assert!(
            branch.add(other).await.is_err(),
            "an actor of another tree has this name"
        );

        assert!(branch.remove("early").await);
        assert!(!branch.remove("early").await);
        assert_eq!(log.count("early stopped"), 1, "stopped when remove returns");
        assert!(to_early.offer(Do::Nothing).is_err());
        let names: Vec<_> = runtime.observe_all(crate::support::SECOND).await;
        assert_eq!(
            names.iter().map(|line| &*line.name).collect::<Vec<_>>(),
            ["boot", "web"]
        );
        end(root, &runtime).await;
    });
}

#[test]
fn child_added_at_run_time_is_restarted_and_survives_its_tree() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let services = TreeSpec::new("services", Strategy::OneForOne);
        let branch = services.branch();
        let root = TreeSpec::new("root", Strategy::OneForOne).child(services);
        let root = root.start(&runtime).unwrap();
        let (web, to_web) = puppet("web", &log);
        let (worker, to_worker) = puppet("worker", &log);
        branch.add(web).await.unwrap();
        branch.add(worker).await.unwrap();
        tell(&to_worker, Do::Nothing).await.unwrap();
        // The fourth panic brings the tree down; the root rebuilds it with what it had.
        for _ in 0..4 {
            let _ = tell(&to_web, Do::Panic).await;
            answers_again(&to_web).await;
        }
        answers_again(&to_worker).await;
        assert_eq!(
            (runtime.restarts("web"), runtime.restarts("worker")),
            (4, 1)
        );
        assert!(
            branch.remove("web").await,
            "the handle outlives the tree as well"
        );
        assert_eq!(branch.names(), ["worker".into()]);
        end(root, &runtime).await;
    });
}
