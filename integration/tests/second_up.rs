//! Another `hd up` while an instance runs: it starts what is missing, whatever the first one asked for.

use std::collections::BTreeMap;
use std::path::Path;

use hd_integration::env::binary;
use hd_integration::{Env, Report, Run, SHORT, files, leftovers, needs, skip_unless, until};

const TOML: &str = r#"[environment]
name = "twice"
[build]
steps = ["cat source.txt > made.txt"]
[services.web]
command = "exec sleep 1000"
[services.worker]
command = "exec sleep 1000"
depends_on = ["db"]
[services.db]
command = "exec sleep 1000"
[services.debug]
command = "exec sleep 1000"
profiles = ["debug"]
"#;

fn project() -> Env {
    Env::project(&[("hd.toml", TOML), ("source.txt", "one\n")])
}

/// Names and process ids of all services, 0 of what does not run.
fn pids(report: &Report) -> BTreeMap<String, i64> {
    let all = report.value()["services"].as_array();
    let all = all.expect("a list of services").iter();
    let one = |one: &serde_json::Value| {
        let name = one["name"].as_str().expect("a name");
        (name.to_owned(), one["pid"].as_i64().unwrap_or_default())
    };
    all.map(one).collect()
}

/// What `hd up ARGS --wait --json` says runs then.
#[track_caller]
fn up(env: &Env, args: &[&str]) -> BTreeMap<String, i64> {
    let up = env.hd(args.iter().chain(&["--wait", "--json"]));
    let pids = pids(&up.finish().ok().report());
    assert!(pids.values().all(|pid| *pid > 0), "{pids:?}");
    pids
}

fn names(pids: &BTreeMap<String, i64>) -> Vec<&str> {
    pids.keys().map(String::as_str).collect()
}

#[test]
fn services_that_the_first_did_not_name_start_with_what_they_depend_on() {
    skip_unless!(needs::fuse());
    let env = project();
    let first = up(&env, &["up", "web"]);
    assert_eq!(names(&first), ["web"]);
    let second = up(&env, &["up", "worker"]);
    assert_eq!(names(&second), ["db", "web", "worker"]);
    assert_eq!(second["web"], first["web"], "what runs goes on");

    for (args, why) in [
        (["up", "-d", "wroker"], "did you mean `worker`?"),
        (
            ["up", "-d", "--profile=debgu"],
            "there is no profile `debgu`",
        ),
    ] {
        let refused = env.hd(args).finish().expect_code(2);
        assert!(refused.stderr.contains(why), "{}", refused.said());
        assert_eq!(pids(&env.status()), second, "nothing changes");
    }
    // What was refused is not in the way of what comes later, nor are edits.
    let edited = TOML.replace(
        "[services.worker]",
        "env = { NEW = \"1\" }\n[services.worker]",
    );
    files::save_by_rename(&env.path("hd.toml"), &edited);
    until("web follows the edit, and all stay", SHORT, || {
        let now = pids(&env.status());
        (now["web"] > 0 && now["web"] != second["web"] && now["worker"] == second["worker"])
            .then_some(())
    });
    assert_eq!(env.status().value()["error"], serde_json::Value::Null);

    // What was stopped is missing too, also when another needs it.
    env.hd(["stop", "db", "worker"]).finish().ok();
    let third = up(&env, &["up", "worker"]);
    assert_eq!(names(&third), ["db", "web", "worker"]);

    // Who names none wants all; the one of a profile is not among them until it is asked for.
    let mut attached = env.up_with(&["debug"]);
    attached.wait_line(0, &["runs already: attached"]);
    assert_eq!(
        names(&pids(&env.status())),
        ["db", "debug", "web", "worker"]
    );
    attached.interrupt();
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn profiles_that_the_first_did_not_have_hold_too() {
    skip_unless!(needs::fuse());
    let env = project();
    let first = up(&env, &["up"]);
    assert_eq!(names(&first), ["db", "web", "worker"]);
    let mut second = up(&env, &["--profile", "debug", "up"]);
    assert_eq!(names(&second), ["db", "debug", "web", "worker"]);
    // A third one without it takes nothing back.
    assert_eq!(up(&env, &["up"]), second);
    let debug = second.remove("debug");
    assert_eq!(second, first, "what runs goes on");
    assert!(debug.is_some());
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_one_shot_that_only_now_is_asked_for_runs_once() {
    skip_unless!(needs::fuse());
    let job = "[services.job]\ncommand = \"echo ran >> ran.txt\"\nkind = \"oneshot\"\n\
               [services.after]\ncommand = \"exec sleep 1000\"\n\
               depends_on = { job = { condition = \"completed\" } }\n";
    let env = Env::project(&[
        ("hd.toml", &format!("{TOML}{job}")),
        ("source.txt", "one\n"),
    ]);
    up(&env, &["up", "web"]);
    env.hd(["up", "--wait", "job"]).finish().ok();
    env.hd(["up", "--wait", "after"]).finish().ok();
    assert_eq!(files::read(&env.path("ran.txt")), "ran\n");
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_wish_that_cannot_be_is_forgotten() {
    skip_unless!(needs::fuse());
    let lay = "[profiles.other.environment]\nbase = \"oci:nowhere\"\n";
    let env = Env::project(&[
        ("hd.toml", &format!("{TOML}{lay}")),
        ("source.txt", "one\n"),
    ]);
    let first = up(&env, &["up", "web"]);
    let args = ["--profile=other", "up", "-d", "--json"];
    let refused = env.hd(args).finish();
    assert_ne!(refused.code(), 0, "{}", refused.said());
    assert!(refused.stdout.contains("nowhere"), "{}", refused.said());
    let status = env.status();
    assert_eq!(status.value()["error"], serde_json::Value::Null);
    assert_eq!(pids(&status), first);
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}

/// The first look at the project takes a while, or the base does: the second comes before its end.
fn right_after_the_first(stands_still: &str) {
    let mut env = project();
    env.set("HD_FAULT", &format!("{stands_still}:1~4000"));
    env.hd(["up", "-d", "web"]).finish().ok();
    env.hd(["up", "-d", "worker"]).finish().ok();
    until("all that was asked for runs", SHORT, || {
        let now = pids(&env.status());
        (names(&now) == ["db", "web", "worker"] && now.values().all(|pid| *pid > 0)).then_some(())
    });
    env.hd(["up", "-d"]).finish().ok();
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn one_that_comes_before_the_project_is_known_waits_for_that() {
    skip_unless!(needs::fuse(), needs::faults());
    right_after_the_first("dag_engine");
}

#[test]
fn one_that_comes_before_the_base_is_there_waits_for_that() {
    skip_unless!(needs::fuse(), needs::faults());
    right_after_the_first("oci_fetcher");
}

#[test]
fn one_that_waits_is_told_of_its_own_services() {
    skip_unless!(needs::fuse());
    let env = project();
    up(&env, &["up", "web"]);
    env.hd(["stop", "web"]).finish().ok();
    env.hd(["up", "--wait", "db"]).finish().ok();
    let all = env.hd(["up", "--wait"]).finish().ok();
    assert!(all.stderr.contains("runs already"), "{}", all.said());
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn one_that_waits_for_what_has_failed_is_told_of_it() {
    skip_unless!(needs::fuse());
    let toml = r#"[environment]
name = "waits"
[services.web]
command = "exec sleep 1000"
[services.migrate]
kind = "oneshot"
command = "exit 1"
[services.api]
command = "exec sleep 1000"
depends_on = { migrate = { condition = "completed" } }
"#;
    let env = Env::project(&[("hd.toml", toml)]);
    up(&env, &["up", "web"]);
    let failed = env.hd(["up", "--wait", "api"]).finish().expect_code(5);
    assert!(failed.stderr.contains("migrate"), "{}", failed.said());
    // What else fares badly is no business of who waits for this one.
    env.hd(["up", "--wait", "web"]).finish().ok();
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn of_two_starts_that_fail_alike_each_says_why() {
    skip_unless!(needs::fuse());
    let env = project();
    for _ in 0..2 {
        let few = format!("ulimit -n 60; exec {} up -d", binary().display());
        let failed = Run::new(Path::new("sh"))
            .args(["-c", &few])
            .dir(&env.path(""))
            .env("HD_HOME", env.home())
            .finish();
        assert!(
            failed.stderr.contains("too many open files are needed"),
            "{}",
            failed.said()
        );
    }
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn of_many_at_the_same_moment_none_is_lost() {
    skip_unless!(needs::fuse());
    let env = project();
    let wishes = ["web", "db", "worker", "debug"];
    std::thread::scope(|scope| {
        for name in wishes {
            let up = env.hd(["up", "-d", name]);
            scope.spawn(move || up.finish().ok());
        }
    });
    env.hd(["wait"]).finish().ok();
    until("all that was asked for runs", SHORT, || {
        let now = pids(&env.status());
        (now.len() == wishes.len() && now.values().all(|pid| *pid > 0)).then_some(())
    });
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}
