//! Many changes at once, and more directories than may be watched.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hd_actors::messages::Paths;
use hd_actors::watcher::watches::{Inotify, Refusal, Watches};
use hd_supervision::testkit::until;

use crate::rig::{QUIET, watched, watched_by};

#[test]
fn a_checkout_of_twenty_thousand_files_is_a_few_batches() {
    watched(
        |_| {},
        async |rig| {
            rig.forget();
            let root = rig.root.clone();
            let begun = Instant::now();
            let checkout = tokio::task::spawn_blocking(move || {
                for dir in 0..200 {
                    let dir = root.join(format!("d{}/e{dir}", dir / 20));
                    fs::create_dir_all(&dir).unwrap();
                    for file in 0..100 {
                        fs::write(dir.join(format!("f{file}")), "1").unwrap();
                    }
                }
            });
            checkout.await.unwrap();
            let written = begun.elapsed();
            until("all files are known", || rig.known() == 20_000).await;
            rig.settles("with their content").await;
            let batches = rig.batches.lock().unwrap().len();
            println!(
                "20,000 files in {written:?}: {batches} batches, known after {:?}",
                begun.elapsed()
            );
            // On a machine that has better things to do the writer itself pauses now and then; that
            // an unbroken storm is one batch is shown on a paused clock.
            let bound = 10 + 10 * usize::try_from(begun.elapsed().as_secs()).unwrap();
            assert!(
                batches <= bound,
                "{batches} batches in {:?}",
                begun.elapsed()
            );
            rig.write("d9/e199/f99", "2");
            rig.settles("single edits are seen again").await;
        },
    );
}

/// inotify with a limit of its own.
struct Limited {
    inner: Box<dyn Watches>,
    left: usize,
}

impl Watches for Limited {
    fn add(&mut self, dir: &Path) -> Result<(), Refusal> {
        self.left = self.left.checked_sub(1).ok_or(Refusal::Limit)?;
        self.inner.add(dir)
    }

    fn remove(&mut self, dir: &Path) {
        self.inner.remove(dir);
    }
}

#[test]
fn beyond_the_limit_everything_is_looked_at_and_people_are_told_once() {
    let _quiet = QUIET.read().unwrap_or_else(|e| e.into_inner());
    let prepare = |root: &Path| {
        for dir in 0..50 {
            fs::create_dir_all(root.join(format!("d{dir}"))).unwrap();
        }
    };
    watched_by(
        prepare,
        |project| {
            project.opener = Arc::new(|handler| {
                Ok(Box::new(Limited {
                    inner: Inotify::open(handler)?,
                    left: 10,
                }) as Box<dyn Watches>)
            });
        },
        async |rig| {
            for round in 0..2 {
                rig.forget();
                for dir in 0..50 {
                    rig.write(&format!("d{dir}/f{round}"), "1");
                }
                rig.settles("what is not watched is found").await;
            }
            let notes = rig.notes.lock().unwrap().clone();
            assert_eq!(notes.len(), 1, "{notes:?}");
            assert!(
                notes[0].contains("fs.inotify.max_user_watches"),
                "{notes:?}"
            );
            let snapshots = rig.runtime.observe_all(Duration::from_secs(1)).await;
            let watcher = snapshots
                .iter()
                .find(|snapshot| &*snapshot.name == "watcher")
                .unwrap();
            assert!(watcher.detail.contains("only"), "{watcher:?}");
            assert!(rig.saw(|paths| *paths == Paths::Rescan));
        },
    );
}
