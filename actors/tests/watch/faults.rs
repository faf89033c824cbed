//! Panics in the actors and in notify's thread.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hd_actors::messages::Paths;
use hd_actors::watcher::watches::{Inotify, Refusal, Watches};
use hd_supervision::fault;
use hd_supervision::testkit::until;

use crate::rig::{QUIET, watched_by};

fn alone(name: &'static str, restarts: [u32; 2]) {
    let _quiet = QUIET.write().unwrap_or_else(|e| e.into_inner());
    watched_by(
        |root| fs::create_dir(root.join("src")).unwrap(),
        |_| {},
        async |rig| {
            rig.forget();
            fault::arm(name, 1);
            rig.write("src/f", "1");
            until("it is rebuilt", || {
                rig.runtime.restarts("watcher") == restarts[1]
            })
            .await;
            until("everything is looked at", || {
                rig.saw(|paths| *paths == Paths::Rescan)
            })
            .await;
            rig.settles("the edit that hit the fault").await;
            assert_eq!(rig.runtime.restarts("debouncer"), restarts[0]);
            fault::disarm(name);
            until("watched again", || rig.is_watched("src")).await;
            rig.write("src/g", "2");
            rig.settles("the next edit").await;
        },
    );
}

#[test]
fn a_panic_on_notifys_thread_restarts_the_watcher() {
    alone("watcher", [0, 1]);
}

#[test]
fn a_panic_of_the_debouncer_restarts_both() {
    alone("debouncer", [1, 1]);
}

/// Watches nothing.
struct Deaf;

impl Watches for Deaf {
    fn add(&mut self, _: &Path) -> Result<(), Refusal> {
        Ok(())
    }

    fn remove(&mut self, _: &Path) {}
}

#[test]
fn the_end_of_notifys_thread_is_not_silent() {
    let _quiet = QUIET.read().unwrap_or_else(|e| e.into_inner());
    watched_by(
        |_| {},
        |project| {
            let opened = AtomicUsize::new(0);
            project.opener = Arc::new(move |handler| match opened.fetch_add(1, Ordering::SeqCst) {
                // The handler is dropped, as it is when notify's thread dies.
                0 => Ok(Box::new(Deaf) as Box<dyn Watches>),
                _ => Inotify::open(handler),
            });
        },
        async |rig| {
            until("it is rebuilt", || rig.runtime.restarts("watcher") == 1).await;
            until("watched", || rig.is_watched("")).await;
            rig.write("f", "1");
            rig.settles("an edit").await;
        },
    );
}

#[test]
fn where_inotify_is_refused_everything_is_looked_at() {
    let _quiet = QUIET.read().unwrap_or_else(|e| e.into_inner());
    watched_by(
        |_| {},
        |project| {
            project.opener =
                Arc::new(|_| Err("inotify: too many (fs.inotify.max_user_instances)".to_owned()));
        },
        async |rig| {
            rig.write("f", "1");
            rig.settles("an edit").await;
            assert!(rig.notes.lock().unwrap()[0].contains("fs.inotify.max_user_instances"));
        },
    );
}
