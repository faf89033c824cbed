//! A running hd that meets what it cannot read or has no room for, and clients that go away: told, and nobody waits
//! for ever.

use std::fs;

use hd_integration::disk::Disk;
use hd_integration::{Env, SHORT, files, leftovers, needs, samples, skip_unless};
use rustix::fs::{CWD, FileType, Mode, mknodat};

const TOML: &str = r#"[environment]
name = "unreadable"
env_file = ".env"

[services.web]
command = "echo here; exec sleep 1000"
watch = ["*.txt"]
healthcheck = "test -e now"
"#;

fn project() -> Env {
    Env::project(&[
        ("hd.toml", TOML),
        (".env", "A=1\n"),
        ("app.txt", "1\n"),
        ("now", ""),
    ])
}

#[test]
fn a_pipe_in_the_place_of_an_env_file_is_told_and_holds_up_nothing() {
    skip_unless!(needs::fuse());
    let env = project();
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let place = env.path(".env");
    fs::remove_file(&place).expect("remove");
    mknodat(CWD, &place, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
    up.wait_line(0, &[".env", "no regular file"]);
    let from = up.so_far();
    files::write(&env.path("app.txt"), "2\n");
    up.wait_line(from, &["app.txt", "restart"]);
    let once = env.hd(["build"]).finish();
    assert!(once.said().contains("no regular file"), "{}", once.said());
    env.hd(["down"]).deadline(SHORT).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}

/// Bytes that do not compress.
fn noise() -> Vec<u8> {
    // Knuth's MMIX generator.
    let mut state = 1_u64;
    let next = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    next.take(4 << 20).collect()
}

#[test]
fn an_edit_that_there_is_no_room_for_is_told_once_and_followed_when_there_is() {
    skip_unless!(needs::fuse(), needs::root());
    let env = samples::server();
    let disk = Disk::tmpfs(env.home(), "size=24m");
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    disk.fill("ballast");
    // What is small may fit into what is there.
    fs::write(env.path("noise.txt"), noise()).expect("write");
    up.wait_line(0, &["an edit could not be taken over", "No space left"]);
    let error = env.status().error_text();
    assert!(error.contains("No space left"), "{error}");
    files::write(&env.path("answer.txt"), "two\n");
    fs::remove_file(env.home().join("ballast")).expect("make room");
    up.wait_http(env.port(0), "/", "two");
    up.until("it is over", || {
        env.status().value()["error"].is_null().then_some(())
    });
    let said = up.said();
    let told = said.matches("an edit could not be taken over").count();
    assert_eq!(told, 1, "{said}");
    up.interrupt();
    drop(disk);
}

#[test]
fn clients_that_go_away_leave_nothing_behind() {
    skip_unless!(needs::fuse());
    let env = project();
    fs::remove_file(env.path("now")).expect("remove");
    let mut up = env.up();
    up.wait_line(0, &["web", "here"]);
    let fds = format!("/proc/{}/fd", up.pid());
    let sockets = || {
        let all = fs::read_dir(&fds).expect("its files").flatten();
        let links = all.filter_map(|fd| fs::read_link(fd.path()).ok());
        links
            .filter(|to| to.to_string_lossy().starts_with("socket:"))
            .count()
    };
    let before = sockets();
    for _ in 0..20 {
        let wait = env.hd(["wait", "web", "--timeout", "100ms"]).finish();
        assert_ne!(wait.code(), 0, "{}", wait.said());
    }
    up.until("they are gone", || (sockets() < before + 10).then_some(()));
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}
