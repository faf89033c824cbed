//! E2, E3, E5c, E11: a bound that holds, whoever sends, and an answer when it is reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hd_supervision::actix::fut::{ActorFutureExt, wrap_future};
use hd_supervision::actix::{Actor, AtomicResponse, Context, Handler};
use hd_supervision::testkit::{paused, until};
use hd_supervision::{
    AskError, ChildSpec, Port, Refused, Runtime, State, Strategy, TreeSpec, WhenFull, block_on,
    message,
};
use tokio::sync::Semaphore;

use crate::support::{Do, Log, SECOND, end, puppet, tell};

#[test]
fn e2_bound_holds_with_a_fresh_clone_per_message() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, _) = puppet("a", &log);
        let port = Port::new("a.few", 4, WhenFull::Rescan);
        let root = TreeSpec::new("root", Strategy::OneForOne).child(a.serves(&port));
        let root = root.start(&runtime).unwrap();
        // Nothing is awaited, so the actor cannot run in between.
        let offers = (0..10_000).map(|_| port.clone().offer(Do::Nothing));
        let accepted = offers.filter(Result::is_ok).count();
        assert_eq!(accepted, 4, "the bound holds from birth");
        assert!(
            matches!(port.offer(Do::Stop), Err(Refused::Full(Do::Stop))),
            "given back"
        );
        assert_eq!(
            tell(&port, Do::Nothing).await,
            Ok(5),
            "asking waited for room"
        );
        end(root, &runtime).await;
    });
}

#[test]
fn e11_bound_holds_under_eight_senders() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, _) = puppet("a", &log);
        let port = Port::new("a.few", 4, WhenFull::Rescan);
        let root = TreeSpec::new("root", Strategy::OneForOne).child(a.serves(&port));
        let root = root.start(&runtime).unwrap();
        for round in 1..=50 {
            let accepted = AtomicUsize::new(0);
            // The actor is on this thread, which only joins: so it is not running.
            std::thread::scope(|threads| {
                for _ in 0..8 {
                    threads.spawn(|| {
                        let offers = (0..500).map(|_| port.offer(Do::Nothing));
                        accepted.fetch_add(offers.filter(Result::is_ok).count(), Ordering::SeqCst);
                    });
                }
            });
            assert_eq!(accepted.into_inner(), 4, "in round {round}");
            assert_eq!(tell(&port, Do::Nothing).await, Ok(round * 5));
        }
        end(root, &runtime).await;
    });
}

#[test]
fn each_port_of_an_actor_has_its_own_bound() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (a, wide) = puppet("a", &log);
        let narrow = Port::new("a.narrow", 1, WhenFull::Await);
        let root = TreeSpec::new("root", Strategy::OneForOne).child(a.serves(&narrow));
        let root = root.start(&runtime).unwrap();
        while wide.offer(Do::Nothing).is_ok() {}
        assert_eq!((wide.queued(), narrow.queued()), (16, 0));
        narrow
            .offer(Do::Nothing)
            .expect("a full neighbour takes no place of this port");
        assert!(narrow.offer(Do::Nothing).unwrap_err().is_full());
        end(root, &runtime).await;
    });
}

/// A message whose handler waits for a permit before it answers with its number.
struct Slow(u32);
message!(Slow => u32);

/// Handles one [`Slow`] at a time.
struct OneAtATime {
    gate: Arc<Semaphore>,
    at_work: Arc<AtomicUsize>,
}

impl Actor for OneAtATime {
    type Context = Context<Self>;
}

impl Handler<Slow> for OneAtATime {
    type Result = AtomicResponse<Self, u32>;

    fn handle(&mut self, Slow(number): Slow, _: &mut Context<Self>) -> Self::Result {
        let (gate, at_work) = (Arc::clone(&self.gate), Arc::clone(&self.at_work));
        at_work.fetch_add(1, Ordering::SeqCst);
        let work = async move {
            gate.acquire().await.expect("never closed").forget();
        };
        AtomicResponse::new(Box::pin(wrap_future(work).map(
            move |(), this: &mut Self, _| {
                this.at_work.fetch_sub(1, Ordering::SeqCst);
                number
            },
        )))
    }
}

fn one_at_a_time(port: &Port<Slow>) -> (TreeSpec, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (gate, at_work) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let parts = (Arc::clone(&gate), Arc::clone(&at_work));
    let spec = ChildSpec::actor("slow", move |_| OneAtATime {
        gate: Arc::clone(&parts.0),
        at_work: Arc::clone(&parts.1),
    });
    let tree = TreeSpec::new("root", Strategy::OneForOne).child(spec.serves(port));
    (tree, gate, at_work)
}

#[test]
fn e3_atomic_response_takes_one_at_a_time_and_the_bound_bites() {
    paused(async {
        let runtime = Runtime::single_lane();
        let port = Port::new("slow", 4, WhenFull::Await);
        let (tree, gate, at_work) = one_at_a_time(&port);
        let root = tree.start(&runtime).unwrap();
        port.offer(Slow(0)).unwrap();
        until("the first is at work", || {
            at_work.load(Ordering::SeqCst) == 1
        })
        .await;
        let accepted = (0..200).filter(|_| port.offer(Slow(0)).is_ok()).count();
        assert_eq!((accepted, at_work.load(Ordering::SeqCst)), (4, 1));

        let full = port.ask(Slow(7), SECOND).await;
        assert_eq!(
            full,
            Err(AskError::Full {
                port: "slow".into()
            })
        );
        let snapshot = runtime.observe_all(SECOND).await.remove(0);
        assert_eq!(
            (snapshot.state, snapshot.queued),
            (State::Busy, 4),
            "status does not queue"
        );

        gate.add_permits(6);
        assert_eq!(port.ask(Slow(7), SECOND).await, Ok(7));
        let late = port.ask(Slow(8), SECOND).await;
        assert_eq!(
            late,
            Err(AskError::TimedOut {
                port: "slow".into()
            })
        );
        end(root, &runtime).await;
    });
}

#[test]
fn await_waits_for_room_from_tasks_and_from_threads() {
    block_on(async {
        let runtime = Runtime::new();
        let port = Port::new("slow", 1, WhenFull::Await);
        let (tree, gate, at_work) = one_at_a_time(&port);
        let root = tree.start(&runtime).unwrap();
        port.offer(Slow(1)).unwrap();
        until("the first is at work", || {
            at_work.load(Ordering::SeqCst) == 1
        })
        .await;
        port.offer(Slow(2)).unwrap();

        let brief = Duration::from_millis(1);
        assert!(port.deliver(Slow(3), brief).await.unwrap_err().is_full());
        assert!(port.deliver_blocking(Slow(3), brief).unwrap_err().is_full());
        let thread = std::thread::spawn({
            let port = port.clone();
            move || port.deliver_blocking(Slow(3), 20 * SECOND)
        });
        gate.add_permits(1);
        until("the thread has delivered", || thread.is_finished()).await;
        thread.join().unwrap().unwrap();
        gate.add_permits(2);
        port.deliver(Slow(4), 20 * SECOND).await.unwrap();
        root.stopper().stop_now();
        let _ = root.exit().await;
    })
    .unwrap();
}

struct Again;
message!(Again);

/// Sends itself another message for each it gets.
struct Chatterbox(Port<Again>);

impl Actor for Chatterbox {
    type Context = Context<Self>;
}

impl Handler<Again> for Chatterbox {
    type Result = ();

    fn handle(&mut self, _: Again, _: &mut Context<Self>) {
        let _ = self.0.offer(Again);
    }
}

#[test]
fn e5c_actor_that_never_runs_out_of_mail_lets_its_neighbours_run() {
    block_on(async {
        let (runtime, log) = (Runtime::new(), Log::default());
        let port = Port::new("again", 2, WhenFull::Rescan);
        let own = port.clone();
        let chatterbox = ChildSpec::actor("chatterbox", move |_| Chatterbox(own.clone()));
        let (neighbour, to_neighbour) = puppet("neighbour", &log);
        let tree = TreeSpec::new("root", Strategy::OneForOne);
        let tree = tree.child(chatterbox.serves(&port)).child(neighbour);
        let root = tree.start(&runtime).unwrap();
        port.offer(Again).unwrap();
        let begun = std::time::Instant::now();
        for turn in 1..=20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(tell(&to_neighbour, Do::Nothing).await, Ok(turn));
        }
        assert!(
            begun.elapsed() < 4 * SECOND,
            "20 timers of 1 ms took {:?}",
            begun.elapsed()
        );
        end(root, &runtime).await;
    })
    .unwrap();
}
