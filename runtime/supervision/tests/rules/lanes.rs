//! E6, E12: lanes run in parallel, and a dead one is replaced.

use std::sync::{Mutex, mpsc};

use hd_supervision::actix::{Actor, Context, Handler};
use hd_supervision::testkit::until;
use hd_supervision::{
    ChildSpec, Lane, Port, Runtime, State, Strategy, TreeSpec, WhenFull, block_on, message,
};

use crate::support::{Do, Log, SECOND, end, puppet, tell};

/// Blocks its handler, which no actor may do, until the sender of the channel is dropped.
struct Block(mpsc::Receiver<()>);
message!(Block);

struct Blocker;

impl Actor for Blocker {
    type Context = Context<Self>;
}

impl Handler<Block> for Blocker {
    type Result = ();

    fn handle(&mut self, Block(released): Block, _: &mut Context<Self>) {
        let _ = released.recv();
    }
}

#[test]
fn e12_child_on_a_dead_lane_gets_a_fresh_one() {
    block_on(async {
        let (runtime, log) = (Runtime::new(), Log::default());
        let (a, to_a) = puppet("a", &log);
        let (b, to_b) = puppet("b", &log);
        let tree = TreeSpec::new("root", Strategy::OneForOne);
        let tree = tree
            .child(a.lane(Lane::Named("engine")))
            .child(b.lane(Lane::Named("engine")));
        let root = tree.start(&runtime).unwrap();
        assert_eq!(tell(&to_b, Do::Nothing).await, Ok(1));
        let _ = tell(&to_a, Do::StopArbiter).await;
        log.wait("a started", 2).await;
        log.wait("b started", 2).await;
        assert_eq!(tell(&to_a, Do::Nothing).await, Ok(1));
        assert_eq!(tell(&to_b, Do::Nothing).await, Ok(1));
        let vanished = (log.count("b stopped"), log.count("b dropped"));
        assert_eq!(
            vanished,
            (0, 1),
            "it was not asked, but its fields were dropped"
        );
        assert_eq!((runtime.restarts("a"), runtime.restarts("b")), (1, 1));
        end(root, &runtime).await;
    })
    .unwrap();
}

#[test]
fn e6_blocked_lane_holds_up_neither_the_others_nor_status_nor_the_end() {
    block_on(async {
        let (runtime, log) = (Runtime::new(), Log::default());
        let port = Port::new("block", 1, WhenFull::Await);
        let blocker = ChildSpec::actor("blocker", |birth| {
            birth.status.idle("never blocked yet");
            Blocker
        });
        let blocker = blocker
            .serves(&port)
            .lane(Lane::Named("stuck"))
            .grace(|| SECOND / 100);
        let (other, to_other) = puppet("other", &log);
        let tree = TreeSpec::new("root", Strategy::OneForOne);
        let tree = tree.child(blocker).child(other.lane(Lane::Named("free")));
        let root = tree.start(&runtime).unwrap();
        let (release, released) = mpsc::channel();
        port.offer(Block(released)).unwrap();
        until("it blocks", || port.queued() == 0).await;
        assert_eq!(tell(&to_other, Do::Nothing).await, Ok(1));

        let begun = std::time::Instant::now();
        let snapshots = runtime.observe_all(SECOND / 10).await;
        assert!(begun.elapsed() < SECOND * 3 / 10, "{:?}", begun.elapsed());
        let states: Vec<_> = snapshots
            .iter()
            .map(|line| (&*line.name, line.state))
            .collect();
        assert_eq!(states, [("blocker", State::Busy), ("other", State::Alive)]);
        assert_eq!(snapshots[0].detail, "never blocked yet");

        root.stopper().stop();
        let _ = root.exit().await;
        let overdue = runtime.close(SECOND / 100).await;
        assert!(overdue.lanes.contains(&"stuck".to_owned()), "{overdue:?}");
        drop(release);
    })
    .unwrap();
}

#[test]
fn a_blocking_job_of_a_lane_does_not_hold_up_the_end() {
    block_on(async {
        let (runtime, log) = (Runtime::new(), Log::default());
        let (a, _) = puppet("a", &log);
        let (release, released) = mpsc::channel::<()>();
        let job = Mutex::new(Some(released));
        let blocking = ChildSpec::actor("blocking", move |_| {
            if let Some(released) = job.lock().unwrap().take() {
                tokio::task::spawn_blocking(move || released.recv());
            }
            Blocker
        });
        let tree = TreeSpec::new("root", Strategy::OneForOne);
        let tree = tree.child(blocking.lane(Lane::Named("jobs"))).child(a);
        let root = tree.start(&runtime).unwrap();
        log.wait("a started", 1).await;
        root.stopper().stop();
        let _ = root.exit().await;
        let overdue = runtime.close(SECOND / 10).await;
        assert_eq!(overdue.lanes, ["jobs"]);
        drop(release);
    })
    .unwrap();
}
