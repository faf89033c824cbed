//! E9: a storm of events over a bounded edge, with a crash in the middle.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hd_supervision::actix::fut::{ActorFutureExt, wrap_future};
use hd_supervision::actix::{Actor, AsyncContext, Context, Handler};
use hd_supervision::testkit::until;
use hd_supervision::{
    ChildSpec, InFlight, Lane, Merge, Port, Runtime, Strategy, TreeSpec, WhenFull, block_on,
    message,
};

use crate::support::{SECOND, end};

/// Paths, or "look at everything".
#[derive(Clone, Debug, Default)]
struct Batch {
    paths: Vec<u32>,
    rescan: bool,
}
message!(Batch => bool);

impl Merge for Batch {
    fn merge(&mut self, newer: Self) {
        self.paths.extend(newer.paths);
        self.paths.sort_unstable();
        self.paths.dedup();
        self.rescan |= newer.rescan;
    }
}

/// Gathers raw events while one batch is in flight, and retries what was not acknowledged.
struct Gatherer {
    flight: InFlight<Batch>,
    out: Port<Batch>,
    missed: Arc<AtomicUsize>,
}

impl Gatherer {
    fn send(&mut self, ctx: &mut Context<Self>) {
        let Some(batch) = self.flight.start() else {
            return;
        };
        let out = self.out.clone();
        let ask = async move { out.ask(batch, SECOND).await };
        ctx.spawn(
            wrap_future(ask).map(
                |answer, this: &mut Self, ctx: &mut Context<Self>| match answer {
                    Ok(_) => {
                        this.flight.done();
                        this.send(ctx);
                    }
                    Err(_) => {
                        this.flight.failed();
                        ctx.run_later(Duration::from_millis(20), |this, ctx| this.send(ctx));
                    }
                },
            ),
        );
    }
}

impl Actor for Gatherer {
    type Context = Context<Self>;
}

struct Raw(u32);
message!(Raw);

impl Handler<Raw> for Gatherer {
    type Result = ();

    fn handle(&mut self, Raw(path): Raw, ctx: &mut Context<Self>) {
        // The flag of the Rescan edge: raised by the sender when the port was full.
        let rescan = self.missed.swap(0, Ordering::SeqCst) > 0;
        let paths = vec![path];
        self.flight.add(Batch { paths, rescan });
        self.send(ctx);
    }
}

/// Panics at its second batch, else notes what it was given.
struct Conductor {
    noted: Arc<Mutex<Batch>>,
    batches: Arc<AtomicUsize>,
}

impl Actor for Conductor {
    type Context = Context<Self>;
}

impl Handler<Batch> for Conductor {
    type Result = bool;

    fn handle(&mut self, batch: Batch, _: &mut Context<Self>) -> bool {
        assert!(
            self.batches.fetch_add(1, Ordering::SeqCst) != 1,
            "the second batch is bad"
        );
        self.noted.lock().unwrap().merge(batch);
        true
    }
}

#[test]
fn e9_storm_of_events_with_a_crash_loses_nothing_and_stays_bounded() {
    const EVENTS: u32 = 20_000;
    block_on(async {
        let runtime = Runtime::new();
        let raw = Port::new("raw", 64, WhenFull::Rescan);
        let settled = Port::new("settled", 1, WhenFull::Coalesce);
        let (missed, noted) = (
            Arc::<AtomicUsize>::default(),
            Arc::<Mutex<Batch>>::default(),
        );
        let conductor = ChildSpec::actor("conductor", {
            let (noted, batches) = (Arc::clone(&noted), Arc::default());
            move |_| Conductor {
                noted: Arc::clone(&noted),
                batches: Arc::clone(&batches),
            }
        });
        let gatherer = ChildSpec::actor("gatherer", {
            let (missed, settled) = (Arc::clone(&missed), settled.clone());
            move |_| Gatherer {
                flight: InFlight::default(),
                out: settled.clone(),
                missed: Arc::clone(&missed),
            }
        });
        let tree = TreeSpec::new("root", Strategy::OneForOne)
            .child(conductor.serves(&settled).lane(Lane::Named("engine")))
            .child(gatherer.serves(&raw).lane(Lane::Named("watch")));
        let root = tree.start(&runtime).unwrap();
        let notify = std::thread::spawn({
            let (raw, missed) = (raw.clone(), Arc::clone(&missed));
            move || {
                let offer = |path: &u32| match raw.offer(Raw(*path)) {
                    Ok(()) => true,
                    Err(_) => {
                        missed.fetch_add(1, Ordering::SeqCst);
                        false
                    }
                };
                (0..EVENTS).filter(offer).collect::<Vec<_>>()
            }
        });
        until("the storm is over", || notify.is_finished()).await;
        let mut accepted = notify.join().unwrap();
        // One more event carries the flag, as the next save of a user would.
        raw.deliver(Raw(EVENTS), 5 * SECOND).await.unwrap();
        accepted.push(EVENTS);

        until("all that was accepted arrives", || {
            noted.lock().unwrap().paths == accepted
        })
        .await;
        let refused = EVENTS as usize + 1 - accepted.len();
        assert_eq!(
            noted.lock().unwrap().rescan,
            refused > 0,
            "refused {refused}, and said so"
        );
        assert_eq!(
            (runtime.restarts("conductor"), runtime.restarts("gatherer")),
            (1, 0)
        );
        end(root, &runtime).await;
    })
    .unwrap();
}
