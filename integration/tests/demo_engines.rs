//! `hd demo` leaves nothing in the engines that it measures, however it ends.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hd_integration::demo::{DEMO, SERVED, expect_no_directories, with_docker};
use hd_integration::poll::let_pass;
use hd_integration::{Env, LONG, SHORT, files, leftovers, needs, skip_unless, until};
use rustix::process::Signal;

fn start(env: &Env, args: &[&str]) -> Child {
    let mut demo = env.hd(args).into_command();
    let demo = demo.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    demo.expect("start hd demo")
}

fn signal(demo: &Child, signal: Signal) {
    leftovers::signal(i32::try_from(demo.id()).expect("a process id"), signal);
}

/// A project that stands on nothing, for a machine whose engine answers.
fn on_nothing() -> [(&'static str, String); 2] {
    let dockerfile = "ARG BASE=127.0.0.1:1/nothing\nFROM ${BASE}\n".to_owned();
    let toml = SERVED.replace("base = \"BASE\"", "");
    [("hd.toml", toml), ("Dockerfile", dockerfile)]
}

/// Takes its time to say what there is to remove.
const SLOW_DOCKER: &str = r#"#!/bin/sh
echo "$*" >> "$FAKE_LOG"
case "$*" in "ps -a -q"*) sleep 2 ;; esac
"#;

#[test]
fn a_third_signal_does_not_stop_the_removal_either() {
    skip_unless!(needs::fuse());
    let files = on_nothing();
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let (env, log) = with_docker(&files, SLOW_DOCKER);
    let mut demo = start(&env, &DEMO);
    until("the engine was found", SHORT, || {
        let asked = std::fs::read_to_string(&log).unwrap_or_default();
        asked.contains("image inspect").then_some(())
    });
    for _ in 0..3 {
        signal(&demo, Signal::INT);
        // Two of the same kind that come at once are one.
        let_pass(Duration::from_millis(200));
    }
    let status = until("the demo ends", LONG, || demo.try_wait().expect("wait"));
    assert_eq!(status.code(), Some(130));
    let asked = files::read(&log);
    assert!(asked.contains("ps -a -q"), "{asked}");
    let stderr = demo.stderr.take().expect("a pipe");
    let said = std::io::read_to_string(stderr).expect("read it");
    assert_eq!(said.matches("ending:").count(), 1, "{said}");
    expect_no_directories(&env);
    leftovers::expect_none(env.mark(), SHORT);
}

/// Cannot say what there is to remove; while it builds an image without a name comes, and one loses its name.
const FORGETFUL_DOCKER: &str = r#"#!/bin/sh
echo "$*" >> "$FAKE_LOG"
case "$*" in
    "ps -a -q"*) echo started ;;
    "image ls -q --filter"*) echo "the engine is gone" >&2; exit 1 ;;
    "image ls -q --no-trunc"*)
        echo sha256:before
        if test -e "$FAKE_LOG.built"; then echo sha256:renamed; echo sha256:stage; fi ;;
    "image ls -q -a"*) echo sha256:before; echo sha256:renamed ;;
    "image rm sha256:stage") rm "$FAKE_LOG.built" ;;
    *State.Running*) echo false ;;
    "run "*) touch "$FAKE_LOG.built" ;;
esac
"#;

#[test]
fn what_has_no_label_goes_too_and_what_stays_is_told() {
    skip_unless!(needs::fuse(), needs::registry());
    let base = format!("{}/python:3.11-slim", needs::registry().expect("checked"));
    let toml = SERVED.replace("BASE", &base);
    let files = [
        ("hd.toml", &*toml),
        ("Dockerfile", "ARG BASE=x\nFROM ${BASE}\n"),
    ];
    let (env, log) = with_docker(&files, FORGETFUL_DOCKER);
    let report = env.hd(DEMO).finish().ok().json();
    let asked = files::read(&log);
    let removals = asked.lines().filter(|line| line.starts_with("rm "));
    let removals: Vec<&str> = removals.collect();
    assert!(removals.contains(&"rm -f -v started"), "{asked}");
    for line in removals {
        assert!(line.starts_with("rm -f -v "), "{line}");
    }
    assert!(asked.contains("image rm sha256:stage"), "{asked}");
    for kept in ["rm sha256:before", "sha256:renamed"] {
        assert!(!asked.contains(kept), "{asked}");
    }
    let notes = report["notes"].to_string();
    for part in [
        "may have stayed in docker",
        "label=hd-demo=",
        "the engine is gone",
    ] {
        assert!(notes.contains(part), "{notes}");
    }
    expect_no_directories(&env);
}

/// A step that no other test has.
const STEP: &str = "sleep 4321";

/// The containers that builds of Podman run in.
fn building() -> BTreeSet<String> {
    let list = |more: &[&str]| {
        let mut podman = Command::new("podman");
        let listed = podman.args(["ps", "-a", "-q"]).args(more).output();
        let listed = listed.expect("run podman").stdout;
        let ids = String::from_utf8(listed).expect("ids");
        ids.split_whitespace().map(str::to_owned).collect()
    };
    let all: BTreeSet<String> = list(&["--external"]);
    let others = list(&[]);
    all.difference(&others).cloned().collect()
}

#[test]
fn a_build_of_podman_that_was_cut_off_leaves_no_container() {
    skip_unless!(
        needs::fuse(),
        needs::registry(),
        needs::root(),
        needs::program("podman")
    );
    let base = format!("{}/python:3.11-slim", needs::registry().expect("checked"));
    let toml = SERVED.replace("BASE", &base);
    let dockerfile = format!("ARG BASE=x\nFROM ${{BASE}}\nRUN exec {STEP}\n");
    let files = [("hd.toml", &*toml), ("Dockerfile", &dockerfile)];
    let mut env = Env::project(&files);
    let mark = env.mark().display().to_string();
    env.set("TMPDIR", &mark);
    let before = building();
    let mut demo = start(
        &env,
        &["demo", "--json", "--runs", "1", "--engine", "podman"],
    );
    until("the step of the build runs", LONG, || {
        assert!(demo.try_wait().expect("wait").is_none(), "the demo ended");
        leftovers::command_is(STEP).pop()
    });
    let now = building();
    let new: BTreeSet<&String> = now.difference(&before).collect();
    assert!(!new.is_empty());
    signal(&demo, Signal::INT);
    let status = until("the demo ends", LONG, || demo.try_wait().expect("wait"));
    assert_eq!(status.code(), Some(130));
    // Those of others go when their builds end.
    until("none of them is left", LONG, || {
        let now = building();
        new.iter().all(|id| !now.contains(*id)).then_some(())
    });
    until("nor its step", LONG, || {
        leftovers::command_is(STEP).is_empty().then_some(())
    });
    expect_no_directories(&env);
    leftovers::expect_none(env.mark(), SHORT);
}
