//! Verbs beside a running instance: each with its answer and one failure.

use std::process::Stdio;

use hd_integration::{Env, needs, skip_unless};

const TOML: &str = r#"
[environment]
name = "verbs"
[services.web]
command = ["sh", "-c", "trap 'echo hup > got' HUP; echo up; while :; do sleep 0.02; done"]
healthcheck = { log = "up" }
port = 5000
[services.slow]
command = "sleep 1000"
healthcheck = "false"
"#;

fn project() -> Env {
    Env::project(&[("hd.toml", TOML), ("other.txt", "")])
}

#[test]
fn a_running_instance_is_listed_asked_waited_for_and_signalled() {
    skip_unless!(needs::fuse());
    let env = project();
    let mut up = env.up();
    env.hd(["wait", "web"]).finish_when_up(&mut up);
    let late = env
        .hd(["wait", "--timeout", "50ms"])
        .finish()
        .expect_code(5);
    assert!(
        late.stderr.contains("not ready in time: slow"),
        "{}",
        late.said()
    );

    let listed = env.hd(["ls", "--json"]).finish().ok().json();
    let one = &listed["instances"][0];
    assert_eq!(
        (&one["name"], &one["running"]),
        (&"verbs".into(), &true.into())
    );
    assert_eq!(
        one["directory"],
        env.path("").canonicalize().unwrap().to_str().unwrap()
    );

    let port = env.hd(["port", "web"]).finish().ok().stdout;
    assert_eq!(port, format!("127.0.0.1:{}\n", env.port(0)));
    assert!(
        env.hd(["port", "slow"])
            .finish()
            .expect_code(2)
            .stderr
            .contains("has no port")
    );
    assert!(
        env.hd(["port", "wbe"])
            .finish()
            .expect_code(2)
            .stderr
            .contains("did you mean `web`?")
    );

    env.hd(["kill", "-s", "HUP", "web"]).finish().ok();
    up.until("the signal arrived", || {
        env.path("got").exists().then_some(())
    });
    assert!(
        env.hd(["kill", "-s", "X"])
            .finish()
            .expect_code(2)
            .stderr
            .contains("no signal")
    );
    env.hd(["kill", "web"]).finish().ok();
    assert_eq!(env.status().service("web")["state"], "exited");

    assert_eq!(up.interrupt().code(), Some(130));
    let listed = env.hd(["ls", "--json"]).finish().ok().json();
    assert_eq!(listed["instances"], serde_json::json!([]));
    let all = env.hd(["ls", "--all"]).finish().ok().stdout;
    assert!(all.contains("verbs") && all.contains("stopped"), "{all}");
    for verb in [
        ["wait"].as_slice(),
        &["port", "web"],
        &["kill"],
        &["attach"],
        &["events"],
    ] {
        let said = env.hd(verb).finish().expect_code(2);
        assert!(said.stderr.contains("is not running"), "{}", said.said());
    }
}

#[test]
fn what_happens_is_followed_as_lines_and_as_json() {
    skip_unless!(needs::fuse());
    let env = project();
    let mut up = env.up();
    env.hd(["wait", "web"]).finish_when_up(&mut up);
    let follow = |verb: &str| {
        let mut command = env.hd([verb]).into_command();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let (attached, events) = (follow("attach"), follow("events"));
    // Both are there once they show what happens after they came.
    let mut number = 0;
    up.until("several edits are through", || {
        number += 1;
        std::fs::write(env.path("other.txt"), number.to_string()).unwrap();
        (number > 20).then_some(())
    });
    let from = up.so_far();
    std::fs::write(env.path("other.txt"), "the last").unwrap();
    up.wait_line(from, &["other.txt"]);
    env.hd(["restart", "web"]).finish().ok();
    env.hd(["wait", "web"]).finish().ok();
    assert_eq!(up.interrupt().code(), Some(130));
    let text = |child: std::process::Child| {
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let lines = text(attached);
    assert!(lines.contains("web") && lines.contains("ready"), "{lines}");
    let events = text(events);
    let objects: Vec<serde_json::Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ready = |one: &&serde_json::Value| one["event"] == "service" && one["state"] == "ready";
    assert!(objects.iter().any(|one| ready(&one)), "{events}");
    assert!(objects.iter().all(|one| one["at"].is_string()), "{events}");
}

#[test]
fn logs_are_cut_by_time() {
    skip_unless!(needs::fuse());
    let env = project();
    let mut up = env.up();
    env.hd(["wait", "web"]).finish_when_up(&mut up);
    let logs = |args: &[&str]| {
        let args = [["logs", "--no-prefix"].as_slice(), args, &["web"]].concat();
        env.hd(args).finish().ok().stdout
    };
    assert!(logs(&["--since", "1h"]).contains("up\n"));
    assert_eq!(logs(&["--until", "1h"]), "");
    assert_eq!(logs(&["--since", "2099-01-01"]), "");
    assert!(logs(&["--until", "2099-01-01T00:00:00Z"]).contains("up\n"));
    let wrong = env.hd(["logs", "--since", "soon"]).finish().expect_code(2);
    assert!(wrong.stderr.contains("is no time"), "{}", wrong.said());
}

#[test]
fn the_machine_is_looked_at_and_words_are_completed() {
    skip_unless!(needs::fuse(), needs::root());
    let env = project();
    let checks = env.hd(["doctor", "--json"]).finish().ok().json();
    let checks = checks["checks"].as_array().unwrap().clone();
    assert!(
        checks
            .iter()
            .any(|one| one["check"] == "fuse" && one["grade"] == "ok")
    );
    // A registry that nobody runs is named, and the machine is not fit.
    let toml = TOML.replace(
        "name = \"verbs\"",
        "name = \"verbs\"\nbase = \"127.0.0.1:1/x\"",
    );
    std::fs::write(env.path("hd.toml"), toml).unwrap();
    let bad = env.hd(["doctor"]).finish().expect_code(7);
    assert!(bad.stdout.contains("127.0.0.1:1"), "{}", bad.said());

    for shell in ["bash", "zsh", "fish"] {
        let script = env.hd(["completion", shell]).finish().ok().stdout;
        assert!(script.contains("HD_COMPLETE"), "{shell}: {script}");
    }
    env.hd(["completion", "tcsh"]).finish().expect_code(2);
    let words = env
        .hd(["--", "hd", "restart", ""])
        .env("HD_COMPLETE", "bash");
    let words = words.env("_CLAP_COMPLETE_INDEX", "2").finish().ok().stdout;
    let words: Vec<&str> = words.split_whitespace().collect();
    assert!(
        words.contains(&"web") && words.contains(&"slow"),
        "{words:?}"
    );
}

/// Asks again until the instance is there to be asked.
trait WhenUp {
    fn finish_when_up(self, up: &mut hd_integration::Up);
}

impl WhenUp for hd_integration::Run {
    fn finish_when_up(self, up: &mut hd_integration::Up) {
        up.wait_line(0, &["web", "ready"]);
        self.finish().ok();
    }
}
