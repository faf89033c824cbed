//! Kills, cut power, full disks and failing calls: nothing is lost, one line says what is wrong,
//! and all is well once the fault is over.

use std::path::Path;

use hd_integration::disk::Disk;
use hd_integration::leftovers;
use hd_integration::{Env, Finished, Run, SHORT, files, needs, samples, skip_unless};

/// How much of each fault: 1 in the gate, more with `cargo xtask faults --full`.
fn scaled(variable: &str, usual: u32) -> u32 {
    let told = std::env::var(variable).ok();
    told.and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// A project that needs no sandbox: its store is all there is to hurt.
fn plain(count: usize) -> Env {
    let env = Env::project(&[("hd.toml", "[environment]\nname = \"plain\"\n")]);
    edit(&env, count, 0);
    env
}

/// Gives every file of the project another content.
fn edit(env: &Env, count: usize, round: u32) {
    for number in 0..count {
        let text = format!("file {number} in round {round}\n").repeat(number % 61 + 1);
        files::write(&env.path(&format!("d{}/f{number}", number / 50)), &text);
    }
}

/// `hd up --once` under strace with a fault in its system calls.
fn injected(env: &Env, fault: &str) -> Finished {
    let log = env.mark().join("strace.log");
    let mut run = Run::new(Path::new("strace"))
        .args(["-f", "-qq", "-o"])
        .args([&log])
        .args(["-e", &format!("inject={fault}")])
        .args([hd_integration::env::binary()])
        .args(["up", "--once", "--json"])
        .dir(&env.path(""));
    run = run.env("HD_HOME", env.home());
    run.finish()
}

/// Calls that change the disk, or decide who may.
const CALLS: [&str; 8] = [
    "pwrite64",
    "fdatasync",
    "fsync",
    "rename",
    "openat",
    "flock",
    "mkdir",
    "write",
];

/// How often a first `hd up --once` makes a system call in one thread: strace counts each apart.
fn calls_of(env: &Env, call: &str) -> u32 {
    let _ = std::fs::remove_dir_all(env.home());
    let done = injected(env, &format!("{call}:delay_enter=0"));
    done.ok();
    let log = files::read(&env.mark().join("strace.log"));
    let name = format!("{call}(");
    let mut by_thread = std::collections::HashMap::new();
    for line in log.lines().filter(|line| line.contains(&name)) {
        let thread = line.split_whitespace().next().unwrap_or_default();
        *by_thread.entry(thread).or_insert(0) += 1;
    }
    by_thread.into_values().max().unwrap_or(0)
}

/// One line that says what is wrong; no panic.
#[track_caller]
fn complains(done: &Finished, words: &[&str]) {
    assert_ne!(done.code(), 0, "{}", done.said());
    let said = done.said();
    assert!(!said.contains("panicked"), "{said}");
    let named = words
        .iter()
        .any(|word| said.to_lowercase().contains(&word.to_lowercase()));
    assert!(named, "none of {words:?} in {said}");
}

#[test]
fn killed_at_any_system_call_that_changes_the_disk() {
    skip_unless!(needs::program("strace"));
    let mut env = plain(120);
    let clean = env.once();
    env.second_home();
    let rounds = scaled("HD_TEST_CALL_KILLS", 12);
    let made: Vec<u32> = CALLS.iter().map(|call| calls_of(&env, call)).collect();
    let kinds = CALLS.len() as u32;
    let mut killed = 0;
    for round in 0..rounds {
        let _ = std::fs::remove_dir_all(env.home());
        let (kind, step) = ((round % kinds) as usize, round / kinds);
        let call = CALLS[kind];
        // From the first call of its kind to the last, in equal steps.
        let steps = rounds.div_ceil(kinds);
        let number = 1 + step * made[kind].saturating_sub(1) / steps;
        let done = injected(&env, &format!("{call}:signal=KILL:when={number}"));
        killed += u32::from(done.code() != 0);
        leftovers::expect_none(env.mark(), SHORT);
        let next = env.once();
        let when = format!("killed at {call} number {number}");
        assert_eq!(
            (next.root(), next.view()),
            (clean.root(), clean.view()),
            "{when}"
        );
        env.hd(["cas", "verify", "--read-data"]).finish().ok();
    }
    assert!(killed * 2 > rounds, "only {killed} of {rounds} were killed");
}

#[test]
fn what_was_said_to_be_done_survives_a_cut_of_power() {
    skip_unless!(needs::root(), needs::program("mkfs.ext4").map(drop));
    let env = plain(60);
    let disk = Disk::ext4(env.home(), "96m");
    for round in 0..scaled("HD_TEST_POWER_CUTS", 3) {
        edit(&env, 60, round);
        let done = env.once();
        disk.cut_power();
        // Nothing is repaired first; all that was reported is there.
        env.hd(["cas", "verify", "--read-data"]).finish().ok();
        let stats = env.hd(["cas", "stats", "--json"]).finish().ok().json();
        assert_eq!(stats["refs"], 1, "round {round}: the pin is gone");
        assert_eq!(env.once().root(), done.root(), "round {round}");
    }
}

#[test]
fn power_cut_in_the_middle_of_an_up() {
    skip_unless!(
        needs::root(),
        needs::program("mkfs.ext4").map(drop),
        needs::program("strace").map(drop)
    );
    let env = plain(60);
    let disk = Disk::ext4(env.home(), "96m");
    let first = env.once();
    for round in 0..scaled("HD_TEST_POWER_CUTS", 3) {
        edit(&env, 60, round + 1);
        // Stopped by a kill somewhere in its commit, then the power goes.
        let call = ["fdatasync", "rename", "pwrite64"][round as usize % 3];
        injected(&env, &format!("{call}:signal=KILL:when={}", round / 3 + 1));
        disk.cut_power();
        env.hd(["cas", "verify", "--read-data"]).finish().ok();
        let next = env.once();
        assert_ne!(next.root(), first.root());
        assert_eq!(env.once().root(), next.root());
    }
}

#[test]
fn a_full_disk_is_one_line_and_room_is_all_it_takes() {
    skip_unless!(needs::root());
    let env = plain(200);
    let disk = Disk::tmpfs(env.home(), "size=6m");
    let first = env.once();
    disk.fill("ballast");
    edit(&env, 200, 1);
    complains(&env.hd(["up", "--once"]).finish(), &["no space", "full"]);
    // A collection works on a full disk, whatever little it finds.
    env.hd(["cas", "gc"]).finish().ok();
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
    std::fs::remove_file(env.home().join("ballast")).expect("make room");
    let second = env.once();
    assert_ne!(first.root(), second.root());
    drop(disk);
}

#[test]
fn no_inodes_left_is_one_line_and_recovers() {
    skip_unless!(needs::root());
    let env = plain(20);
    let disk = Disk::tmpfs(env.home(), "nr_inodes=6");
    complains(&env.hd(["up", "--once"]).finish(), &["no space", "inode"]);
    disk.remount("nr_inodes=4000");
    env.once();
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
}

#[test]
fn a_failed_write_or_sync_is_never_success() {
    skip_unless!(needs::program("strace"));
    let mut env = plain(40);
    let clean = env.once();
    env.second_home();
    for fault in [
        "fdatasync:error=EIO:when=1",
        "fdatasync:error=EIO:when=2",
        "fsync:error=EIO:when=1",
        "pwrite64:error=EIO:when=2",
        "pwrite64:error=ENOSPC:when=3",
        "rename:error=EIO:when=1",
    ] {
        let _ = std::fs::remove_dir_all(env.home());
        let done = injected(&env, fault);
        complains(&done, &["input/output error", "no space"]);
        assert_eq!(env.once().root(), clean.root(), "{fault}");
        env.hd(["cas", "verify", "--read-data"]).finish().ok();
    }
}

#[test]
fn a_home_that_cannot_be_written_is_one_line() {
    skip_unless!(needs::root());
    let env = plain(5);
    let disk = Disk::tmpfs(env.home(), "size=8m");
    env.once();
    disk.remount("ro");
    edit(&env, 5, 1);
    complains(&env.hd(["up", "--once"]).finish(), &["read-only"]);
    disk.remount("rw");
    env.once();
}

#[test]
fn too_few_descriptors_are_one_line_and_never_a_smaller_project() {
    let mut env = plain(200);
    let clean = env.once();
    env.second_home();
    let (mut failed, mut passed) = (0, 0);
    for limit in (8..=96).step_by(8) {
        let _ = std::fs::remove_dir_all(env.home());
        let script = format!(
            "ulimit -n {limit}; exec {} up --once --json",
            hd_integration::env::binary().display()
        );
        let done = Run::new(Path::new("sh"))
            .args(["-c", &script])
            .dir(&env.path(""))
            .env("HD_HOME", env.home())
            .finish();
        if done.code() == 0 {
            passed += 1;
            assert_eq!(
                done.report().root(),
                clean.root(),
                "with {limit} descriptors"
            );
        } else {
            failed += 1;
            complains(&done, &["too many open files"]);
        }
        assert_eq!(env.once().root(), clean.root(), "after {limit} descriptors");
    }
    assert!(
        failed > 0 && passed > 0,
        "{failed} failed, {passed} did not"
    );
}

#[test]
fn modes_are_private_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let env = plain(5);
    for umask in ["000", "077", "0277"] {
        let _ = std::fs::remove_dir_all(env.home());
        let script = format!(
            "umask {umask}; exec {} up --once",
            hd_integration::env::binary().display()
        );
        let run = Run::new(Path::new("sh")).args(["-c", &script]);
        run.dir(&env.path(""))
            .env("HD_HOME", env.home())
            .finish()
            .ok();
        let mut waiting = vec![env.home().join("cas")];
        while let Some(path) = waiting.pop() {
            let meta = std::fs::symlink_metadata(&path).expect("look");
            let expected = if meta.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(
                meta.permissions().mode() & 0o7777,
                expected,
                "{} under {umask}",
                path.display()
            );
            if meta.is_dir() {
                let below = std::fs::read_dir(&path).expect("list");
                waiting.extend(below.map(|entry| entry.expect("an entry").path()));
            }
        }
    }
}

#[test]
fn collections_beside_a_running_instance_and_other_builds_lose_nothing() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    for round in 0..3 {
        env.hd(["cas", "gc"]).finish().ok();
        files::write(&env.path("source.txt"), &format!("round {round}\n"));
        up.wait_http(env.port(0), "/", &format!("round {round}"));
        env.hd(["cas", "gc"]).finish().ok();
        env.hd(["cas", "verify", "--read-data"]).finish().ok();
    }
}

/// `hd ARGS` under strace, with a fault in the calls on one file.
fn injected_at(env: &Env, file: &Path, fault: &str, args: &[&str]) -> Finished {
    let log = env.mark().join("strace.log");
    Run::new(Path::new("strace"))
        .args(["-f", "-qq", "-o"])
        .args([&log])
        .args(["-P"])
        .args([file])
        .args(["-e", &format!("inject={fault}")])
        .args([hd_integration::env::binary()])
        .args(args)
        .dir(&env.path(""))
        .env("HD_HOME", env.home())
        .finish()
}

#[test]
fn an_up_that_changes_nothing_replaces_nothing() {
    skip_unless!(needs::program("strace"));
    let env = plain(20);
    env.once();
    // No file is replaced for good: that is what needs an fsync of it and of its directory.
    injected(&env, "fsync:error=EIO").ok();
    let log = files::read(&env.mark().join("strace.log"));
    assert!(!log.contains("INJECTED"), "{log}");
    // What is known of it is told all the same, and an empty file after a cut of power is none.
    assert_eq!(env.status().value()["files"], 21);
    let state = env.home().join("instances");
    let instance = std::fs::read_dir(state).expect("list").next().expect("one");
    let state = instance.expect("an entry").path().join("state.json");
    std::fs::write(&state, "").expect("write");
    env.hd(["status"]).finish().ok();
    env.once();
    assert_eq!(env.status().value()["files"], 21);
}

#[test]
fn a_failing_read_is_an_error_and_no_damage() {
    skip_unless!(needs::program("strace"));
    let env = plain(40);
    let clean = env.once();
    let segment = hd_integration::damage::segments(env.home()).remove(0);
    for fault in ["pread64:error=EIO:when=1+", "pread64:error=EIO:when=5+"] {
        // Without its stat cache hd has to ask the store about every file.
        let _ = std::fs::remove_dir_all(env.home().join("cas/scan"));
        let done = injected_at(&env, &segment, fault, &["up", "--once", "--json"]);
        complains(&done, &["input/output error"]);
        let check = ["cas", "verify", "--read-data"];
        let checked = injected_at(&env, &segment, fault, &check).expect_code(2);
        complains(&checked, &["input/output error"]);
        // What could not be read is as sound as before, and nothing was taken out of sight.
        env.hd(check).finish().ok();
        assert_eq!(env.once().root(), clean.root(), "{fault}");
    }
}

#[test]
fn an_index_that_cannot_be_read_is_done_without() {
    skip_unless!(needs::program("strace"));
    let env = plain(3000);
    let clean = env.once();
    let segments = hd_integration::damage::segments(env.home()).into_iter();
    let indexes = segments.map(|segment| segment.with_extension("idx"));
    let index = indexes.into_iter().find(|path| path.exists());
    let index = index.expect("so many objects have an index");
    let _ = std::fs::remove_dir_all(env.home().join("cas/scan"));
    let done = injected_at(&env, &index, "read:error=EIO", &["up", "--once", "--json"]);
    assert_eq!(done.ok().report().root(), clean.root());
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
}

#[test]
fn a_project_file_that_cannot_be_read_for_a_fault_is_an_error_not_an_absent_file() {
    skip_unless!(needs::program("strace"));
    let mut env = plain(40);
    let clean = env.once();
    env.second_home();
    let file = env.path("d0/f7");
    // The last two are a network file system's whose server is gone.
    for (fault, told) in [
        ("read,pread64:error=EIO", "input/output error"),
        ("read,pread64:error=ENOMEM", "cannot allocate memory"),
        ("read,pread64:error=ETIMEDOUT", "timed out"),
        ("read,pread64:error=ENOTCONN", "not connected"),
    ] {
        let done = injected_at(&env, &file, fault, &["up", "--once", "--json"]);
        complains(&done, &[told]);
        let said = done.report().error_text();
        assert!(said.contains("d0/f7"), "{fault}: {said}");
        assert_eq!(env.once().root(), clean.root(), "{fault}");
        let _ = std::fs::remove_dir_all(env.home());
    }
}
