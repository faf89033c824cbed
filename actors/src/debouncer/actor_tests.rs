//! The Debouncer on a paused clock.

use std::sync::atomic::{AtomicUsize, Ordering};

use hd_dag::TreePath;
use hd_store::Id;
use hd_supervision::testkit::{Tape, paused, recorder};
use hd_supervision::{Latest, Root, RootExit, Runtime, Strategy, TreeSpec, WhenFull};

use super::super::window::these;
use super::*;

fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

fn ok() -> Result<Settled, BatchError> {
    Ok(Settled {
        root: Id::of(b"root"),
        changed: true,
    })
}

fn start(runtime: &Runtime, settled: Port<PathsSettled>) -> (Root, Port<PathsTouched>) {
    start_with(runtime, settled, Pause::default())
}

fn start_with(
    runtime: &Runtime,
    settled: Port<PathsSettled>,
    pause: Pause,
) -> (Root, Port<PathsTouched>) {
    start_ahead(runtime, (Latest::default(), settled), pause)
}

fn start_ahead(
    runtime: &Runtime,
    batches: (Latest<LookAhead>, Port<PathsSettled>),
    pause: Pause,
) -> (Root, Port<PathsTouched>) {
    let touched = Port::new("debouncer.touched", 256, WhenFull::Rescan);
    let tree = TreeSpec::new("intake", Strategy::RestForOne).child(child(&touched, batches, pause));
    (tree.start(runtime).unwrap(), touched)
}

fn touch(touched: &Port<PathsTouched>, paths: Paths) {
    touched
        .offer(PathsTouched {
            paths,
            seen_at: now(),
        })
        .unwrap();
}

async fn end(root: Root) {
    root.stopper().stop();
    assert_eq!(root.exit().await, RootExit::Stopped);
}

async fn next(tape: &Tape<PathsSettled>) -> (u64, Paths, Duration) {
    let batch = tape.next().await;
    (
        batch.origin.batch,
        batch.paths,
        now() - batch.origin.seen_at,
    )
}

#[test]
fn a_save_of_three_events_is_one_batch_within_ten_milliseconds() {
    paused(async {
        let runtime = Runtime::single_lane();
        let (settled, tape) = recorder("settled", 4, |_: &PathsSettled| ok());
        let (root, touched) = start(&runtime, settled);
        for _ in 0..3 {
            touch(&touched, these([path("app.py")]));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (batch, paths, after) = next(&tape).await;
        assert_eq!((batch, paths), (1, these([path("app.py")])));
        assert!(after <= Duration::from_millis(10), "{after:?}");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(tape.is_empty(), "nothing was touched since");
        end(root).await;
    });
}

#[test]
fn who_can_look_ahead_is_told_at_the_first_event() {
    paused(async {
        let runtime = Runtime::single_lane();
        let (settled, tape) = recorder("settled", 4, |_: &PathsSettled| ok());
        let ahead = Latest::default();
        let batches = (ahead.clone(), settled);
        let (root, touched) = start_ahead(&runtime, batches, Pause::default());
        assert!(ahead.get().is_none(), "nothing was touched");
        touch(&touched, these([path("app.py")]));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(ahead.get().is_some() && tape.is_empty(), "before the batch");
        next(&tape).await;
        end(root).await;
    });
}

#[test]
fn a_storm_is_one_batch_once_it_is_over() {
    paused(async {
        let runtime = Runtime::single_lane();
        let (settled, tape) = recorder("settled", 4, |_: &PathsSettled| ok());
        let (root, touched) = start(&runtime, settled);
        for at in 0..400 {
            touch(&touched, these((0..8).map(|n| path(&format!("f{at}-{n}")))));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let Paths::These(paths) = tape.next().await.paths else {
            panic!("3,200 paths have names")
        };
        assert_eq!((paths.len(), tape.len()), (3_200, 0));
        end(root).await;
    });
}

#[test]
fn a_failed_batch_comes_again_merged_with_what_came_meanwhile() {
    paused(async {
        let runtime = Runtime::single_lane();
        let tries = AtomicUsize::new(0);
        let (settled, tape) = recorder("settled", 8, move |_: &PathsSettled| {
            match tries.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => Err(BatchError::new("busy", "the base is not there yet")),
                _ => ok(),
            }
        });
        let (root, touched) = start(&runtime, settled);
        touch(&touched, these([path("a")]));
        assert_eq!(next(&tape).await.0, 1);
        touch(&touched, these([path("b")]));
        let second = tape.next().await;
        assert_eq!(second.origin.batch, 2);
        assert_eq!(second.paths, these([path("a"), path("b")]));
        let failed_again = now();
        let third = tape.next().await;
        assert_eq!(third.paths, second.paths);
        assert!(now() - failed_again >= 2 * RETRY_FIRST, "the pause grows");
        touch(&touched, these([path("c")]));
        let (batch, paths, after) = next(&tape).await;
        assert_eq!((batch, paths), (4, these([path("c")])));
        assert!(
            after <= Duration::from_millis(10),
            "success ends the pauses: {after:?}"
        );
        end(root).await;
    });
}

struct Gone;

impl Actor for Gone {
    type Context = Context<Self>;
}

impl Handler<PathsSettled> for Gone {
    type Result = Result<Settled, BatchError>;

    fn handle(&mut self, _: PathsSettled, _: &mut Self::Context) -> Self::Result {
        ok()
    }
}

/// A port whose actor has ended.
async fn deserted() -> Port<PathsSettled> {
    let port = Port::new("settled", 1, WhenFull::Coalesce);
    let spec = ChildSpec::actor("gone", |_| Gone).serves(&port);
    let tree = TreeSpec::new("engine", Strategy::OneForOne).child(spec);
    end(tree.start(&Runtime::single_lane()).unwrap()).await;
    port
}

#[test]
fn while_nobody_listens_the_batch_is_kept() {
    paused(async {
        let runtime = Runtime::single_lane();
        let (root, touched) = start(&runtime, deserted().await);
        touch(&touched, these([path("a")]));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let snapshot = runtime.observe_all(Duration::from_secs(1)).await.remove(0);
        assert!(snapshot.detail.contains("tried again"), "{snapshot:?}");
        let number: u64 = snapshot.detail.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(
            (30..=80).contains(&number),
            "a try a second at the most: {number}"
        );
        end(root).await;
    });
}

#[test]
fn while_paused_edits_gather_and_go_out_as_one_batch() {
    paused(async {
        let runtime = Runtime::single_lane();
        let (settled, tape) = recorder("settled", 4, |_: &PathsSettled| ok());
        let pause = Pause::default();
        let (root, touched) = start_with(&runtime, settled, pause.clone());
        touch(&touched, these([path("a")]));
        // Also what was on its way.
        pause.set(true);
        for name in ["b", "c"] {
            tokio::time::sleep(Duration::from_secs(5)).await;
            touch(&touched, these([path(name)]));
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(tape.is_empty());
        assert_eq!(pause.report().unwrap().waiting, Some(3));
        pause.set(false);
        let (batch, paths, _) = next(&tape).await;
        assert_eq!((batch, paths), (1, these(["a", "b", "c"].map(path))));
        end(root).await;
    });
}
