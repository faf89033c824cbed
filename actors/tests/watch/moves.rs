//! Directories that come, go and move.

use std::fs;
use std::path::PathBuf;

use hd_actors::messages::Paths;
use hd_supervision::testkit::until;

use crate::rig::watched;

#[test]
fn nested_directories_filled_at_once_lose_nothing() {
    watched(
        |_| {},
        async |rig| {
            for round in 0..40 {
                fs::create_dir_all(rig.at(&format!("a{round}/b/c"))).unwrap();
                rig.write(&format!("a{round}/b/c/f"), &round.to_string());
                if round % 8 == 0 {
                    rig.settles("so far").await;
                }
            }
            rig.settles("every file").await;
            for round in 0..40 {
                rig.write(&format!("a{round}/b/c/f"), "again");
            }
            rig.settles("every file is still watched").await;
            assert!(rig.is_watched("a39/b/c"));
        },
    );
}

#[test]
fn directories_renamed_in_within_and_out() {
    watched(
        |root| fs::create_dir_all(root.join("old/deep")).unwrap(),
        async |rig| {
            fs::create_dir_all(rig.outside.join("in/deep")).unwrap();
            fs::write(rig.outside.join("in/deep/f"), "1").unwrap();
            fs::rename(rig.outside.join("in"), rig.at("in")).unwrap();
            rig.settles("moved in").await;
            rig.write("in/deep/f", "2");
            rig.settles("written where it is now").await;
            fs::rename(rig.at("in"), rig.at("old/deep/in")).unwrap();
            rig.settles("moved within").await;
            rig.write("old/deep/in/deep/f", "3");
            rig.settles("written where it is then").await;
            fs::rename(rig.at("old"), rig.at("new")).unwrap();
            rig.settles("a directory above").await;
            rig.write("new/deep/in/deep/f", "4");
            rig.settles("written below it").await;
            assert!(rig.is_watched("new/deep/in/deep"));
            fs::rename(rig.at("new"), rig.outside.join("new")).unwrap();
            rig.settles("moved out").await;
            rig.forget();
            fs::write(rig.outside.join("new/deep/in/deep/f"), "5").unwrap();
            rig.write("end", "1");
            until("the end", || rig.covers("end")).await;
            assert!(!rig.names("new"), "no longer ours");
        },
    );
}

#[test]
fn a_thousand_hasty_changes_converge() {
    watched(
        |_| {},
        async |rig| {
            let mut state = 42_u32;
            let mut random = move |below: u32| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) % below
            };
            for round in 0..1_000 {
                let mut dir = || -> PathBuf {
                    let depth = 1 + random(3);
                    let names: Vec<String> =
                        (0..depth).map(|_| format!("d{}", random(4))).collect();
                    rig.root.join(names.join("/"))
                };
                let (one, other) = (dir(), dir());
                // Half of it fails, as it happens: no such parent, or a directory into itself.
                let _ = match random(6) {
                    0 | 1 => fs::create_dir_all(&one),
                    2 | 3 => fs::write(one.join("f"), round.to_string()),
                    4 => fs::rename(&one, &other),
                    _ if round % 3 == 0 => fs::remove_dir_all(&one),
                    _ => fs::write(other.join("g"), round.to_string()),
                };
                if round % 100 == 99 {
                    rig.settles("so far").await;
                }
            }
            rig.settles("the mirror knows all").await;
            let mut dirs = vec![rig.root.clone()];
            while let Some(dir) = dirs.pop() {
                fs::write(dir.join("last"), "1").unwrap();
                let entries = fs::read_dir(&dir).unwrap().flatten();
                dirs.extend(
                    entries
                        .map(|entry| entry.path())
                        .filter(|path| path.is_dir()),
                );
            }
            rig.settles("every directory is watched").await;
        },
    );
}

#[test]
fn a_project_directory_removed_and_made_anew_is_looked_at() {
    watched(
        |root| fs::write(root.join("f"), "1").unwrap(),
        async |rig| {
            rig.forget();
            // Who holds the directory keeps its inode, and with it the kernel's word of its end.
            let held = fs::File::open(&rig.root).unwrap();
            fs::remove_dir_all(&rig.root).unwrap();
            until("gone", || rig.saw(|paths| *paths == Paths::Rescan)).await;
            fs::create_dir(&rig.root).unwrap();
            rig.write("f", "2");
            rig.settles("another directory").await;
            until("watched again", || rig.is_watched("")).await;
            rig.write("g", "3");
            rig.settles("edits in it").await;
            fs::rename(&rig.root, rig.outside.join("away")).unwrap();
            fs::create_dir(&rig.root).unwrap();
            until("and another", || rig.is_watched("")).await;
            rig.write("h", "4");
            rig.settles("edits in that").await;
            drop(held);
        },
    );
}

#[test]
fn the_directory_above_is_moved_away_and_made_anew() {
    watched(
        |root| fs::write(root.join("a"), "1").unwrap(),
        async |rig| {
            let above = rig.root.parent().unwrap();
            let aside = above.with_extension("aside");
            fs::rename(above, &aside).unwrap();
            fs::create_dir_all(&rig.root).unwrap();
            // It goes with the rest.
            fs::rename(&aside, above.join("before")).unwrap();
            rig.write("a", "2");
            rig.settles("what is there now").await;
            rig.write("b", "3");
            rig.settles("what comes then").await;
        },
    );
}
