//! Services that stay in the view they have, because one of them writes what a step reads, or seems to: that
//! view is the one `hd` speaks of, and the next edit by somebody else moves all of them.

use std::time::Duration;

use hd_integration::poll::{self, SHORT};
use hd_integration::{Env, Up, files, leftovers, needs, skip_unless};

fn pid(env: &Env, name: &str) -> i64 {
    let pid = env.status().service(name)["pid"].as_i64();
    pid.unwrap_or_default()
}

/// What services see of what the step made.
fn copy(env: &Env, service: &str) -> String {
    let args = ["exec", "-s", service, "cat", "out/copy"];
    env.hd(args).finish().stdout
}

fn all_see(env: &Env, up: &mut Up, services: &[&str], text: &str) {
    for service in services {
        let what = format!("{service} sees {text:?}");
        up.until(&what, || (copy(env, service) == text).then_some(()));
    }
}

/// `gen` writes its start into a file that a step reads; `web` writes beside the project, into its own layer.
const LIVE: &str = r#"[environment]
name = "loop"

[build]
steps = ["mkdir -p out && cp schema out/copy"]

[services.gen]
command = ["sh", "-c", "date +%s%N > schema; exec sleep 1000"]
stop_grace = "500ms"

[services.web]
command = ["sh", "-c", "echo kept > ~/mark; exec sleep 1000"]
stop_grace = "500ms"
"#;

#[test]
fn the_view_services_stay_in_is_the_one_that_is_spoken_of() {
    skip_unless!(needs::fuse(), needs::root());
    let env = Env::project(&[("hd.toml", LIVE), ("schema", ""), ("README.md", "one\n")]);
    let mut up = env.up();
    up.wait_line(0, &["gen wrote schema, which a step reads"]);
    let ok = |args: &[&str]| env.hd(args).finish().ok().said();
    let diff = || env.hd(["diff", "web"]).finish().ok().stdout;
    up.until("what web wrote is shown", || {
        diff().contains("mark").then_some(())
    });
    let kept = ok(&["snapshot", "one"]);
    assert!(kept.contains("web: 1 path,"), "{kept}");
    let is_told = || env.status().service("gen")["suspended"].is_string();
    poll::never("nobody says why", Duration::from_secs(13), || {
        (!is_told()).then(|| up.said())
    });
    let before = ["gen", "web"].map(|name| pid(&env, name));
    let stale = copy(&env, "web");
    let newer = |name: &str| {
        let seen = copy(&env, name);
        (!seen.is_empty() && seen != stale).then_some(())
    };
    assert!(!stale.is_empty() && stale != files::read(&env.path("schema")));

    // What gen wrote comes along with anybody's edit, for all of them.
    files::write(&env.path("README.md"), "two\n");
    for (name, before) in ["gen", "web"].into_iter().zip(before) {
        up.until("another process that sees it", || {
            newer(name).filter(|()| ![0, before].contains(&pid(&env, name)))
        });
    }
    // It is mended: what the step makes of the newest schema is what all see.
    files::replace(&env.path("hd.toml"), "date +%s%N > schema", "true");
    for name in ["gen", "web"] {
        up.until("it sees the newest", || {
            (copy(&env, name) == files::read(&env.path("schema"))).then_some(())
        });
    }
    up.until("nothing is left to be said", || (!is_told()).then_some(()));
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
    leftovers::expect_none(env.mark(), SHORT);
}

/// Nobody can witness who writes: the services have a project of their own.
const PROJECTED: &str = r#"[environment]
name = "loop"

[options]
project = "projected"

[build]
steps = ["mkdir -p out && cp src out/copy"]

[services.web]
command = "sleep 1000"
replicas = 2
stop_grace = "500ms"

[services.worker]
command = "sleep 1000"
stop_grace = "500ms"
"#;
const SERVICES: [&str; 3] = ["web-1", "web-2", "worker"];

/// Saves by itself as soon as services have begun anew, until that is taken for their own doing. Answers what was
/// saved last, which they do not see.
fn saved_too_soon(env: &Env, up: &mut Up) -> String {
    let is_held = |name: &str| !env.status().service(name)["suspended"].is_null();
    for round in 1..=100 {
        let before = SERVICES.map(|name| pid(env, name));
        let text = format!("{round}\n");
        files::write(&env.path("src"), &text);
        let stay = up.until("services follow or stay", || {
            let stay = SERVICES.iter().any(|name| is_held(name));
            let mut all = SERVICES.into_iter().zip(before);
            let follow = all.all(|(name, before)| ![0, before].contains(&pid(env, name)));
            (stay || follow).then_some(stay)
        });
        if stay {
            up.wait_line(
                0,
                &["src, which a step reads, changes right after each start"],
            );
            return text;
        }
    }
    panic!("edits right after each start are no loop: {}", up.said());
}

fn projected() -> (Env, Up) {
    let env = Env::project(&[
        ("hd.toml", PROJECTED),
        ("src", "0\n"),
        ("README.md", "one\n"),
    ]);
    let mut up = env.up();
    for name in SERVICES {
        up.wait_line(0, &[name, "ready"]);
    }
    (env, up)
}

#[test]
fn when_it_is_quiet_all_services_follow() {
    skip_unless!(needs::fuse());
    let (env, mut up) = projected();
    let last = saved_too_soon(&env, &mut up);
    all_see(&env, &mut up, &SERVICES, &last);
    env.hd(["wait"]).finish().ok();
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn an_edit_of_another_file_or_a_person_who_asks_moves_all_services() {
    skip_unless!(needs::fuse());
    let (env, mut up) = projected();
    let last = saved_too_soon(&env, &mut up);
    files::write(&env.path("README.md"), "two\n");
    all_see(&env, &mut up, &SERVICES, &last);
    // It is still held back; what is no output is seen where services are.
    let from = up.so_far();
    files::write(&env.path("src"), "again\n");
    up.wait_line(from, &["src"]);
    up.until("the edit is written through", || {
        let done = env.hd(["exec", "-s", "worker", "cat", "src"]).finish();
        (done.stdout == "again\n").then_some(())
    });
    env.hd(["watch", "resume"]).finish().ok();
    all_see(&env, &mut up, &SERVICES, "again\n");
}
