//! `hd demo` measures the real binary and says what it could not measure.

use std::process::Stdio;
use std::time::Duration;

use hd_integration::demo::{
    DEMO, NO_ENGINE, SERVED, expect_no_directories, leftover_directories, reason, with_docker,
};
use hd_integration::poll::let_pass;
use hd_integration::{Env, LONG, SHORT, files, leftovers, needs, skip_unless, until};

/// Temporary files of the demo stay below the test.
fn env() -> Env {
    let mut env = Env::example("flask-demo");
    let mark = env.mark().display().to_string();
    env.set(NO_ENGINE.0, NO_ENGINE.1).set("TMPDIR", &mark);
    env
}

#[test]
fn without_an_engine_hd_is_measured_and_the_rest_explained() {
    skip_unless!(needs::fuse(), needs::package_index());
    let env = env();
    let page = env.mark().join("report.html");
    let picture = env.mark().join("plots.svg");
    let [page_name, picture_name] = [&page, &picture].map(|path| path.to_str().expect("UTF-8"));
    let files = ["--html", page_name, "--svg", picture_name];
    let done = env.hd(DEMO.into_iter().chain(files)).finish().ok();
    let report = done.json();
    assert_eq!(
        (&report["schema"], &report["project"]),
        (&1.into(), &"flask-demo".into())
    );
    let sides = report["sides"].as_array().expect("sides");
    assert_eq!((sides.len(), &sides[0]["name"]), (1, &"hd".into()));
    let phases = sides[0]["phases"].as_array().expect("phases");
    let names: Vec<_> = phases.iter().map(|phase| &phase["phase"]).collect();
    let expected = ["cold", "edit", "dependency", "back", "second", "no_change"];
    assert_eq!(names, expected);
    for phase in phases {
        let samples = phase["samples_ms"].as_array().expect("samples");
        assert_eq!((samples.len(), &samples[0]), (1, &phase["median_ms"]));
        assert!(samples[0].as_f64().expect("a number") > 0.0, "{phase}");
        assert!(!phase["commands"].as_array().expect("commands").is_empty());
    }
    // The copy was edited, and the edit was seen over HTTP.
    let edit = report["edit"].as_str().expect("what an edit is");
    assert!(edit.contains("config.py, until GET /version"), "{edit}");
    let notes = report["notes"].as_array().expect("notes");
    let told = notes[0].as_str().expect("a note");
    assert!(notes.len() == 1 && told.contains("was deleted"), "{report}");
    assert!(sides[0]["disk_per_edit"].is_u64(), "{report}");
    let page = std::fs::read_to_string(page).expect("the report is written");
    // A dot for each run, and nothing that a browser would have to fetch.
    assert_eq!(page.matches("<circle").count(), expected.len());
    assert!(
        page.ends_with("</html>\n") && !page.contains("src="),
        "{page}"
    );
    let picture = std::fs::read_to_string(picture).expect("the picture is written");
    assert_eq!(picture.matches("<circle").count(), expected.len());
    let missing = &report["missing"][0];
    assert_eq!(missing["side"], "docker");
    let reason = missing["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("no docker answers") || reason.contains("no docker in PATH"),
        "{reason}"
    );
    assert_eq!(env.git(&["status", "--porcelain"]), "");
    expect_no_directories(&env);
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    skip_unless!(needs::fuse());
    let env = env();
    let page = env.mark().join("report.html");
    files::write(&page, "of yesterday");
    let args = ["--html", page.to_str().expect("UTF-8")];
    let mut demo = env.hd(DEMO.into_iter().chain(args)).into_command();
    let demo = demo.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut demo = demo.expect("start hd demo");
    // In the middle of the cold start: the home of the hd that it runs is there.
    until("the demo starts hd", SHORT, || {
        let place = leftover_directories(&env).pop()?;
        place.join("home-0").exists().then_some(())
    });
    let_pass(Duration::from_millis(300));
    let pid = i32::try_from(demo.id()).expect("a process id");
    leftovers::signal(pid, rustix::process::Signal::INT);
    let status = until("the demo ends", LONG, || {
        demo.try_wait().expect("wait for hd")
    });
    assert_eq!(status.code(), Some(130));
    assert_eq!(files::read(&page), "of yesterday");
    expect_no_directories(&env);
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_link_whose_copy_leads_to_the_projects_own_files_is_no_volume() {
    let toml = SERVED.replace("base = \"BASE\"", "");
    let env = Env::project(&[("hd.toml", &format!("{toml}volumes = [\"./data:/data\"]\n"))]);
    let own = env.path("var");
    std::fs::create_dir(&own).expect("make the directory");
    std::os::unix::fs::symlink(&own, env.path("data")).expect("link to it");
    let refused = env.hd(DEMO).finish().expect_code(2);
    assert!(
        refused.stderr.contains("writes to ./data"),
        "{}",
        refused.said()
    );
}

/// Says yes to everything, builds nothing, runs nothing, and writes down what it was asked; what is in BuildKit's
/// cache it can tell only from the second time on.
const FAKE_DOCKER: &str = r#"#!/bin/sh
echo "$*" >> "$FAKE_LOG"
case "$*" in
    *" up "*) exit 1 ;;
    *State.Running*) echo false ;;
    "system df"*) test -e "$FAKE_LOG.asked" && echo cached-by-the-user || { touch "$FAKE_LOG.asked"; exit 1; } ;;
esac
"#;

#[test]
fn nothing_that_the_user_has_in_an_engine_is_touched() {
    skip_unless!(needs::fuse(), needs::registry());
    let base = format!("{}/python:3.11-slim", needs::registry().expect("checked"));
    let compose = "services:\n  web:\n    build: .\n    volumes: ['db:/data']\n\
                   volumes:\n  db:\n    name: the-users-own\n";
    let files = [
        ("hd.toml", &*SERVED.replace("BASE", &base)),
        ("Dockerfile", "ARG BASE=x\nFROM ${BASE}\n"),
        ("compose.yaml", compose),
    ];
    let (env, log) = with_docker(&files, FAKE_DOCKER);
    let report = env.hd(DEMO).finish().ok().json();
    let reason = reason(&report, "compose");
    let asked = files::read(&log);
    // The one service is measured as a container of its Dockerfile, as far as that comes.
    let instead = hd_integration::demo::reason(&report, "docker BuildKit, naive");
    assert!(instead.contains("the container ended"), "{instead}");
    assert!(
        reason.contains("compose.yaml:7:5") && reason.contains("the-users-own"),
        "{reason}"
    );
    // The fake was taken for an engine.
    assert!(asked.contains("image inspect"), "{asked}");
    for harm in [" down ", " up ", "prune", "pull"] {
        assert!(!asked.contains(harm), "{harm:?} in {asked}");
    }
    expect_no_directories(&env);
    leftovers::expect_none(env.mark(), SHORT);
}

/// Builds and starts all that is asked for; what it started ends at once.
const DYING_DOCKER: &str = r#"#!/bin/sh
case "$*" in
    "image ls"* | "image inspect"*) exit 1 ;;
    "ps -a --filter"*Status*) echo "Exited (3) 1 second ago" ;;
    *" logs "*) echo "no module named flask" ;;
esac
"#;

#[test]
fn a_container_that_ended_is_told_with_its_last_words() {
    skip_unless!(needs::fuse(), needs::registry());
    let base = format!("{}/python:3.11-slim", needs::registry().expect("checked"));
    let files = [
        ("hd.toml", &*SERVED.replace("BASE", &base)),
        ("Dockerfile", "ARG BASE=x\nFROM ${BASE}\n"),
        ("compose.yaml", "services:\n  web:\n    build: .\n"),
    ];
    let (env, _) = with_docker(&files, DYING_DOCKER);
    let report = env.hd(DEMO).finish().ok().json();
    let reason = reason(&report, "compose");
    assert!(
        reason.contains("the container ended: no module named flask"),
        "{reason}"
    );
    expect_no_directories(&env);
}

#[test]
fn a_base_out_of_reach_leaves_nothing_behind_for_the_next_try() {
    skip_unless!(needs::fuse());
    let files = [
        ("hd.toml", &*SERVED.replace("base = \"BASE\"", "")),
        ("Dockerfile", "ARG BASE=127.0.0.1:1/nothing\nFROM ${BASE}\n"),
    ];
    let (env, _) = with_docker(&files, FAKE_DOCKER);
    let report = env.hd(DEMO).finish().ok().json();
    let why = reason(&report, "docker and podman");
    assert!(
        why.contains("cannot work on the Dockerfile's base"),
        "{why}"
    );
    let cold = &report["sides"][0]["phases"][0];
    assert_eq!(cold["phase"], "cold");
    let commands = cold["commands"].to_string();
    assert!(commands.contains("/home-1 "), "{commands}");
    expect_no_directories(&env);
}
