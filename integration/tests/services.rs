//! How services are started, told, stopped and tried again: every key through the binary.

use hd_integration::poll::{SHORT, until};
use hd_integration::{Env, Up, needs, skip_unless};

fn project(services: &str, files: &[(&str, &str)]) -> Env {
    let toml = format!("[environment]\nname = \"s\"\n{services}");
    let mut all = vec![("hd.toml", toml.as_str())];
    all.extend(files);
    Env::project(&all)
}

fn read(env: &Env, path: &str) -> String {
    std::fs::read_to_string(env.path(path)).unwrap_or_default()
}

fn holds(env: &Env, up: &mut Up, path: &str, text: &str) {
    up.until(&format!("{path} holds {text:?}"), || {
        (read(env, path) == text).then_some(())
    });
}

#[test]
fn commands_around_a_service_run_in_order() {
    skip_unless!(needs::fuse());
    let env = project(
        r#"
[services.web]
command = ["sh", "-c", "echo main >> order; exec sleep 1000"]
pre_start = ["echo one >> order", ["sh", "-c", "echo two >> order"]]
post_start = "echo after >> order; echo said by a hook"
pre_stop = "echo stop >> order"
"#,
        &[],
    );
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    up.wait_line(0, &["said by a hook"]);
    let lines =
        |env: &Env| -> Vec<String> { read(env, "order").lines().map(str::to_owned).collect() };
    up.until("all hooks of the start ran", || {
        (lines(&env).len() == 4).then_some(())
    });
    let started = lines(&env);
    assert_eq!(started[..2], ["one", "two"]);
    assert!(started.contains(&"main".to_owned()) && started.contains(&"after".to_owned()));
    assert_eq!(up.interrupt().code(), Some(130));
    assert_eq!(lines(&env).last().map(String::as_str), Some("stop"));
}

#[test]
fn a_command_may_be_any_line_of_the_shell() {
    skip_unless!(needs::fuse());
    let env = project(
        r#"
[services.list]
command = "echo one > order && cd sub && MODE=two sh show"
[services.loop]
command = "while :; do echo round > rounds; sleep 1000; done"
"#,
        &[("sub/show", "echo $MODE >> ../order; exec sleep 1000\n")],
    );
    let mut up = env.up();
    holds(&env, &mut up, "order", "one\ntwo\n");
    holds(&env, &mut up, "rounds", "round\n");
    up.wait_line(0, &["list", "ready"]);
    // The last command stands in the place of the shell, so signals and the exit code are its own.
    let pid = env.status().service("list")["pid"].clone();
    up.until("it is the command", || {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).expect("the command runs");
        (line == b"sleep\x001000\x00").then_some(())
    });
    assert_eq!(up.interrupt().code(), Some(130));
}

#[test]
fn a_pre_start_that_fails_is_tried_again_and_given_up_and_one_that_hangs_can_be_stopped() {
    skip_unless!(needs::fuse());
    let env = project(
        r#"
[services.web]
command = "sleep 1000"
pre_start = "echo try >> tries; exit 3"
restart = { max = 1, min_delay = "10ms" }
[services.slow]
command = "sleep 1000"
pre_start = "echo begun > begun; sleep 1000"
"#,
        &[],
    );
    let mut up = env.up();
    up.wait_line(0, &["web", "failed"]);
    let reason = env.status().service("web")["reason"].clone();
    assert_eq!(
        reason,
        "pre_start `echo try >> tries; exit 3` exited with code 3; given up after 2 tries"
    );
    assert_eq!(read(&env, "tries"), "try\ntry\n");
    holds(&env, &mut up, "begun", "begun\n");
    env.hd(["stop", "slow"]).deadline(SHORT).finish().ok();
    assert_eq!(env.status().service("slow")["state"], "exited");
}

#[test]
fn a_service_is_told_its_surroundings() {
    skip_unless!(needs::fuse());
    let mut env = project(
        r#"
[services.web]
command = ["sh", "-c", "pwd > ../seen; id -u >> ../seen; echo $A $B $C $HD_PORT_DB_1 $PORT >> ../seen; exec sleep 1000"]
working_dir = "sub"
env_file = ["a.env", "c.env"]
env = { B = "own ${HD_PORT_DB_1}" }
user = "nobody"
port = "auto"
healthcheck = { test = "true" }

[services.db-1]
command = "sleep 1000"
port = "auto"
healthcheck = { test = "true" }
"#,
        &[
            ("a.env", "A=from a file\nB=hidden\n"),
            ("c.env", "C=\"$A, $B and ${HD_PORT_DB_1}\"\n"),
            ("sub/x", ""),
        ],
    );
    // As where hd is started by a service of another instance.
    env.set("HD_PORT_DB_1", "1");
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(env.path(""), open).unwrap();
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let report = env.status();
    let port = |name: &str| report.service(name)["port"].as_u64().expect("a port");
    let (web, db) = (port("web"), port("db-1"));
    assert_ne!(web, db);
    let nobody = env
        .hd(["exec", "-s", "web", "id", "-u"])
        .finish()
        .ok()
        .stdout;
    let expected = format!(
        "/workspace/sub\n{nobody}from a file own {db} from a file, hidden and {db} {db} {web}\n"
    );
    holds(&env, &mut up, "seen", &expected);
    assert_ne!(nobody, "0\n");

    // The same ports next time, and told by `exec` too.
    assert_eq!(up.interrupt().code(), Some(130));
    let mut again = env.up();
    again.wait_line(0, &["web", "ready"]);
    let told = env
        .hd(["exec", "sh", "-c", "echo $HD_PORT_WEB"])
        .finish()
        .ok();
    assert_eq!(told.stdout, format!("{web}\n"));
}

#[test]
fn what_a_service_cannot_have_is_told_with_its_place() {
    let env = project(
        "[services.web]\ncommand = \"true\"\nenv_file = [\"none.env\"]\n",
        &[],
    );
    let done = env.hd(["up", "--once"]).finish().expect_code(2);
    assert!(done.stderr.contains("hd.toml:5:13"), "{}", done.said());
    let done = env
        .hd(["up", "--once", "--profile", "x"])
        .finish()
        .expect_code(2);
    assert!(
        done.stderr.contains("there is no profile `x`"),
        "{}",
        done.said()
    );
}

#[test]
fn the_stop_signal_and_the_grace_are_those_of_the_service() {
    skip_unless!(needs::fuse());
    let env = project(
        r#"
[services.polite]
command = ["sh", "-c", "trap 'echo quit > got; exit 0' QUIT; echo up; while :; do sleep 0.02; done"]
stop_signal = "SIGQUIT"
healthcheck = { log = "^up$" }
[services.deaf]
command = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.02; done"]
stop_grace = "100ms"
healthcheck = { log = "deaf" }
depends_on = ["polite"]
[options]
restart_grace = "1h"
"#,
        &[],
    );
    let mut up = env.up();
    up.wait_line(0, &["deaf", "ready"]);
    assert_eq!(up.interrupt().code(), Some(130));
    assert_eq!(read(&env, "got"), "quit\n");
}

#[test]
fn profiles_choose_what_starts() {
    skip_unless!(needs::fuse());
    let env = project(
        r#"
[services.web]
command = ["sh", "-c", "echo $LEVEL > level; exec sleep 1000"]
[services.mail]
command = "sleep 1000"
profiles = ["debug"]
depends_on = ["spool"]
[services.spool]
command = "sleep 1000"
profiles = ["never"]
[profiles.debug.environment]
env = { LEVEL = "high" }
"#,
        &[],
    );
    let names = |env: &Env| {
        let services = env.status().value()["services"].clone();
        let all = services.as_array().cloned().unwrap_or_default();
        let name = |one: &serde_json::Value| one["name"].as_str().unwrap_or_default().to_owned();
        all.iter().map(name).collect::<Vec<_>>()
    };
    env.hd(["up", "--wait"]).finish().ok();
    assert_eq!(names(&env), ["web"]);
    let level = |text: &str| {
        until("its level", SHORT, || {
            (read(&env, "level") == text).then_some(())
        })
    };
    level("\n");
    env.hd(["down"]).finish().ok();
    env.hd(["--profile", "debug", "up", "--wait"]).finish().ok();
    assert_eq!(names(&env), ["mail", "spool", "web"]);
    level("high\n");
    env.hd(["down"]).finish().ok();
    let named = env.hd(["up", "--wait", "spool"]).env("HD_PROFILE", "");
    named.finish().ok();
    assert_eq!(names(&env), ["spool"]);
    env.hd(["down"]).finish().ok();
}

#[test]
fn what_was_stopped_starts_when_asked_or_defined_anew_but_for_no_save() {
    skip_unless!(needs::fuse());
    let env = project(
        r#"
[services.web]
command = "sleep 1000"
env = { WORD = "one" }
watch = ["*.txt"]
[services.other]
command = "sleep 1000"
watch = ["*.txt"]
[build]
steps = ["mkdir -p out && cp source out/"]
"#,
        &[
            ("a.txt", ""),
            ("source", "one\n"),
            (".gitignore", "/out/\n"),
        ],
    );
    let mut up = env.up();
    let ready = |service: &str| {
        let status = env.status();
        let service = status.service(service);
        service["pid"]
            .as_u64()
            .filter(|_| service["state"] == "ready")
    };
    let stops = |up: &mut Up| {
        up.until("both run", || ready("web").and(ready("other")));
        env.hd(["stop", "web"]).finish().ok();
    };
    // Both are told of it at once.
    let edit = |up: &mut Up, path: &str, text: &str| {
        let before = ready("other");
        std::fs::write(env.path(path), text).expect("edit");
        up.until("other starts anew", || {
            ready("other").filter(|now| Some(*now) != before)
        });
        let web = env.status().service("web").clone();
        assert_eq!(
            (&web["state"], &web["reason"]),
            (&"exited".into(), &"stopped".into())
        );
    };
    up.wait_line(0, &["web", "ready"]);
    stops(&mut up);
    edit(&mut up, "a.txt", "changed\n");
    edit(&mut up, "source", "two\n");
    let toml = read(&env, "hd.toml").replace("WORD = \"one\"", "WORD = \"two\"");
    std::fs::write(env.path("hd.toml"), toml).expect("edit");
    stops(&mut up);
    edit(&mut up, "a.txt", "once more\n");
    env.hd(["start", "web"]).finish().ok();
    up.until("web runs", || ready("web"));
}

#[test]
fn who_does_not_run_waits_for_what_starts_anew_with_it() {
    skip_unless!(needs::fuse());
    let one = |name: &str, rest: &str| format!("[services.{name}]\n{rest}\nwatch = [\"source\"]\n");
    let api = |name| {
        let says = "echo $HD_SERVICE has $(cat source) on $(cat /data/migrated); exit 1";
        let rest = format!(
            r#"command = ["sh", "-c", "{says}"]
env = {{ HD_SERVICE = "{name}" }}
volumes = ["data:/data"]
restart_policy = "never"
depends_on = {{ migrate = {{ condition = "completed" }} }}"#
        );
        one(name, &rest)
    };
    let migrate = r#"kind = "oneshot"
command = ["sh", "-c", "cat source > /data/migrated"]
volumes = ["data:/data"]"#;
    // Whoever is told first by their names, one of them is told before `migrate`, the other after it.
    let services = [api("api"), one("migrate", migrate), api("web")].concat();
    for mode in ["live", "projected"] {
        let toml = format!("[volumes]\ndata = {{}}\n[options]\nproject = \"{mode}\"\n{services}");
        let env = project(&toml, &[("source", "0\n")]);
        let mut up = env.up();
        for round in 0..10 {
            if round > 0 {
                std::fs::write(env.path("source"), format!("{round}\n")).expect("edit");
            }
            for name in ["api", "web"] {
                let line = up.wait_line(0, &[&format!("{name} has {round} on")]);
                assert!(line.ends_with(&format!(" on {round}")), "{mode}: {line}");
            }
            for name in ["api", "web"] {
                up.until("it has failed", || {
                    (env.status().service(name)["state"] == "failed").then_some(())
                });
            }
        }
    }
}

#[test]
fn watch_rules_do_something_gentler_than_a_restart() {
    skip_unless!(needs::fuse());
    let env = project(
        r#"
[services.web]
command = ["sh", "-c", "trap 'echo hup >> got' HUP; echo up; while :; do sleep 0.02; done"]
healthcheck = { log = "up" }
watch = [
    "*.py",
    { files = "web.conf", action = "signal=HUP" },
    { files = "schema.sql", exec = "echo migrated >> got" },
    { files = "skip.py", action = "none" },
]
"#,
        &[
            ("app.py", ""),
            ("web.conf", ""),
            ("schema.sql", ""),
            ("skip.py", ""),
        ],
    );
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let pid = env.status().service("web")["pid"].clone();
    let write = |path: &str| std::fs::write(env.path(path), "changed\n").unwrap();
    write("web.conf");
    holds(&env, &mut up, "got", "hup\n");
    up.wait_line(0, &["HUP sent", "web.conf changed"]);
    write("schema.sql");
    holds(&env, &mut up, "got", "hup\nmigrated\n");
    let from = up.so_far();
    write("skip.py");
    up.wait_line(from, &["skip.py"]);
    assert_eq!(
        env.status().service("web")["pid"],
        pid,
        "it was not restarted"
    );
    write("app.py");
    until("it was restarted", SHORT, || {
        let now = env.status().service("web")["pid"].clone();
        (now != pid && !now.is_null()).then_some(())
    });
}
