//! A step runs again exactly when something it observed changed: each kind of observation alone,
//! on the real mount, without a base.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use hd_integration::{Env, LONG, files, leftovers, needs, samples, skip_unless};

/// After the change the step must run; after a change beside it must not.
fn runs_after(env: &Env, what: &str, change: impl FnOnce(&Env)) {
    env.once().ran(&["step-1"]);
    env.once().ran(&[]);
    files::write(&env.path("aside.txt"), "a sibling changed\n");
    env.once().ran(&[]);
    change(env);
    assert_eq!(env.once().steps("ran"), ["step-1"], "after {what}");
    env.once().ran(&[]);
}

#[test]
fn a_file_found_by_listing() {
    skip_unless!(needs::fuse());
    let env = samples::observing(
        "mkdir out && cat conf.d/* > out/all",
        &[("conf.d/one", "1\n")],
    );
    runs_after(&env, "a new file in a listed directory", |env| {
        files::write(&env.path("conf.d/two"), "2\n");
    });
}

#[test]
fn a_name_looked_up_in_vain() {
    skip_unless!(needs::fuse());
    let env = samples::observing(
        "mkdir out; test -e pip.conf && cp pip.conf out || true",
        &[],
    );
    runs_after(&env, "the name came to be", |env| {
        files::write(&env.path("pip.conf"), "[global]\n")
    });
}

#[test]
fn a_name_looked_up_in_vain_below_an_absent_parent() {
    skip_unless!(needs::fuse());
    let env = samples::observing(
        "mkdir out; test -e vendor/lib/index.js && echo found > out/found; true",
        &[],
    );
    runs_after(&env, "its parent came to be", |env| {
        files::write(&env.path("vendor/lib/index.js"), "x\n")
    });
}

#[test]
fn the_target_of_a_symlink() {
    skip_unless!(needs::fuse());
    let env = samples::observing(
        "mkdir out && cat current > out/now",
        &[("v1", "1\n"), ("v2", "2\n")],
    );
    symlink("v1", env.path("current")).expect("a symlink");
    runs_after(&env, "the link points elsewhere", |env| {
        fs::remove_file(env.path("current")).expect("remove the link");
        symlink("v2", env.path("current")).expect("a symlink");
    });
}

#[test]
fn the_content_behind_a_symlink() {
    skip_unless!(needs::fuse());
    let env = samples::observing("mkdir out && cat current > out/now", &[("v1", "1\n")]);
    symlink("v1", env.path("current")).expect("a symlink");
    runs_after(&env, "what the link points to changed", |env| {
        files::write(&env.path("v1"), "one\n")
    });
}

#[test]
fn a_renamed_parent() {
    skip_unless!(needs::fuse());
    let env = samples::observing(
        "mkdir out; cat deep/er/file > out/got 2>/dev/null || true",
        &[("deep/er/file", "x\n")],
    );
    runs_after(&env, "its parent is called otherwise", |env| {
        fs::rename(env.path("deep"), env.path("shallow")).expect("rename");
    });
}

#[test]
fn the_mode_of_a_file() {
    skip_unless!(needs::fuse());
    let env = samples::observing(
        "mkdir out; test -x tool && echo yes > out/x; true",
        &[("tool", "#!/bin/sh\n")],
    );
    runs_after(&env, "it became executable", |env| {
        fs::set_permissions(env.path("tool"), fs::Permissions::from_mode(0o755)).expect("chmod");
    });
}

#[test]
fn a_file_of_the_host_when_base_is_left_out() {
    skip_unless!(needs::fuse(), needs::root());
    let host = HostFile::absent("/etc/hd-test-observed.conf");
    let env = samples::observing(
        &format!("mkdir out; cat {} > out/conf 2>/dev/null || true", host.0),
        &[],
    );
    runs_after(&env, "the host's file came to be", |_| {
        files::write(host.0.as_ref(), "a\n")
    });
    files::write(host.0.as_ref(), "b\n");
    env.once().ran(&["step-1"]);
}

/// A file outside of the test's directory, removed in any case.
struct HostFile(&'static str);

impl HostFile {
    fn absent(path: &'static str) -> Self {
        let file = Self(path);
        file.remove();
        file
    }

    fn remove(&self) {
        match fs::remove_file(self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                panic!("{}: {error}", self.0)
            }
            _ => {}
        }
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        self.remove();
    }
}

#[test]
fn an_edit_during_a_make_with_a_kept_cache_is_not_lost() {
    skip_unless!(needs::fuse(), needs::program("make"));
    // The number names this run's process among all others of the machine.
    let nap = format!("sleep 1.{}", std::process::id());
    let makefile = format!("obj/a: a.txt\n\tcp a.txt obj/a && {nap}\n");
    let env = Env::project(&[
        ("hd.toml", MAKE_TOML),
        ("Makefile", &makefile),
        ("a.txt", "one\n"),
    ]);
    let first = env.once();

    // A run that began with "two", while "three" is saved: the next run must build "three".
    files::write(&env.path("a.txt"), "two\n");
    let mut running = env.up_with(&["--once"]);
    running.until("make has copied and naps", || {
        leftovers::command_is(&nap).pop()
    });
    files::write(&env.path("a.txt"), "three\n");
    assert!(running.wait_exit(LONG).success(), "{}", running.said());
    env.once();
    assert_eq!(built(&env), "three\n");

    files::write(&env.path("a.txt"), "one\n");
    assert_eq!(env.once().root(), first.root());
    assert_eq!(built(&env), "one\n");
}

const MAKE_TOML: &str = r#"
[environment]
name = "make"

[build]
steps = ["mkdir -p obj out && make && cp obj/a out/a"]
cache = ["obj"]
"#;

fn built(env: &Env) -> String {
    env.hd(["run", "cat", "out/a"]).finish().ok().stdout
}

#[test]
fn the_observations_miss_nothing_that_strace_sees() {
    skip_unless!(needs::fuse(), needs::program("strace"));
    let script = "mkdir -p out; cat one conf.d/* link absent 2>/dev/null > out/all; ls -a deep > out/names; test -d deep/er; true";
    let env = samples::observing(
        script,
        &[
            ("one", "1\n"),
            ("conf.d/two", "2\n"),
            ("deep/er/file", "x\n"),
            ("deep/other", "y\n"),
        ],
    );
    symlink("one", env.path("link")).expect("a symlink");
    env.once();
    let why = env.hd(["why", "step-1", "--json"]).finish().ok();
    let copy = tempfile::tempdir().expect("a copy to trace");
    files::copy_tree(&env.path(""), copy.path(), &[".git"]);
    let root = copy.path().canonicalize().expect("the copy's path");
    let seen = hd_integration::strace::paths_of(script, &root);
    let mut compared = 0;
    for path in seen.iter().filter_map(|path| path.strip_prefix(&root).ok()) {
        // What the step itself made is its own; the lower was asked for nothing there.
        let name = path.to_str().expect("plain names");
        if name.is_empty() || name.starts_with("out") {
            continue;
        }
        compared += 1;
        assert!(
            why.stdout.contains(&format!("\"path\":\"{name}\"")),
            "{name} was looked up, not observed: {}",
            why.said()
        );
    }
    assert!(compared >= 6, "strace saw only {seen:?}");
}
