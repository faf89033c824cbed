//! What is watched and what is not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hd_supervision::testkit::until;

use crate::rig::{path, watched};

fn project(root: &Path) {
    for dir in [
        "src",
        "node_modules/x/y",
        ".git/objects",
        "dist/js",
        "target/debug",
        "src/__pycache__",
    ] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join(".gitignore"), "node_modules\ndist\n").unwrap();
}

#[test]
fn excluded_directories_are_not_watched() {
    watched(project, async |rig| {
        let all = [
            "",
            "src",
            "dist",
            "dist/js",
            "node_modules",
            "node_modules/x",
            ".git",
            "target",
            "src/__pycache__",
        ];
        let watched: Vec<&str> = all.into_iter().filter(|dir| rig.is_watched(dir)).collect();
        assert_eq!(
            watched,
            ["", "src", "dist", "dist/js"],
            "a service watches dist/**/*.js"
        );
        rig.forget();
        fs::create_dir_all(rig.at("src/node_modules/z")).unwrap();
        rig.write("src/node_modules/z/f", "1");
        rig.write("node_modules/x/f", "1");
        rig.write("dist/js/a.js", "1");
        until("the watched file", || rig.covers("dist/js/a.js")).await;
        assert!(!rig.is_watched("src/node_modules"));
        assert!(!rig.names("src/node_modules/z/f") && !rig.names("node_modules/x/f"));
    });
}

#[test]
fn a_changed_ignore_file_changes_what_is_watched() {
    watched(project, async |rig| {
        fs::create_dir_all(rig.at("src/gen/a")).unwrap();
        rig.forget();
        rig.write(".gitignore", "dist\n");
        until("shown", || {
            rig.is_watched("node_modules/x/y") && rig.is_watched("src/gen/a")
        })
        .await;
        until("looked at", || rig.covers("node_modules/x/y")).await;
        rig.write("src/.gitignore", "gen\n");
        until("hidden", || {
            !rig.is_watched("src/gen") && !rig.is_watched("src/gen/a")
        })
        .await;
        assert!(rig.is_watched("src") && rig.is_watched("node_modules/x/y"));
        rig.forget();
        rig.write("src/gen/a/f", "1");
        rig.write("src/g", "1");
        until("the neighbour", || rig.covers("src/g")).await;
        assert!(!rig.names("src/gen/a/f"));
        fs::remove_file(rig.at("src/.gitignore")).unwrap();
        until("shown again", || rig.is_watched("src/gen/a")).await;
    });
}

#[test]
fn mount_points_are_silent_and_their_loss_is_told() {
    watched(project, async |rig| {
        rig.points.set([path(".venv")]);
        rig.forget();
        fs::create_dir(rig.at(".venv")).unwrap();
        fs::create_dir(rig.at(".venv/lib")).unwrap();
        rig.write("src/f", "1");
        until("the neighbour", || rig.covers("src/f")).await;
        assert!(!rig.names(".venv/lib") && !rig.is_watched(".venv") && rig.lost.is_empty());
        fs::remove_dir_all(rig.at(".venv")).unwrap();
        assert_eq!(rig.lost.next().await.path, path(".venv"));
        fs::create_dir(rig.at(".venv")).unwrap();
        fs::rename(rig.at(".venv"), rig.outside.join("venv")).unwrap();
        assert_eq!(rig.lost.next().await.path, path(".venv"));
        assert!(!rig.names(".venv"));
    });
}

#[test]
fn symlinks_to_directories_are_not_followed() {
    watched(project, async |rig| {
        fs::create_dir(rig.outside.join("there")).unwrap();
        std::os::unix::fs::symlink(rig.outside.join("there"), rig.at("link")).unwrap();
        until("the link", || rig.covers("link")).await;
        rig.write("end", "1");
        until("the end", || rig.covers("end")).await;
        let inode = fs::metadata(rig.outside.join("there")).unwrap().ino();
        assert_eq!(inode, fs::metadata(rig.at("link")).unwrap().ino());
        assert!(!rig.is_watched("link"));
    });
}
