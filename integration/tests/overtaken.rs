//! Edits that come while services still follow an earlier one: what became of the newest counts.

use std::time::Duration;

use hd_integration::poll::{self, LONG, SHORT};
use hd_integration::{Env, Up, files, leftovers, needs, skip_unless};

/// The step fails for what is broken, and takes its time for what is slow.
const TOML: &str = r#"[environment]
name = "overtaken"

[build]
steps = ["if grep -q broken src; then exit 1; fi; if grep -q slow src; then sleep 4; fi; mkdir -p out && cp src out/copy"]

[services.web]
command = "sleep 1000"
"#;
/// A service that takes all its grace to stop, so that whoever leaves it out waits for it.
const STUBBORN: &str = r#"
[services.stubborn]
command = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"]
healthcheck = { log = "up" }
stop_grace = "3s"
"#;

fn state(env: &Env, name: &str) -> Option<String> {
    let status = env.status();
    let services = status.value()["services"].as_array()?;
    let found = services.iter().find(|service| service["name"] == name)?;
    Some(found["state"].as_str()?.to_owned())
}

/// Leaves the stubborn service out of the `hd.toml`; an outcome is acted on until it is gone.
fn leaving_one_out() -> (Env, Up) {
    let toml = TOML.to_owned() + STUBBORN;
    let env = Env::project(&[("hd.toml", &toml), ("src", "first\n")]);
    let mut up = env.up();
    up.wait_line(0, &["stubborn", "ready"]);
    up.wait_line(0, &["web", "ready"]);
    env.hd(["wait"]).finish().ok();
    files::write(&env.path("hd.toml"), TOML);
    up.until("it is being stopped", || {
        let state = state(&env, "stubborn");
        // On a slow machine it may be gone already.
        state.is_none_or(|state| state == "stopping").then_some(())
    });
    (env, up)
}

fn is_gone(env: &Env, up: &mut Up) {
    up.until("it is gone", || {
        state(env, "stubborn").is_none().then_some(())
    });
}

#[test]
fn a_failure_that_came_meanwhile_is_not_forgotten() {
    skip_unless!(needs::fuse());
    let (env, mut up) = leaving_one_out();
    files::write(&env.path("src"), "broken\n");
    up.until("the step has failed", || {
        let status = env.status();
        (!status.value()["error"].is_null()).then_some(())
    });
    is_gone(&env, &mut up);
    poll::never("the failure is gone", Duration::from_millis(1000), || {
        let status = env.status();
        let forgotten = status.value()["error"].is_null() || status.steps("failed").is_empty();
        forgotten.then(|| up.said())
    });
    env.hd(["wait", "web"]).finish().expect_code(3);
    files::write(&env.path("src"), "mended\n");
    up.until("it is mended", || {
        env.status().value()["error"].is_null().then_some(())
    });
    env.hd(["wait", "web"]).finish().ok();
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_build_that_was_asked_for_meanwhile_is_waited_for() {
    skip_unless!(needs::fuse());
    let (env, mut up) = leaving_one_out();
    files::write(&env.path("src"), "slow\n");
    let before = env.status();
    let built = env.hd(["build", "--json"]).finish().ok().report();
    assert_ne!(built.view(), before.view(), "{}", up.said());
    assert!(state(&env, "stubborn").is_none(), "{}", up.said());
    up.until("services see it", || {
        let done = env.hd(["exec", "cat", "out/copy"]).finish();
        (done.stdout == "slow\n").then_some(())
    });
    assert_eq!(built.view(), env.status().view());
}

#[test]
fn a_service_that_is_declared_meanwhile_starts() {
    skip_unless!(needs::fuse());
    let (env, mut up) = leaving_one_out();
    let late = "\n[services.late]\ncommand = \"sleep 1000\"\n";
    files::write(&env.path("hd.toml"), &(TOML.to_owned() + late));
    is_gone(&env, &mut up);
    up.until("it is ready", || {
        (state(&env, "late")? == "ready").then_some(())
    });
}

#[test]
fn a_step_that_was_to_run_again_does_though_an_edit_came() {
    skip_unless!(needs::fuse());
    let toml = r#"[environment]
name = "again"
[build]
steps = ["if test -e slow; then sleep 4; fi; mkdir -p one", "mkdir -p two"]
[services.web]
command = "sleep 1000"
"#;
    let env = Env::project(&[("hd.toml", toml), ("slow", ""), ("notes.txt", "one\n")]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let from = up.so_far();
    let mut build = env.up_through("exec $HD build --rerun step-1 --rerun step-2");
    up.wait_line(from, &["step-1", "asked to run again"]);
    // No step reads it: the one that runs goes on, and a newer chain takes over after it.
    files::write(&env.path("notes.txt"), "two\n");
    up.wait_line(from, &["step-2", "asked to run again"]);
    assert!(build.wait_exit(SHORT).success(), "{}", build.said());
    let again = up.said()[from..].matches("asked to run again").count();
    assert_eq!(again, 2, "{}", up.said());
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_step_that_fails_when_it_is_to_run_again_is_told_though_an_edit_came() {
    skip_unless!(needs::fuse());
    let toml = r#"[environment]
name = "again"
[build.caches.tool]
path = "~/.tool"
[[build.step]]
name = "fetch"
run = "if test -e ~/.tool/again; then sleep 4; exit 1; fi; touch ~/.tool/again; mkdir -p one"
caches = ["tool"]
[services.web]
command = "sleep 1000"
"#;
    let env = Env::project(&[("hd.toml", toml), ("notes.txt", "one\n")]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let from = up.so_far();
    let mut build = env.up_through("exec $HD build --rerun fetch");
    up.wait_line(from, &["step-1", "asked to run again"]);
    // The step has not looked at it: it runs to its end, and a newer chain takes over after it.
    files::write(&env.path("notes.txt"), "two\n");
    let ended = build.wait_exit(LONG);
    assert_eq!(ended.code(), Some(3), "{}", build.said());
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
    leftovers::expect_none(env.mark(), SHORT);
}
