//! E10: virtual hours pass in no time, the same way each time.

use std::time::Duration;

use hd_supervision::actix::{Actor, AsyncContext, Context, Handler, SpawnHandle};
use hd_supervision::testkit::{paused, recorder};
use hd_supervision::{ChildSpec, Port, Runtime, Strategy, TreeSpec, WhenFull, message};

use crate::support::end;

#[derive(Debug, PartialEq)]
struct Touched(u32);
message!(Touched);

#[derive(Debug, PartialEq)]
struct Settled(Vec<u32>);
message!(Settled);

struct Debouncer {
    quiet: Duration,
    gathered: Vec<u32>,
    timer: Option<SpawnHandle>,
    out: Port<Settled>,
}

impl Actor for Debouncer {
    type Context = Context<Self>;
}

impl Handler<Touched> for Debouncer {
    type Result = ();

    fn handle(&mut self, Touched(path): Touched, ctx: &mut Context<Self>) {
        self.gathered.push(path);
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        self.timer = Some(ctx.run_later(self.quiet, |this, _| {
            let batch = std::mem::take(&mut this.gathered);
            this.out.offer(Settled(batch)).expect("the tape takes it");
        }));
    }
}

#[test]
fn e10_an_hour_of_debouncing_on_a_paused_clock() {
    let begun = std::time::Instant::now();
    paused(async {
        let runtime = Runtime::single_lane();
        let (out, tape) = recorder("out", 4, |_: &Settled| ());
        let touched = Port::new("touched", 16, WhenFull::Rescan);
        let spec = ChildSpec::actor("debouncer", move |_| Debouncer {
            quiet: Duration::from_secs(60),
            gathered: Vec::new(),
            timer: None,
            out: out.clone(),
        });
        let tree = TreeSpec::new("root", Strategy::OneForOne).child(spec.serves(&touched));
        let root = tree.start(&runtime).unwrap();
        let start = tokio::time::Instant::now();
        for path in 0..60 {
            touched.offer(Touched(path)).unwrap();
            tokio::time::sleep(Duration::from_secs(59)).await;
        }
        assert!(tape.is_empty(), "it was never quiet for a minute");
        assert_eq!(tape.next().await, Settled((0..60).collect()));
        assert_eq!(start.elapsed().as_secs(), 59 * 59 + 60);
        end(root, &runtime).await;
    });
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
}
