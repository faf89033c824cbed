//! Two actors, a port between them, a nested tree, an orderly end.

use std::time::Duration;

use hd_supervision::actix::{Actor, Context, Handler};
use hd_supervision::*;

struct Add(u32);
message!(Add => u32);
struct Ledger(u32);
impl Actor for Ledger {
    type Context = Context<Self>;
}
impl Handler<Add> for Ledger {
    type Result = u32;
    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u32 {
        self.0 += n;
        self.0
    }
}

struct Tick;
message!(Tick);
struct Clerk {
    ledger: Port<Add>,
    status: Status,
}
impl Actor for Clerk {
    type Context = Context<Self>;
}
impl Handler<Tick> for Clerk {
    type Result = ();
    fn handle(&mut self, _: Tick, _: &mut Context<Self>) {
        match self.ledger.offer(Add(1)) {
            Ok(()) => self.status.idle("offered"),
            Err(refused) => self.status.idle(format!("will try again: {refused}")),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    block_on(async {
        let runtime = Runtime::new();
        let (adds, ticks) = (
            Port::new("ledger.add", 4, WhenFull::Await),
            Port::new("clerk.tick", 8, WhenFull::Rescan),
        );
        let ledger = ChildSpec::actor("ledger", |_birth| Ledger(0))
            .serves(&adds)
            .lane(Lane::Named("engine"));
        let clerk = ChildSpec::actor("clerk", {
            let ledger = adds.clone();
            move |birth| Clerk {
                ledger: ledger.clone(),
                status: birth.status.clone(),
            }
        });
        let root = TreeSpec::new("root", Strategy::OneForOne)
            .child(TreeSpec::new("engine", Strategy::RestForOne).child(ledger))
            .child(clerk.serves(&ticks).grace(|| Duration::from_secs(1)))
            .start(&runtime)?;

        ticks.deliver(Tick, Duration::from_secs(1)).await?;
        let mut total = 0;
        while total == 0 {
            total = adds.ask(Add(0), Duration::from_secs(1)).await?;
        }
        assert_eq!((total, runtime.restarts("ledger")), (1, 0));

        root.stopper().stop();
        assert_eq!(root.exit().await, RootExit::Stopped);
        assert!(runtime.close(Duration::from_secs(5)).await.is_empty());
        Ok(())
    })?
}
