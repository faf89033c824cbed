//! Editing `hd.toml` while it is up changes what it concerns and nothing else.

use hd_integration::poll::{SHORT, until};
use hd_integration::ports::Port;
use hd_integration::{Env, Up, files, leftovers, needs, skip_unless};

const HEAD: &str = "[environment]\nname = \"edited\"\n";
const DB: &str = "\n[services.db]\ncommand = \"sleep 1000\"\n";
const WEB: &str = "\n[services.web]\ncommand = [\"sh\", \"-c\", \"echo $WHO >> said; exec sleep 1000\"]\n\
    env = { WHO = \"one\" }\nwatch = [\"*.txt\"]\n";

fn start(services: &[&str]) -> (Env, Up) {
    let toml = format!("{HEAD}{}", services.concat());
    // What the service writes is no edit.
    let files = [("hd.toml", &*toml), ("a.txt", ""), (".gitignore", "said\n")];
    let env = Env::project(&files);
    let mut up = env.up();
    env.hd(["wait"]).finish_when(&mut up);
    (env, up)
}

fn edit(env: &Env, parts: &[&str]) {
    files::save_by_rename(&env.path("hd.toml"), &format!("{HEAD}{}", parts.concat()));
}

fn pid(env: &Env, service: &str) -> Option<i64> {
    let value = env.status().value().clone();
    let all = value["services"].as_array().cloned().unwrap_or_default();
    let one = all.iter().find(|one| one["name"] == service)?;
    one["pid"].as_i64()
}

fn said(env: &Env) -> String {
    std::fs::read_to_string(env.path("said")).unwrap_or_default()
}

/// A server that takes its time to end: longer than an unknown holder of a port is waited for.
const SLOW_TO_END: &str = r#"
import http.server, os, signal, sys, time
def end(*_):
    time.sleep(4.5)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler).serve_forever()
"#;

#[test]
fn a_port_may_move_from_one_service_to_another_in_one_edit() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let service = |name: &str, port: u16| {
        format!(
            "\n[services.{name}]\ncommand = \"python3 -I slow.py {port}\"\nport = {port}\nrestart_policy = \"never\"\n"
        )
    };
    let toml = format!("{HEAD}{}{}", service("a", 5000), service("b", 5001));
    let env = Env::project(&[("hd.toml", &toml), ("slow.py", SLOW_TO_END)]);
    let mut up = env.up();
    for name in ["a", "b"] {
        up.wait_line(0, &[name, "ready"]);
    }
    let (first, second, third) = (env.port(0), env.port(1), Port::free());
    // The new one ends nothing before it starts.
    let parts = [
        service("a", second),
        service("b", third.number),
        service("new", first),
    ];
    edit(&env, &parts.each_ref().map(String::as_str));
    for (name, port) in [("a", second), ("b", third.number), ("new", first)] {
        let service = up.until(name, || {
            let service = env.status().service(name).clone();
            let is_settled = service["state"] == "ready" || service["state"] == "failed";
            (service["port"] == port && is_settled).then_some(service)
        });
        assert_eq!(service["state"], "ready", "{name}: {service}");
    }
}

#[test]
fn services_come_go_and_change_without_the_others_noticing() {
    skip_unless!(needs::fuse());
    let (env, mut up) = start(&[DB, WEB]);
    let (db, web) = (pid(&env, "db"), pid(&env, "web"));
    assert!(db.is_some() && web.is_some());

    // One more, which depends on one that is there.
    let from = up.so_far();
    let job = "\n[services.job]\ncommand = \"sleep 1000\"\ndepends_on = [\"db\"]\nport = \"auto\"\nhealthcheck = \"true\"\n";
    edit(&env, &[DB, WEB, job]);
    up.wait_line(from, &["job", "ready"]);
    assert_eq!((pid(&env, "db"), pid(&env, "web")), (db, web));
    let job_pid = pid(&env, "job").expect("job runs");

    // Another environment for one of them: only it is started anew, and says why.
    edit(&env, &[DB, &WEB.replace("\"one\"", "\"two\""), job]);
    up.until("web was started with the new variable", || {
        (said(&env) == "one\ntwo\n").then_some(())
    });
    let reason = env.status().service("web")["reason"].clone();
    let reason = reason.as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("env changed in hd.toml"), "{reason}");
    assert_eq!(pid(&env, "db"), db);
    assert_eq!(pid(&env, "job"), Some(job_pid));

    // Away with it: its process is gone, its name is unknown, the rest stays.
    let web = pid(&env, "web").expect("web runs");
    edit(&env, &[DB, &WEB.replace("\"one\"", "\"two\"")]);
    up.until("job is gone", || pid(&env, "job").is_none().then_some(()));
    until("its process is gone", SHORT, || {
        (!std::path::Path::new(&format!("/proc/{job_pid}")).exists()).then_some(())
    });
    let unknown = env.hd(["restart", "job"]).finish().expect_code(2);
    assert!(
        unknown.stderr.contains("no service `job`"),
        "{}",
        unknown.said()
    );
    assert_eq!((pid(&env, "db"), pid(&env, "web")), (db, Some(web)));

    // And back again under the same name.
    let from = up.so_far();
    edit(&env, &[DB, &WEB.replace("\"one\"", "\"two\""), job]);
    up.wait_line(from, &["job", "ready"]);
    assert_eq!(pid(&env, "web"), Some(web));
    assert_eq!(up.interrupt().code(), Some(130));
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn what_is_watched_and_what_counts_is_exchanged_without_a_restart() {
    skip_unless!(needs::fuse());
    let (env, mut up) = start(&[WEB]);
    let first = pid(&env, "web");
    edit(&env, &[&WEB.replace("*.txt", "*.conf")]);
    up.until("the new patterns are shown", || {
        (env.status().service("web")["watch"][0] == "*.conf").then_some(())
    });
    assert_eq!(pid(&env, "web"), first);
    let from = up.so_far();
    files::write(&env.path("a.txt"), "not watched any more\n");
    up.wait_line(from, &["a.txt"]);
    assert_eq!(pid(&env, "web"), first);
    files::write(&env.path("a.conf"), "watched now\n");
    up.until("it was restarted", || {
        let now = pid(&env, "web");
        (now.is_some() && now != first).then_some(())
    });

    let before = env.status().value()["files"].as_u64();
    edit(
        &env,
        &[
            &WEB.replace("*.txt", "*.conf"),
            "\n[files]\nexclude = [\"a.txt\"]\n",
        ],
    );
    up.until("the excluded file does not count", || {
        (env.status().value()["files"].as_u64() == before.map(|n| n - 1)).then_some(())
    });
}

#[test]
fn an_edit_of_no_use_is_shown_and_all_goes_on_until_it_is_mended() {
    skip_unless!(needs::fuse());
    let (env, mut up) = start(&[WEB]);
    let first = pid(&env, "web");
    let from = up.so_far();
    edit(&env, &[&WEB.replace("command", "comand")]);
    up.wait_line(from, &["hd.toml", "goes on as before"]);
    up.wait_line(from, &["unknown key `comand`"]);
    let error = env.status().value()["error"].clone();
    assert_eq!(error["place"], "hd.toml:5:1", "{error}");
    let shown = env.hd(["status"]).finish().ok().stdout;
    assert!(shown.contains("unknown key `comand`"), "{shown}");
    // What it asks to watch still works, and does not hide the error.
    files::write(&env.path("a.txt"), "edited meanwhile\n");
    up.until("it was restarted", || {
        let now = pid(&env, "web");
        (now.is_some() && now != first).then_some(())
    });
    up.until("the edit is through", || {
        (env.status().service("web")["state"] == "ready").then_some(())
    });
    assert_eq!(env.status().value()["error"]["place"], "hd.toml:5:1");
    let built = env.hd(["build"]).finish().expect_code(2);
    assert!(built.stderr.contains("comand"), "{}", built.said());

    let from = up.so_far();
    edit(&env, &[WEB, "\n# mended\n"]);
    up.wait_line(from, &["hd.toml is valid again"]);
    until("the error is gone", SHORT, || {
        env.status().value()["error"].is_null().then_some(())
    });
}

#[test]
fn a_changed_step_runs_with_what_depends_on_it_and_no_other() {
    skip_unless!(needs::fuse());
    let step = |name: &str, run: &str, needs: &str| {
        format!("\n[[build.step]]\nname = \"{name}\"\nrun = \"{run}\"\nneeds = [{needs}]\n")
    };
    let (one, two) = (
        step("one", "mkdir -p o1 && echo a > o1/f", ""),
        step("two", "mkdir -p o2 && echo b > o2/f", ""),
    );
    let after = step("after", "cat o2/f", "\"two\"");
    let (env, mut up) = start(&[&one, &two, &after, WEB]);
    let changed = step("two", "mkdir -p o2 && echo c > o2/f", "");
    edit(&env, &[&one, &changed, &after, WEB]);
    let report = up.until("the changed step ran with the one above it", || {
        let status = env.status();
        (status.steps("ran") == ["step-2", "step-3"]).then_some(status)
    });
    assert_eq!(report.steps("kept"), ["step-1"]);
    // What services see changed as well.
    up.until("web sees the new output", || {
        let seen = env.hd(["exec", "cat", "o2/f"]).finish();
        (seen.stdout == "c\n").then_some(())
    });
}

#[test]
fn an_environment_file_counts_like_the_file_that_names_it() {
    skip_unless!(needs::fuse());
    let web = WEB.replace("env = { WHO = \"one\" }", "env_file = \".env\"");
    let toml = format!("{HEAD}{web}{DB}");
    let env = Env::project(&[
        ("hd.toml", &toml),
        (".env", "WHO=file\n"),
        (".gitignore", ".env\nsaid\n"),
    ]);
    let mut up = env.up();
    env.hd(["wait"]).finish_when(&mut up);
    let db = pid(&env, "db");
    up.until("web has said who it is", || {
        (said(&env) == "file\n").then_some(())
    });
    files::write(&env.path(".env"), "WHO=edited\n");
    up.until("web was started with it", || {
        (said(&env) == "file\nedited\n").then_some(())
    });
    assert_eq!(pid(&env, "db"), db);
}

#[test]
fn another_file_of_secrets_takes_a_new_start() {
    skip_unless!(needs::fuse());
    let (env, mut up) = start(&[WEB]);
    let from = up.so_far();
    edit(&env, &[WEB, "\n[secrets.token]\nfile = \"token.txt\"\n"]);
    up.wait_line(from, &["other files hold secrets"]);
    let error = env.status().value()["error"].clone();
    assert_eq!(error["place"], "[secrets]", "{error}");
    edit(&env, &[WEB]);
    up.wait_line(from, &["hd.toml is valid again"]);
}

trait WhenUp {
    fn finish_when(self, up: &mut Up);
}

impl WhenUp for hd_integration::Run {
    fn finish_when(self, up: &mut Up) {
        up.wait_line(0, &["web", "ready"]);
        self.finish().ok();
    }
}
