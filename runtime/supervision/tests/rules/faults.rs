//! The fault hook: any actor can be killed at a chosen message.

use hd_supervision::testkit::paused;
use hd_supervision::{RootExit, Runtime, Strategy, TreeSpec, fault};

use crate::support::{Do, Log, answers_again, end, puppet, tell};

#[test]
fn armed_fault_kills_the_actor_at_its_nth_message_once() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet("fault-once", &log);
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(a)
            .start(&runtime)
            .unwrap();
        fault::arm("fault-once", 3);
        assert_eq!(tell(&to_a, Do::Nothing).await, Ok(1));
        assert_eq!(tell(&to_a, Do::Nothing).await, Ok(2));
        assert!(tell(&to_a, Do::Nothing).await.is_err());
        assert_eq!(answers_again(&to_a).await, 1);
        assert_eq!(runtime.restarts("fault-once"), 1);
        end(root, &runtime).await;
    });
}

#[test]
fn repeating_fault_exceeds_the_budget() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, to_a) = puppet("fault-always", &log);
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(a)
            .start(&runtime)
            .unwrap();
        fault::arm_from("other:2,fault-always:1+,nonsense:x");
        let exit = root.exit();
        let mut exit = std::pin::pin!(exit);
        let exit = loop {
            tokio::select! {
                exit = &mut exit => break exit,
                _ = tell(&to_a, Do::Nothing) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            }
        };
        let RootExit::Escalated(cause) = exit else {
            panic!("not escalated")
        };
        assert!(cause.contains("injected fault at fault-always"), "{cause}");
        assert_eq!(runtime.restarts("fault-always"), 3);
        fault::disarm("fault-always");
    });
}
