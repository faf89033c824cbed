//! Looking without doing: `hd plan` and `hd dag diff`.

use hd_integration::{Env, files, needs, samples, skip_unless};

/// The steps of `hd plan --json` whose plan is this word.
fn planned(env: &Env, word: &str) -> Vec<String> {
    let plan = env.hd(["plan", "--json"]).finish().ok().json();
    let steps = plan["steps"].as_array().expect("steps").iter();
    let named = steps.filter(|step| step["plan"] == word);
    named
        .map(|step| step["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn the_plan_is_what_up_then_does() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    assert_eq!(planned(&env, "run"), ["step-1"]);
    assert_eq!(planned(&env, "open"), ["step-2", "step-3"]);
    let first = env.once();
    assert_eq!(planned(&env, "keep"), ["step-1", "step-2", "step-3"]);
    let plan = env.hd(["plan", "--json"]).finish().ok().json();
    assert_eq!(plan["root"], first.root());

    files::write(&env.path("list/new"), "");
    assert_eq!(planned(&env, "keep"), ["step-1", "step-2"]);
    let said = env.hd(["plan"]).finish().ok();
    assert!(
        said.stdout.contains("list") && said.stdout.contains("run"),
        "{}",
        said.said()
    );
    // It ran nothing: what it foretold is still to be done.
    assert_eq!(planned(&env, "run"), ["step-3"]);
    env.once().ran(&["step-3"]);
}

#[test]
fn the_plan_beside_a_running_instance() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let before = env.status().service("web")["pid"].clone();
    assert_eq!(planned(&env, "keep"), ["step-1"]);
    let plan = env.hd(["plan", "--json"]).finish().ok().json();
    let status = env.status();
    assert_eq!(plan["root"], status.root());
    assert_eq!(status.service("web")["pid"], before);
}

#[test]
fn a_base_that_was_never_pulled_is_not_pulled_for_a_plan() {
    skip_unless!(needs::fuse(), needs::registry());
    let base = format!("{}/busybox:1", needs::registry().expect("checked"));
    let env = samples::observing("mkdir out && cat aside.txt > out/x", &[]);
    let done = env.hd(["plan", "--base", &base]).finish().expect_code(2);
    assert!(
        done.stderr.contains("was not pulled yet"),
        "{}",
        done.said()
    );
    env.once_with(&["--base", &base]);
    let plan = env.hd(["plan", "--json", "--base", &base]).finish().ok();
    assert_eq!(plan.json()["steps"][0]["plan"], "keep");
}

#[test]
fn the_difference_of_two_roots() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    let first = env.once();
    let same = env.hd(["dag", "diff"]).finish().ok();
    assert!(same.stdout.contains("nothing differs"), "{}", same.said());

    files::write(&env.path("second.txt"), "zeta\n");
    files::write(&env.path("list/c"), "c\n");
    std::fs::remove_file(env.path("aside.txt")).expect("remove");
    let toml = files::replace(&env.path("hd.toml"), "ls list", "ls -a list");
    let now = env.hd(["dag", "diff"]).finish().ok();
    for line in [
        "~ file second.txt",
        "+ file list/c",
        "- file aside.txt",
        "~ step step-3",
    ] {
        assert!(now.stdout.contains(line), "{line}: {}", now.said());
    }
    assert!(!now.stdout.contains("file list "), "{}", now.said());

    let second = env.once();
    files::write(&env.path("hd.toml"), &toml);
    let args = ["dag", "diff", "--json", first.root(), second.root()];
    let changes = env.hd(args).finish().ok().json();
    assert_eq!(
        changes["changes"].as_array().map(Vec::len),
        Some(5),
        "{changes:#}"
    );
    let bad = env.hd(["dag", "diff", "abc"]).finish().expect_code(2);
    assert!(bad.stderr.contains("64 hex digits"), "{}", bad.said());
}
