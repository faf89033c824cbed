//! What hd writes into a project itself is no edit of the project.

use std::time::Duration;

use hd_integration::{Env, SHORT, Up, files, http, leftovers, needs, poll, samples, skip_unless};

/// Waits for an answer of `web`; what hd says is in a file.
fn answers(env: &Env, up: &mut Up, text: &str) {
    let path = env.path("up.log");
    up.until(&format!("web answers {text}"), || {
        http::get(env.port(0), "/").filter(|answer| answer.body.contains(text))
    });
    assert!(path.exists(), "the output is in the project");
}

/// How many lines of the log tell of itself.
fn of_itself(env: &Env) -> usize {
    let log = files::read(&env.path("up.log"));
    log.lines()
        .filter(|line| line.starts_with("~ up.log"))
        .count()
}

#[test]
fn redirected_into_a_file_of_the_project() {
    skip_unless!(needs::fuse());
    let env = samples::server();
    let root = env.once().root().to_owned();
    let mut up = env.up_through("exec \"$HD\" up > up.log 2>&1");
    answers(&env, &mut up, "one");
    assert_eq!(
        env.status().root(),
        root,
        "the file is no part of the project"
    );
    files::write(&env.path("answer.txt"), "two\n");
    answers(&env, &mut up, "two");
    poll::never("the log is an edit", Duration::from_millis(300), || {
        (of_itself(&env) > 0).then(|| files::read(&env.path("up.log")))
    });
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn through_a_pipe_into_a_file_of_the_project() {
    skip_unless!(needs::fuse());
    let env = samples::server();
    // hd cannot know where the pipe ends: it falls silent about the file instead.
    let mut up = env.up_through("\"$HD\" up 2>&1 | tee up.log");
    answers(&env, &mut up, "one");
    let log = env.path("up.log");
    up.until("hd has told enough of it", || {
        files::read(&log)
            .contains("up.log keeps changing")
            .then_some(())
    });
    poll::never("it is told on and on", Duration::from_millis(300), || {
        (of_itself(&env) > 20).then(|| files::read(&log))
    });
    files::write(&env.path("answer.txt"), "two\n");
    answers(&env, &mut up, "two");
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
}

#[test]
fn state_kept_in_the_project() {
    skip_unless!(needs::fuse());
    let mut env = samples::server_with_output();
    let elsewhere = env.once();
    env.home_in_project();
    let inside = env.once();
    assert_eq!(inside.root(), elsewhere.root());
    env.once().ran(&[]);
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let from = up.so_far();
    files::write(&env.path("source.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    assert!(!up.said()[from..].contains(".hd/"), "{}", up.said());
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}
