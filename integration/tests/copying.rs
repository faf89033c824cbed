//! `hd cp`: contents of directories, odd names, and copies that go wrong.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};

use hd_integration::disk::Disk;
use hd_integration::{Env, LONG, SHORT, Up, files, leftovers, needs, skip_unless, until};
use rustix::fs::{Mode, OFlags, mkdirat, openat};

const TOML: &str = r#"[environment]
name = "copies"

[services.web]
command = ["sleep", "1000"]
watch = []
"#;

/// A `tar` that begins, and unpacks nothing until it is told to.
const SLOW_TAR: &str = r#"#!/bin/sh
head -c 512 > /tmp/header
: > /workspace/begun
while [ ! -e /workspace/go-on ]; do sleep 0.05; done
cat /tmp/header - | PATH=/usr/bin:/bin tar "$@"
"#;

/// A `tar` that packs a log to which something is written after each record.
const BUSY_TAR: &str = r#"#!/bin/sh
export PATH=/usr/bin:/bin
exec tar --checkpoint=1 --checkpoint-action=exec="echo more >> /tmp/log" "$@"
"#;

fn up(env: &Env) -> Up {
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    up
}

/// A project with a `tar` of its own inside.
fn with_tar(tar: &str) -> Env {
    let path = "\"copies\"\nenv = { PATH = \"/workspace/own:/usr/bin:/bin\" }";
    let toml = TOML.replace("\"copies\"", path);
    let env = Env::project(&[("hd.toml", &toml), ("own/tar", tar)]);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(env.path("own/tar"), mode).expect("make it a program");
    env
}

fn inside(env: &Env, line: &str) -> String {
    env.hd(["exec", "sh", "-c", line]).finish().ok().stdout
}

fn copy(env: &Env, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) {
    let args = ["cp".as_ref(), from.as_ref(), to.as_ref()];
    env.hd(args).finish().ok();
}

/// Starts a copy from outside of the project, and waits until the `tar` inside has begun.
fn begin(env: &Env, from: &Path, to: &str) -> Child {
    let args = ["cp".as_ref(), from.as_os_str(), to.as_ref()];
    let mut command = env.hd(args).into_command();
    command.stdin(Stdio::null());
    let hd = command.spawn().expect("hd starts");
    let begun = env.path("begun");
    until("tar has begun", LONG, || begun.exists().then_some(()));
    hd
}

fn code_of(hd: &mut Child) -> Option<i32> {
    let ended = until("the copy ends", LONG, || hd.try_wait().expect("wait"));
    ended.code()
}

#[test]
fn a_dot_at_the_end_copies_what_is_in_a_directory() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    let _up = up(&env);
    inside(
        &env,
        "cd /tmp; mkdir -p app/sub; echo a > app/a; echo h > app/.h; echo b > app/sub/b",
    );
    let text = |path: &str| files::read(&env.path(path));

    copy(&env, "web:/tmp/app/.", "out");
    assert_eq!(
        [text("out/a"), text("out/.h"), text("out/sub/b")],
        ["a\n", "h\n", "b\n"]
    );
    files::write(&env.path("merged/sub/own"), "own\n");
    files::write(&env.path("merged/a"), "old\n");
    copy(&env, "web:/tmp/app/./", "merged");
    assert_eq!(
        [
            text("merged/a"),
            text("merged/sub/b"),
            text("merged/sub/own")
        ],
        ["a\n", "b\n", "own\n"]
    );
    let names = |path: &str| {
        let all = std::fs::read_dir(env.path(path)).expect("list");
        let mut names: Vec<_> = all.map(|one| one.expect("list").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("merged"), [".h", "a", "sub"]);

    // `..` is a directory with a name, `/` is none.
    std::fs::create_dir(env.path("into")).expect("make a directory");
    copy(&env, "web:/tmp/app/sub/..", "into");
    assert_eq!(text("into/app/a"), "a\n");
    for all in ["web:/", "web:/tmp/.."] {
        let wrong = env.hd(["cp", all, "all"]).finish().expect_code(1);
        assert!(wrong.stderr.contains("all of /"), "{}", wrong.said());
        assert!(!env.path("all").exists());
    }

    // The same into a service.
    copy(&env, "out/.", "web:/tmp/new");
    inside(
        &env,
        "mkdir -p /tmp/there/sub; echo own > /tmp/there/sub/own",
    );
    copy(&env, "out/.", "web:/tmp/there");
    for place in ["new", "there"] {
        let shown = inside(&env, &format!("cd /tmp/{place}; cat a .h sub/b"));
        assert_eq!(shown, "a\nh\nb\n", "{place}");
    }
    assert_eq!(inside(&env, "cat /tmp/there/sub/own"), "own\n");
}

#[test]
fn names_may_be_any_bytes() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    let _up = up(&env);
    inside(&env, "echo dash > /tmp/-x");
    copy(&env, "web:/tmp/-x", "got");
    assert_eq!(files::read(&env.path("got")), "dash\n");
    // Relative ones begin in the directory of the service.
    copy(&env, "got", "web:-y");
    assert_eq!(files::read(&env.path("-y")), "dash\n");
    copy(&env, "web:-y", "again");
    assert_eq!(files::read(&env.path("again")), "dash\n");

    let name = OsStr::from_bytes(b"caf\xe9");
    files::write(&env.mark().join(name), "latin\n");
    copy(&env, env.mark().join(name), "web:/tmp");
    let mut there = OsString::from("web:/tmp/");
    there.push(name);
    copy(&env, there, "back");
    assert_eq!(files::read(&env.path("back")), "latin\n");
}

#[test]
fn a_file_that_grows_is_copied_as_it_was() {
    skip_unless!(needs::fuse());
    let env = with_tar(SLOW_TAR);
    let _up = up(&env);
    let growing = env.mark().join("growing");
    std::fs::write(&growing, vec![b'a'; 1 << 20]).expect("write");
    let mut hd = begin(&env, &growing, "web:/tmp/copy");
    // More than the pipe holds is still to be read.
    let file = OpenOptions::new().append(true).open(&growing);
    let written = file.and_then(|mut file| file.write_all(&vec![b'b'; 100_000]));
    written.expect("append");
    files::write(&env.path("go-on"), "");
    assert_eq!(code_of(&mut hd), Some(0));
    let look = "wc -c < /tmp/copy; tr -d a < /tmp/copy | wc -c";
    assert_eq!(inside(&env, look), "1048576\n0\n");
}

#[test]
fn an_interrupted_copy_leaves_nothing_inside() {
    skip_unless!(needs::fuse());
    let env = with_tar(SLOW_TAR);
    let _up = up(&env);
    let file = env.mark().join("file");
    files::write(&file, "text\n");
    let mut hd = begin(&env, &file, "web:/tmp/copy");
    assert_ne!(inside(&env, "ls -A /tmp | grep hd-cp || true"), "");
    let pid = i32::try_from(hd.id()).expect("a process id");
    leftovers::signal(pid, rustix::process::Signal::INT);
    assert_eq!(code_of(&mut hd), Some(130));
    until("the stage is gone", SHORT, || {
        inside(&env, "ls -A /tmp | grep hd-cp || true")
            .is_empty()
            .then_some(())
    });
}

/// Makes directories in each other until the path of the innermost is longer than any may be.
fn deep(top: &Path) {
    std::fs::create_dir(top).expect("make a directory");
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let mut at = rustix::fs::open(top, flags, Mode::empty()).expect("open");
    let name = "d".repeat(250);
    for _ in 0..17 {
        mkdirat(&at, &name, Mode::from_raw_mode(0o755)).expect("make a directory");
        at = openat(&at, &name, flags, Mode::empty()).expect("open");
    }
}

#[test]
fn what_cannot_be_packed_does_not_look_whole() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    let _up = up(&env);
    let tree = env.mark().join("deep");
    deep(&tree);
    let args = ["cp".as_ref(), tree.as_os_str(), "web:/tmp/deep".as_ref()];
    let wrong = env.hd(args).finish().expect_code(1);
    assert!(wrong.stderr.contains("name too long"), "{}", wrong.said());
    assert_eq!(
        inside(&env, "ls -A /tmp | grep -e deep -e hd-cp || true"),
        ""
    );
}

#[test]
fn what_is_no_file_is_left_out_and_told() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    let _up = up(&env);
    let tree = env.mark().join("tree");
    files::write(&tree.join("file"), "text\n");
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).expect("bind");
    let args = ["cp".as_ref(), tree.as_os_str(), "web:/tmp/tree".as_ref()];
    let told = env.hd(args).finish().ok();
    let line = "tree/socket is a socket: left out";
    assert!(told.stderr.contains(line), "{}", told.said());
    assert_eq!(inside(&env, "ls -A /tmp/tree"), "file\n");

    inside(&env, "mkfifo /tmp/tree/pipe");
    let told = env.hd(["cp", "web:/tmp/tree", "back"]).finish().ok();
    let line = "tree/pipe is a fifo: left out";
    assert!(told.stderr.contains(line), "{}", told.said());
    assert_eq!(files::read(&env.path("back/file")), "text\n");
    assert!(!env.path("back/pipe").exists());
}

#[test]
fn a_full_disk_is_called_one() {
    skip_unless!(needs::fuse(), needs::root());
    let env = Env::project(&[("hd.toml", TOML)]);
    let _up = up(&env);
    inside(&env, "head -c 4000000 /dev/zero > /tmp/big");
    let disk = env.mark().join("disk");
    let _disk = Disk::tmpfs(&disk, "size=1m");
    let args = ["cp".as_ref(), "web:/tmp/big".as_ref(), disk.as_os_str()];
    let wrong = env.hd(args).finish().expect_code(1);
    assert!(wrong.stderr.contains("No space left"), "{}", wrong.said());
    assert_eq!(std::fs::read_dir(&disk).expect("list").count(), 0);
}

#[test]
fn a_log_that_is_being_written_comes_out() {
    skip_unless!(needs::fuse());
    let env = with_tar(BUSY_TAR);
    let _up = up(&env);
    inside(&env, "head -c 100000 /dev/zero | tr '\\0' a > /tmp/log");
    copy(&env, "web:/tmp/log", "log");
    assert!(files::read(&env.path("log")).starts_with("aaa"));
}

#[test]
fn a_directory_closed_to_its_owner_comes_out() {
    skip_unless!(needs::fuse(), needs::root());
    let mut env = Env::project(&[("hd.toml", TOML)]);
    env.as_user(false);
    let _up = up(&env);
    inside(
        &env,
        "mkdir -p /tmp/closed/in; echo f > /tmp/closed/in/f; chmod -R a-w /tmp/closed",
    );
    copy(&env, "web:/tmp/closed", "out");
    assert_eq!(files::read(&env.path("out/in/f")), "f\n");
    let mode = |path: &str| env.path(path).metadata().expect("a status").permissions();
    assert_eq!(mode("out").mode() & 0o777, 0o555);
    assert_eq!(mode("out/in").mode() & 0o777, 0o555);
}

#[test]
fn busybox_takes_files_with_holes() {
    skip_unless!(needs::fuse(), needs::registry());
    let registry = needs::registry().expect("checked");
    let env = Env::project(&[("hd.toml", TOML)]);
    let mut up = env.up_with(&["--base", &format!("{registry}/busybox:1")]);
    up.wait_line(0, &["web", "ready"]);
    let sparse = env.mark().join("sparse");
    let made = File::create(&sparse).and_then(|file| file.set_len(100_000));
    made.expect("make a file with a hole");
    inside(&env, "mkdir -p /tmp/in");
    copy(&env, &sparse, "web:/tmp/in");
    assert_eq!(inside(&env, "wc -c < /tmp/in/sparse"), "100000\n");
    copy(&env, "web:/tmp/in/.", "back");
    assert_eq!(files::read(&env.path("back/sparse")).len(), 100_000);
}
