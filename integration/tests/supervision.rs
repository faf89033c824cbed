//! A panic in any actor is restarted and counted, and the next edit still comes through; beyond
//! the budget hd ends, and its services with it.

use hd_integration::leftovers::expect_none;
use hd_integration::{Env, LONG, Report, SHORT, Up, files, needs, samples, skip_unless, until};

fn restarts(status: &Report, actor: &str) -> u64 {
    let actors = status.value()["actors"].as_array().expect("actors");
    let found = actors.iter().find(|found| found["name"] == actor);
    let found = found.unwrap_or_else(|| panic!("no actor {actor} in {actors:#?}"));
    found["restarts"].as_u64().expect("a count")
}

/// Lets `actor` panic at its first and at a later message.
#[track_caller]
fn survives_a_panic_of(actor: &str) {
    let mut env = samples::server_with_output();
    env.set("HD_FAULT", &format!("{actor}:1,{actor}:3"));
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    // The first two also give the second panic its message.
    for text in ["two", "three", "four"] {
        files::write(&env.path("source.txt"), &format!("{text}\n"));
        up.wait_http(env.port(0), "/", text);
    }
    let now = up.until("the panic is counted, the actor lives", || {
        let now = env.status();
        // Also while what answers is being started anew.
        assert!(now.value()["actors"].is_array(), "{now:#?}");
        (restarts(&now, actor) >= 1).then_some(now)
    });
    let said = up.said();
    assert!(
        said.contains(&format!("injected fault at {actor}")),
        "{said}"
    );
    assert_eq!(now.steps("failed"), [""; 0]);
    // A service goes down with its own supervisor only.
    let crashes = now.service("web")["restarts"]["crash"].as_u64();
    assert_eq!(
        crashes.is_some_and(|count| count > 0),
        actor.starts_with("service_supervisor"),
        "{now:#?}"
    );
    up.interrupt();
    expect_none(env.mark(), SHORT);
    assert_eq!(env.added(), [""; 0]);
}

/// Edits a file, each time once the edit before is seen inside, until an actor falls over one of its messages: an edit
/// may come together with what the watcher finds as it begins. Gives the number of edits.
fn falls_over_an_edit_of(env: &Env, up: &mut Up, actor: &str, file: &str, seen: &str) -> u64 {
    for edit in 1.. {
        let text = format!("{edit}\n");
        files::write(&env.path(file), &text);
        let fell = up.until("the edit is seen, or fallen over", || {
            let fell = restarts(&env.status(), actor) == 1;
            let look = env.hd(["exec", "-s", "web", "cat", seen]).finish();
            (fell || look.stdout == text).then_some(fell)
        });
        if fell {
            return edit;
        }
    }
    unreachable!("edits have no end")
}

/// Services go on in the view they have, so who follows it for them must not forget it.
#[track_caller]
fn the_view_is_followed_after_a_panic_of(actor: &str) {
    let mut env = samples::server();
    files::replace(
        &env.path("hd.toml"),
        "[options]",
        "[options]\nproject = \"projected\"",
    );
    // After what a start takes, at the first edit.
    env.set("HD_FAULT", &format!("{actor}:3"));
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    falls_over_an_edit_of(&env, &mut up, actor, "first.md", "first.md");
    files::write(&env.path("note.md"), "the one after");
    up.until("the edit after it is seen", || {
        let seen = env.hd(["exec", "cat", "note.md"]).finish();
        (seen.stdout == "the one after").then_some(())
    });
    env.hd(["exec", "sh", "-c", "echo mine > made"])
        .finish()
        .ok();
    let written = env.hd(["diff"]).finish().ok().stdout;
    assert!(written.contains("made"), "{written}");
}

#[test]
fn a_mount_server_started_anew_follows_the_view_of_its_predecessor() {
    skip_unless!(needs::fuse(), needs::faults());
    the_view_is_followed_after_a_panic_of("mount_server");
}

#[test]
fn an_invalidator_started_anew_leaves_no_service_in_a_view_of_before() {
    skip_unless!(needs::fuse(), needs::faults());
    the_view_is_followed_after_a_panic_of("invalidator");
}

/// What a conductor knew of an edit goes with it, but the edit does not.
#[track_caller]
fn an_edit_is_followed_after_a_panic_of(actor: &str, message: u32) {
    let toml = "[environment]\nname = \"edits\"\n\
                [services.web]\ncommand = \"cp a.txt /tmp/seen && exec sleep 1000\"\nwatch = [\"*.txt\"]\n\
                [services.other]\ncommand = \"sleep 1000\"\nwatch = [\"*.md\"]\n";
    let mut env = Env::project(&[("hd.toml", toml), ("a.txt", "one\n"), ("b.md", "one\n")]);
    env.set("HD_FAULT", &format!("{actor}:{message}"));
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    up.wait_line(0, &["other", "ready"]);
    let other = env.status().service("other")["pid"].clone();
    let edits = falls_over_an_edit_of(&env, &mut up, actor, "a.txt", "/tmp/seen");
    up.until(
        "the service was started for each edit, or for some at once",
        || {
            let web = env.status().service("web").clone();
            let count = web["restarts"]["watch"].as_u64().unwrap_or_default();
            assert!(count <= edits, "{web}");
            (count > 0 && web["state"] == "ready").then_some(())
        },
    );
    let last = format!("{edits}\n");
    up.until("and sees the last one", || {
        let seen = env.hd(["exec", "-s", "web", "cat", "/tmp/seen"]).finish();
        (seen.stdout == last).then_some(())
    });
    assert_eq!(env.status().service("other")["pid"], other);
}

#[test]
fn an_edit_whose_steps_an_invalidator_fell_over_restarts_who_watches_it() {
    skip_unless!(needs::fuse(), needs::faults());
    an_edit_is_followed_after_a_panic_of("invalidator", 4);
}

#[test]
fn an_edit_that_the_engine_fell_over_restarts_who_watches_it() {
    skip_unless!(needs::fuse(), needs::faults());
    an_edit_is_followed_after_a_panic_of("dag_engine", 3);
}

macro_rules! each_actor {
    ($($test:ident: $actor:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            skip_unless!(needs::fuse(), needs::faults());
            survives_a_panic_of($actor);
        })*
    };
}

each_actor! {
    chunk_store: "chunk_store",
    dag_engine: "dag_engine",
    step_runner: "step_runner",
    invalidator: "invalidator",
    oci_fetcher: "oci_fetcher",
    mount_server: "mount_server",
    service_supervisor: "service_supervisor.web",
    debouncer: "debouncer",
    watcher: "watcher",
    control: "control",
}

#[test]
fn each_actor_of_status_is_tested_here() {
    skip_unless!(needs::fuse());
    let env = samples::server();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let status = env.status();
    let actors = status.value()["actors"].as_array().expect("actors");
    let source = include_str!("supervision.rs");
    for actor in actors {
        let name = format!(": {},", actor["name"]);
        assert!(source.contains(&name), "no test for {actor}");
    }
}

#[test]
fn beyond_the_budget_at_boot_hd_gives_up() {
    skip_unless!(needs::fuse(), needs::faults());
    let mut env = samples::server_with_output();
    env.set("HD_FAULT", "invalidator:1+");
    let done = env.hd(["up"]).finish().expect_code(1);
    assert!(done.stderr.contains("gave up"), "{}", done.said());
    expect_none(env.mark(), SHORT);
    assert_eq!(env.added(), [""; 0]);
}

#[test]
fn beyond_the_budget_later_hd_stops_its_services() {
    skip_unless!(needs::fuse(), needs::faults());
    let mut env = samples::server_with_output();
    env.set("HD_FAULT", "invalidator:5+");
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let mut count = 0;
    let status = until("hd gives up", LONG, || {
        count += 1;
        files::write(&env.path("source.txt"), &format!("{count}\n"));
        up.ended()
    });
    assert_eq!(status.code(), Some(1), "{}", up.said());
    assert!(up.said().contains("gave up"), "{}", up.said());
    expect_none(env.mark(), SHORT);
    assert_eq!(env.added(), [""; 0]);
}

#[test]
fn a_plain_build_has_no_hook_for_faults() {
    // That the other binary has the hook shows that it would be found.
    skip_unless!(needs::plain_binary(), needs::faults());
    let plain = needs::plain_binary().expect("checked by skip_unless");
    assert!(!needs::is_armed(&plain), "{}", plain.display());
}
