//! Status that answers whatever the actors do.

use hd_supervision::testkit::paused;
use hd_supervision::{OBSERVE_WITHIN, Restart, Runtime, State, Strategy, TreeSpec};

use crate::support::{Do, Log, end, puppet, puppet_with, tell};

#[test]
fn snapshot_tells_alive_busy_and_dead_with_restarts_and_detail() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (idle, to_idle) = puppet_with("idle", &log, |puppet| {
            puppet.on_start = |birth| birth.status.idle(format!("restart {}", birth.restarts));
        });
        let (busy, _) = puppet_with("busy", &log, |puppet| {
            puppet.on_start = |birth| birth.status.busy("hashing 12 files");
        });
        let (gone, to_gone) = puppet("gone", &log);
        let tree = TreeSpec::new("root", Strategy::OneForOne);
        let tree = tree
            .child(idle)
            .child(busy)
            .child(gone.restart(Restart::Never));
        let root = tree.start(&runtime).unwrap();
        let _ = tell(&to_idle, Do::Panic).await;
        let _ = tell(&to_gone, Do::Panic).await;
        log.wait("idle started", 2).await;

        let seen = runtime.observe_all(OBSERVE_WITHIN).await;
        let lines: Vec<_> = seen
            .iter()
            .map(|line| (&*line.name, line.state, line.restarts))
            .collect();
        let expected = [
            ("idle", State::Alive, 1),
            ("busy", State::Busy, 0),
            ("gone", State::Dead, 0),
        ];
        assert_eq!(lines, expected);
        assert_eq!(
            (&*seen[0].detail, &*seen[1].detail),
            ("restart 1", "hashing 12 files")
        );
        assert!(
            seen[2].detail.starts_with("panicked: told to panic"),
            "{}",
            seen[2].detail
        );
        end(root, &runtime).await;
    });
}
