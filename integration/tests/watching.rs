//! What watching leads to, and what it does not: services that write what they watch, edits that are held
//! back.

use std::time::Duration;

use hd_integration::poll::{self, SHORT, until};
use hd_integration::{Env, Up, files, leftovers, needs, skip_unless};

fn start(command: &str, more: &str) -> (Env, Up) {
    let toml = format!(
        "[environment]\nname = \"loop\"\n\n[services.web]\ncommand = [\"sh\", \"-c\", {command:?}]\nwatch = [\"data\", \"*.txt\"]\nstop_grace = \"500ms\"\n{more}"
    );
    let env = Env::project(&[("hd.toml", &toml), ("data/x.db", ""), ("a.txt", "")]);
    let mut up = env.up();
    // That it is ready may not be told: what it writes as it starts can restart it first.
    up.wait_line(0, &["web"]);
    up.until("web is ready", || {
        (env.status().service("web")["state"] == "ready").then_some(())
    });
    (env, up)
}

fn pid(env: &Env) -> i64 {
    let pid = env.status().service("web")["pid"].as_i64();
    pid.unwrap_or_default()
}

fn suspended(env: &Env) -> Option<String> {
    let text = env.status().service("web")["suspended"]
        .as_str()?
        .to_owned();
    Some(text)
}

fn restarts(env: &Env) -> u64 {
    let count = env.status().service("web")["restarts"]["watch"].as_u64();
    count.expect("a count")
}

/// Writes its start into a file it watches: whoever restarts it for that restarts it for ever.
const AT_START: &str = "date +%s%N >> data/x.db; exec sleep 1000";

#[test]
fn what_it_writes_at_each_start_is_held_back_and_named() {
    skip_unless!(needs::fuse(), needs::root());
    let (env, mut up) = start(AT_START, "");
    let line = up.wait_line(
        0,
        &["web wrote data/x.db", "its own watch matches (`data`)"],
    );
    assert!(line.contains("\"!/data/x.db\""), "{line}");
    let before = (pid(&env), restarts(&env));
    assert!(before.1 <= 3, "{} restarts", before.1);
    poll::never("it goes on", Duration::from_millis(1500), || {
        (pid(&env) != before.0).then(|| up.said())
    });
    let words = suspended(&env).expect("status says so");
    assert!(words.starts_with("web wrote data/x.db"), "{words}");
    let why = env.hd(["why", "web"]).finish().ok().stdout;
    assert!(why.contains("suspended: web wrote data/x.db"), "{why}");
    let status = env.hd(["status"]).finish().ok().stdout;
    assert!(status.contains("suspended  web wrote"), "{status}");

    // Somebody else's edit of the same file is an edit, and so is one of any other file.
    files::write(&env.path("data/x.db"), "by hand\n");
    up.until("restarted for the edit by hand", || {
        (restarts(&env) == before.1 + 1).then_some(())
    });
    files::write(&env.path("a.txt"), "by hand\n");
    up.until("restarted for another file", || {
        (restarts(&env) == before.1 + 2).then_some(())
    });
    let after = pid(&env);
    poll::never("its own writes since", Duration::from_millis(1000), || {
        (pid(&env) != after && restarts(&env) > before.1 + 2).then(|| up.said())
    });
    // Nothing is written any more: the rule holds again by itself.
    up.until("no longer suspended", || {
        suspended(&env).is_none().then_some(())
    });
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn what_it_writes_as_it_stops_or_by_renaming_is_seen_too() {
    skip_unless!(needs::fuse(), needs::root());
    let save = "trap 'date +%s%N > data/new; mv data/new data/x.db; exit 0' TERM; while :; do sleep 0.02; done";
    let (env, mut up) = start(save, "");
    up.until("its writes are held back", || {
        let is_ready = env.status().service("web")["state"] == "ready";
        if is_ready && suspended(&env).is_none() {
            env.hd(["restart", "web"]).finish().ok();
        }
        suspended(&env)
    });
    up.wait_line(0, &["web wrote data/x.db"]);
}

#[test]
fn an_edit_of_the_file_lets_the_rule_hold_again() {
    skip_unless!(needs::fuse(), needs::root());
    let (env, mut up) = start(AT_START, "");
    up.wait_line(0, &["web wrote data/x.db"]);
    let before = restarts(&env);
    files::replace(
        &env.path("hd.toml"),
        "\"data\",",
        "\"data\", \"!/data/x.db\",",
    );
    until("it is not suspended", SHORT, || {
        suspended(&env).is_none().then_some(())
    });
    files::write(&env.path("data/x.db"), "by hand\n");
    poll::never("restarted for it", Duration::from_millis(700), || {
        (restarts(&env) > before + 1).then(|| up.said())
    });
}

#[test]
fn quick_edits_by_hand_are_no_loop() {
    skip_unless!(needs::fuse(), needs::root());
    let (env, mut up) = start("exec sleep 1000", "");
    for round in 1..=15 {
        files::write(&env.path("data/x.db"), &format!("{round}\n"));
        up.until("restarted", || {
            (restarts(&env) == round && env.status().service("web")["state"] == "ready")
                .then_some(())
        });
    }
    assert_eq!(suspended(&env), None);
}

#[test]
fn paused_edits_wait_and_go_through_as_one_batch() {
    skip_unless!(needs::fuse());
    let (env, mut up) = start("exec sleep 1000", "");
    let before = pid(&env);
    env.hd(["watch", "pause"]).finish().ok();
    up.wait_line(0, &["edits are held back until `hd watch resume`"]);
    for round in 0..5 {
        files::write(&env.path("a.txt"), &format!("{round}\n"));
        files::write(&env.path("data/x.db"), &format!("{round}\n"));
    }
    let waiting = until("both are known to wait", SHORT, || {
        let status = env.status();
        let waiting = status.value()["watching"]["waiting"].as_u64();
        waiting.filter(|count| *count == 2)
    });
    assert_eq!(waiting, 2);
    let status = env.hd(["status"]).finish().ok().stdout;
    assert!(status.contains("paused, 2 paths held back"), "{status}");
    poll::never("restarted", Duration::from_millis(500), || {
        (pid(&env) != before).then(|| up.said())
    });
    let from = up.so_far();
    env.hd(["watch", "resume"]).finish().ok();
    up.wait_line(from, &["2 paths were held back"]);
    up.wait_line(from, &["a.txt", "data/x.db", "restart web"]);
    assert_eq!(restarts(&env), 1);
    assert!(env.status().value().get("watching").is_none());
}

/// Reads one file at its start and one when it is asked to; never looks at the third.
const READER: &str =
    "cat read.txt; trap 'cat later.txt' USR1; echo up; while :; do sleep 0.05; done";

#[test]
fn auto_restarts_for_what_it_has_read_and_for_nothing_else() {
    skip_unless!(needs::fuse(), needs::root());
    let toml = format!(
        "[environment]\nname = \"auto\"\n\n[services.web]\ncommand = [\"sh\", \"-c\", {READER:?}]\nwatch = \"auto\"\nhealthcheck = {{ log = \"up\" }}\nstop_grace = \"300ms\"\n"
    );
    let env = Env::project(&[
        ("hd.toml", &toml),
        ("read.txt", "1\n"),
        ("later.txt", "1\n"),
        ("never.txt", "1\n"),
    ]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    assert_eq!(env.status().service("web")["watch"][0], "auto");
    files::save_by_rename(&env.path("read.txt"), "2\n");
    up.wait_line(0, &["read.txt", "restart web"]);
    up.until("ready again", || {
        (env.status().service("web")["state"] == "ready").then_some(())
    });
    files::write(&env.path("later.txt"), "2\n");
    files::write(&env.path("never.txt"), "2\n");
    poll::never("restarted for it", Duration::from_millis(700), || {
        (restarts(&env) != 1).then(|| up.said())
    });
    let from = up.so_far();
    env.hd(["kill", "-s", "USR1", "web"]).finish().ok();
    up.wait_line(from, &["web", "| 2"]);
    files::write(&env.path("later.txt"), "3\n");
    up.wait_line(from, &["later.txt", "restart web"]);
    let explained = env.hd(["watch", "--explain", "a.txt"]).finish().ok().stdout;
    assert!(
        explained.contains("restart, if web has read it"),
        "{explained}"
    );
    // What is hidden is none of what it watches, and is not said to be.
    files::write(&env.path(".gitignore"), "hidden\n");
    files::write(&env.path("hidden/file"), "1\n");
    let args = ["watch", "--explain", "hidden/file"];
    let explained = env.hd(args).finish().ok().stdout;
    assert!(
        explained.contains("does not count: hidden by .gitignore:1"),
        "{explained}"
    );
    assert!(!explained.contains("restart"), "{explained}");
}

#[test]
fn auto_does_not_restart_for_what_it_wrote_itself() {
    skip_unless!(needs::fuse(), needs::root());
    let command = "cat state; date +%s%N > state; cat state; echo up; exec sleep 1000";
    let toml = format!(
        "[environment]\nname = \"auto\"\n\n[services.web]\ncommand = [\"sh\", \"-c\", {command:?}]\nwatch = \"auto\"\nhealthcheck = {{ log = \"up\" }}\n"
    );
    let env = Env::project(&[("hd.toml", &toml), ("state", "")]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    poll::never("restarted for it", Duration::from_millis(700), || {
        (restarts(&env) != 0).then(|| up.said())
    });
    files::write(&env.path("state"), "by hand\n");
    up.wait_line(0, &["state", "restart web"]);
}

#[test]
fn auto_is_refused_where_nobody_sees_what_is_read() {
    skip_unless!(needs::fuse());
    let toml = "[environment]\nname = \"auto\"\n\n[options]\nproject = \"projected\"\n\n[services.web]\ncommand = \"sleep 1000\"\nwatch = \"auto\"\n";
    let env = Env::project(&[("hd.toml", toml)]);
    let refused = env.hd(["up"]).finish().expect_code(2);
    for words in ["services.web.watch", "projected", "list globs"] {
        assert!(refused.stderr.contains(words), "{}", refused.said());
    }
}

/// A service writes its start into a file that a step reads.
const STEP_LOOP: &str = "[environment]\nname = \"loop\"\n\n[build]\nsteps = [\"mkdir -p out && cp stamp out/copy\"]\n
[services.web]\ncommand = [\"sh\", \"-c\", \"date +%s%N > stamp; exec sleep 1000\"]\nstop_grace = \"500ms\"\n";

#[test]
fn what_it_writes_for_a_step_at_each_start_is_named_and_it_stays() {
    skip_unless!(needs::fuse(), needs::root());
    let env = Env::project(&[("hd.toml", STEP_LOOP), ("stamp", "")]);
    let mut up = env.up();
    let line = up.wait_line(0, &["web wrote stamp, which a step reads"]);
    assert!(line.contains("exclude = [\"/stamp\"]"), "{line}");
    let before = pid(&env);
    poll::never("it goes on", Duration::from_millis(1500), || {
        (pid(&env) != before).then(|| up.said())
    });
    let words = suspended(&env).expect("status says so");
    assert!(words.starts_with("web wrote stamp"), "{words}");
    // What the service writes is built, and somebody else's edit shows.
    files::write(&env.path("stamp"), "by hand\n");
    up.until("another process after the edit by hand", || {
        (pid(&env) != before && pid(&env) != 0).then_some(())
    });
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_batch_names_as_restarting_who_starts_anew_not_who_was_stopped() {
    skip_unless!(needs::fuse());
    let service = |name| {
        format!(
            "[services.{name}]\ncommand = \"sleep 1000\"\nwatch = [\"*.txt\"]\nenv = {{ WORD = \"one\" }}\n"
        )
    };
    let toml = format!(
        "[environment]\nname = \"s\"\n{}{}",
        service("other"),
        service("web")
    );
    let env = Env::project(&[("hd.toml", &toml), ("a.txt", "")]);
    let mut up = env.up_with(&["--progress=json"]);
    for name in ["other", "web"] {
        up.wait_line(0, &[&format!("\"name\":\"{name}\""), "\"ready\""]);
    }
    env.hd(["stop", "web"]).finish().ok();
    let mut restarting = |path: &str, text: &str| {
        let from = up.so_far();
        files::write(&env.path(path), text);
        let line = up.wait_line(from, &["\"event\":\"batch\""]);
        let batch: serde_json::Value = serde_json::from_str(&line).expect("an event");
        batch["restarting"].clone()
    };
    assert_eq!(restarting("a.txt", "two\n"), serde_json::json!(["other"]));
    // It says anew what the stopped one is, which starts it.
    let anew = toml.replacen("one", "two", 2).replacen("two", "one", 1);
    assert_eq!(restarting("hd.toml", &anew), serde_json::json!(["web"]));
}
