//! The mailboxes of one place: the newest wins, or what waits is merged.

use hd_supervision::actix::fut::{ActorFutureExt, wrap_future};
use hd_supervision::actix::{Actor, AtomicResponse, Context, Handler};
use hd_supervision::testkit::paused;
use hd_supervision::{
    ChildSpec, Coalesce, Latest, Merge, Port, Runtime, Strategy, TreeSpec, WhenFull, message,
};

use crate::support::{Log, SECOND, end};

#[derive(Clone)]
struct Root(u32);
message!(Root);

struct Restart(Vec<u32>);
message!(Restart);

impl Merge for Restart {
    fn merge(&mut self, newer: Self) {
        self.0.extend(newer.0);
    }
}

struct Die;
message!(Die);

/// Takes a second over each message of a slot.
struct Reader {
    log: Log,
    roots: Latest<Root>,
    restarts: Coalesce<Restart>,
}

impl Reader {
    fn take_a_second(&self, line: String) -> AtomicResponse<Self, ()> {
        self.log.add(line);
        let second = wrap_future(tokio::time::sleep(SECOND));
        AtomicResponse::new(Box::pin(second.map(|(), _: &mut Self, _| ())))
    }
}

impl Actor for Reader {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.roots.attach(ctx);
        self.restarts.attach(ctx);
    }
}

impl Handler<Root> for Reader {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, Root(number): Root, _: &mut Context<Self>) -> Self::Result {
        self.take_a_second(format!("root {number}"))
    }
}

impl Handler<Restart> for Reader {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, Restart(changed): Restart, _: &mut Context<Self>) -> Self::Result {
        self.take_a_second(format!("restart {changed:?}"))
    }
}

impl Handler<Die> for Reader {
    type Result = ();

    fn handle(&mut self, _: Die, _: &mut Context<Self>) {
        panic!("told to die");
    }
}

#[test]
fn busy_reader_finds_the_newest_and_the_sum() {
    paused(async {
        let (runtime, log) = (Runtime::single_lane(), Log::default());
        let (roots, restarts) = (Latest::default(), Coalesce::default());
        let parts = (log.clone(), roots.clone(), restarts.clone());
        let die = Port::new("die", 1, WhenFull::Await);
        let reader = ChildSpec::actor("reader", move |_| Reader {
            log: parts.0.clone(),
            roots: parts.1.clone(),
            restarts: parts.2.clone(),
        });
        let root = TreeSpec::new("root", Strategy::OneForOne).child(reader.serves(&die));
        let root = root.start(&runtime).unwrap();
        roots.put(Root(1));
        log.wait("root 1", 1).await;
        for number in 2..=9 {
            roots.put(Root(number));
            restarts.put(Restart(vec![number]));
        }
        // Until it is taken up, which the reader has no time for.
        let both = |restart: &Restart| restart.0.starts_with(&[2, 3]);
        assert!(restarts.waits(both) && !restarts.waits(|_| false));
        tokio::time::sleep(5 * SECOND).await;
        let mut after = log.lines();
        after.sort();
        assert_eq!(
            after,
            ["restart [2, 3, 4, 5, 6, 7, 8, 9]", "root 1", "root 9"]
        );

        // A new incarnation is handed the newest root again, and a sum only once.
        log.clear();
        die.offer(Die).unwrap();
        log.wait("root 9", 1).await;
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(log.lines(), ["root 9"]);
        assert_eq!(roots.get().map(|root| root.0), Some(9));
        assert!(!restarts.waits(|_| true));
        end(root, &runtime).await;
    });
}
