//! An actor that stands still, and with it all that share its thread: status goes on answering and says
//! who is busy, mailboxes fill without a loss, and afterwards everything comes through without a storm.

use hd_integration::{Env, LONG, Report, Up, files, leftovers, needs, samples, skip_unless, until};

fn state(status: &Report, actor: &str) -> String {
    let actors = status.value()["actors"].as_array().expect("actors");
    let found = actors.iter().find(|found| found["name"] == actor);
    let found = found.unwrap_or_else(|| panic!("no actor {actor} in {actors:#?}"));
    found["state"].as_str().expect("a state").to_owned()
}

/// Edits until an actor stands still; status says so while it does. Gives the number of edits.
fn stuck(env: &Env, up: &mut Up, actor: &str) -> usize {
    let mut edits = 0;
    until(&format!("{actor} is busy"), LONG, || {
        assert_eq!(up.ended(), None, "{}", up.said());
        edits += 1;
        files::write(&env.path("answer.txt"), &format!("edit {edits}\n"));
        // It would not answer while the actor does not, if it waited for it.
        (state(&env.status(), actor) == "busy").then_some(())
    });
    edits
}

fn restarts(env: &Env) -> u64 {
    let web = env.status().service("web")["restarts"].clone();
    assert_eq!(web["crash"], 0, "{web}");
    web["watch"].as_u64().expect("a count")
}

/// The state is what a look at everything finds, and nobody was restarted for having stood still.
fn nothing_was_lost(env: &Env, up: &mut Up) {
    up.until("all actors answer again", || {
        let status = env.status();
        let actors = status.value()["actors"].as_array().cloned();
        let alive = |one: &serde_json::Value| one["state"] == "alive" && one["restarts"] == 0;
        actors.unwrap_or_default().iter().all(alive).then_some(())
    });
    let root = env.status().root().to_owned();
    env.hd(["build"]).finish().ok();
    assert_eq!(env.status().root(), root, "a look at everything finds more");
    up.interrupt();
    leftovers::expect_none(env.mark(), LONG);
}

fn stands(actor: &str) {
    let mut env = samples::server();
    env.set("HD_FAULT", &format!("{actor}:6~4000"));
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let edits = stuck(&env, &mut up, actor);
    let files = env.status().value()["files"].as_u64().expect("a count");
    // More than any mailbox holds, each a file of its own.
    for number in 0..600 {
        files::write(&env.path(&format!("more-{number}.md")), "text\n");
    }
    files::write(&env.path("answer.txt"), "the last\n");
    up.wait_http(env.port(0), "/", "the last");
    up.until("all files are known", || {
        (env.status().value()["files"] == files + 600).then_some(())
    });
    let count = restarts(&env);
    assert!(count <= edits as u64 + 3, "{count} for {edits} edits");
    nothing_was_lost(&env, &mut up);
}

macro_rules! each {
    ($($test:ident: $actor:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            skip_unless!(needs::fuse(), needs::faults());
            stands($actor);
        })*
    };
}

each! {
    the_conductor: "invalidator",
    the_debouncer: "debouncer",
    the_supervisor_of_a_service: "service_supervisor.web",
}
