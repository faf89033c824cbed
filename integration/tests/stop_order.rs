//! `hd stop` and `hd kill` of several services: who depends on another goes first, the others together.

use std::process::Stdio;

use hd_integration::{Env, SHORT, files, leftovers, needs, skip_unless, until};

/// Asked to stop, each says so and goes on until it is let go.
const SERVE: &str = "trap 'echo $NAME >> asked; until test -e go-$NAME; do sleep 0.02; done; exit 0' TERM\n\
                     trap 'echo $NAME >> hup' HUP\n\
                     echo up\n\
                     while :; do sleep 0.02; done\n";

fn service(name: &str, more: &str) -> String {
    format!(
        "[services.{name}]\ncommand = [\"sh\", \"serve.sh\"]\nenv = {{ NAME = \"{name}\" }}\n\
         stop_grace = \"60s\"\nhealthcheck = {{ log = \"up\" }}\n{more}"
    )
}

fn project() -> Env {
    let toml = format!(
        "[environment]\nname = \"ends\"\n{}{}{}{}{}",
        service("db", ""),
        service("api", "depends_on = [\"db\"]\n"),
        service("web", "depends_on = [\"api\"]\n"),
        service("alone", ""),
        "[services.a-job]\ncommand = \"true\"\nkind = \"oneshot\"\n"
    );
    Env::project(&[("hd.toml", &toml), ("serve.sh", SERVE)])
}

/// The lines of a file, sorted; none while it is not there.
fn lines(env: &Env, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(env.path(file)).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn running(env: &Env) -> Vec<String> {
    let value = env.status().value().clone();
    let all = value["services"].as_array().cloned().unwrap_or_default();
    let runs = all.iter().filter(|one| one["pid"].is_number());
    runs.filter_map(|one| one["name"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_service_is_stopped_once_nothing_runs_that_depends_on_it() {
    skip_unless!(needs::fuse());
    let env = project();
    env.hd(["up", "--wait"]).finish().ok();
    let mut stop = env.hd(["stop", "--json"]).into_command();
    let mut stop = stop.stdout(Stdio::null()).spawn().unwrap();
    // In this order they are let go; at each point just these have been asked.
    for (name, asked) in [
        ("web", &["alone", "web"][..]),
        ("api", &["alone", "api", "web"]),
        ("db", &["alone", "api", "db", "web"]),
    ] {
        until("all that may stop are asked", SHORT, || {
            (lines(&env, "asked").len() >= asked.len()).then_some(())
        });
        assert_eq!(lines(&env, "asked"), asked);
        assert!(running(&env).iter().any(|one| one == name));
        files::write(&env.path(&format!("go-{name}")), "");
    }
    until("only one is left", SHORT, || {
        (running(&env) == ["alone"]).then_some(())
    });
    assert!(stop.try_wait().unwrap().is_none(), "one still runs");
    files::write(&env.path("go-alone"), "");
    let status = until("all are stopped", SHORT, || stop.try_wait().unwrap());
    assert!(status.success());
    assert_eq!(running(&env), [""; 0]);
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_signal_for_all_goes_to_those_that_have_a_process() {
    skip_unless!(needs::fuse());
    let env = project();
    env.hd(["up", "--wait"]).finish().ok();
    let sent = env.hd(["kill", "-s", "HUP", "--json"]).finish().ok().json();
    let all = ["alone", "api", "db", "web"];
    assert_eq!(sent["services"], serde_json::json!(all));
    until("all have heard of it", SHORT, || {
        (lines(&env, "hup") == all).then_some(())
    });
    let named = env.hd(["kill", "-s", "HUP", "a-job"]).finish();
    let named = named.expect_code(5);
    assert!(
        named.stderr.contains("a-job got no signal"),
        "{}",
        named.said()
    );
    // Killed, none of them is let finish.
    env.hd(["kill"]).finish().ok();
    assert_eq!(running(&env), [""; 0]);
    assert_eq!(lines(&env, "asked"), [""; 0]);
    let none = env.hd(["kill", "-s", "HUP"]).finish().ok();
    assert!(
        none.stderr.contains("no service has a process"),
        "{}",
        none.said()
    );
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}
