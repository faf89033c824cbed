//! Single edits.

use std::fs;
use std::time::{Duration, Instant};

use hd_actors::messages::Paths;
use hd_supervision::testkit::until;

use crate::rig::{path, watched};

fn project(root: &std::path::Path) {
    fs::create_dir(root.join("src")).unwrap();
    fs::write(root.join("src/app.py"), "1").unwrap();
    fs::write(root.join(".gitignore"), "*.log\n.env\nhd.toml\n").unwrap();
}

#[test]
fn saves_by_writing_and_by_renaming_name_the_file_soon() {
    watched(project, async |rig| {
        let mut took = Vec::new();
        for round in 0..60 {
            rig.forget();
            let begun = Instant::now();
            if round % 2 == 0 {
                rig.write("src/app.py", &format!("written {round}"));
            } else {
                rig.write("src/.app.py.swp", &format!("renamed {round}"));
                fs::rename(rig.at("src/.app.py.swp"), rig.at("src/app.py")).unwrap();
            }
            rig.settles("the save is seen").await;
            let batches = rig.batches.lock().unwrap();
            let batch = batches.last().unwrap();
            let Paths::These(paths) = &batch.paths else {
                panic!("a save needs no look at everything")
            };
            assert!(
                paths.contains(&path("src/app.py")) && paths.len() <= 2,
                "{paths:?}"
            );
            // The mirror is asked once a millisecond, so this is an upper bound.
            took.push(begun.elapsed());
        }
        took.sort();
        println!(
            "save → PathsSettled: median {:?}, p95 {:?}, max {:?}",
            took[30], took[56], took[59]
        );
        assert!(
            took[30] < Duration::from_millis(60),
            "median {:?}",
            took[30]
        );
    });
}

#[test]
fn removing_chmod_and_symlinks_are_seen() {
    watched(project, async |rig| {
        rig.forget();
        fs::set_permissions(
            rig.at("src/app.py"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        until("the mode", || rig.covers("src/app.py")).await;
        rig.forget();
        std::os::unix::fs::symlink("app.py", rig.at("src/link")).unwrap();
        until("the link", || rig.covers("src/link")).await;
        rig.forget();
        fs::remove_file(rig.at("src/app.py")).unwrap();
        until("the end", || rig.covers("src/app.py")).await;
    });
}

#[test]
fn ignored_files_are_silent_unless_watched_or_named() {
    watched(project, async |rig| {
        rig.forget();
        rig.write("x.log", "1");
        rig.write("src/y.log", "1");
        let _ = fs::read(rig.at("src/app.py")).unwrap();
        rig.write(".env", "A=1");
        rig.write("hd.toml", "[environment]");
        until(".env and hd.toml", || {
            rig.covers(".env") && rig.covers("hd.toml")
        })
        .await;
        assert!(!rig.names("x.log") && !rig.names("src/y.log") && !rig.names("src/app.py"));
    });
}
