//! The Watcher with a kernel that loses events when a test says so.

use std::sync::Mutex;

use hd_config::{FileFilter, Files};
use hd_supervision::testkit::{Tape, recorder};
use hd_supervision::{Root, RootExit, Runtime, Strategy, TreeSpec, WhenFull, block_on};
use notify::event::Flag;
use notify::{EventHandler, EventKind};

use super::super::watches::{Refusal, Watches};
use super::*;
use crate::events::{Events, Silence};
use crate::mount_server::mount_points::MountPoints;

const SOON: Duration = Duration::from_secs(20);

/// Who is told of events, one for each time that everything was watched anew.
#[derive(Clone, Default)]
struct Kernel(Arc<Mutex<Vec<Box<dyn EventHandler>>>>);

struct Watching;

impl Watches for Watching {
    fn add(&mut self, _: &std::path::Path) -> Result<(), Refusal> {
        Ok(())
    }

    fn remove(&mut self, _: &std::path::Path) {}
}

impl Kernel {
    fn opened(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn lose_events(&self) {
        let event = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        let mut told = self.0.lock().unwrap();
        told.last_mut().expect("it is open").handle_event(Ok(event));
    }

    fn watched(&self, root: &std::path::Path) -> Watched {
        let kernel = self.clone();
        Watched {
            root: root.to_owned(),
            files: FileFilter::new(&Files::default()),
            named: Default::default(),
            led_to: Default::default(),
            points: MountPoints::default(),
            events: Events::new(Arc::new(Silence)),
            opener: Arc::new(move |handler| {
                kernel.0.lock().unwrap().push(handler);
                Ok(Box::new(Watching))
            }),
            seen: Arc::default(),
        }
    }
}

fn start(runtime: &Runtime, watched: Watched) -> (Root, Tape<PathsTouched>) {
    let (touched, tape) = recorder("touched", 64, |_: &PathsTouched| ());
    let lost = Port::new("lost", 1, WhenFull::Rescan);
    let pool = runtime.pool("watch", 1, 4).unwrap();
    let watcher = child(watched, Latest::default(), touched, lost, pool);
    let tree = TreeSpec::new("intake", Strategy::RestForOne).child(watcher);
    (tree.start(runtime).unwrap(), tape)
}

async fn looks(tape: &Tape<PathsTouched>) {
    assert_eq!(tape.next().await.paths, Paths::Rescan);
}

async fn detail(runtime: &Runtime) -> String {
    let all = runtime.observe_all(SOON).await;
    all.into_iter().map(|actor| actor.detail).collect()
}

#[test]
fn what_is_lost_again_is_looked_for_before_all_is_watched_anew() {
    let done = block_on(async {
        let (dir, kernel, runtime) = (
            tempfile::tempdir().unwrap(),
            Kernel::default(),
            Runtime::new(),
        );
        let (root, tape) = start(&runtime, kernel.watched(dir.path()));
        looks(&tape).await;
        kernel.lose_events();
        // At once, and when all is watched anew.
        looks(&tape).await;
        looks(&tape).await;
        assert_eq!(kernel.opened(), 2);
        kernel.lose_events();
        looks(&tape).await;
        assert_eq!(kernel.opened(), 2, "that waits");
        let told = detail(&runtime).await;
        assert!(told.contains("lost again"), "{told}");
        root.stopper().stop();
        assert_eq!(root.exit().await, RootExit::Stopped);
        assert!(runtime.close(SOON).await.is_empty());
    });
    done.unwrap();
}
