//! One hd runs an instance at a time: what comes meanwhile waits for its turn, or joins the one that runs.

use std::io::{Read, Write};
use std::process::{Child, Stdio};

use hd_integration::{Env, LONG, SHORT, leftovers, needs, skip_unless, until};

const TOML: &str = r#"[environment]
name = "turns"
[services.web]
command = "sleep 1000"
"#;
const WAITING: &[&str] = &["waiting for another hd"];

/// `hd run` has the instance until its input ends, and answers nobody.
fn held(env: &Env) -> Child {
    let mut command = env.hd(["run", "cat"]).into_command();
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("start hd run");
    let stdin = child.stdin.as_mut().expect("its input");
    stdin.write_all(b"!").expect("write to cat");
    let mut echo = [0];
    let stdout = child.stdout.as_mut().expect("its output");
    stdout.read_exact(&mut echo).expect("cat runs");
    child
}

fn let_go(mut holder: Child) {
    drop(holder.stdin.take());
    let ended = until("hd run ends", SHORT, || holder.try_wait().ok().flatten());
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn two_that_start_at_once_wait_for_a_command_and_are_one() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    let holder = held(&env);
    let (mut one, mut other) = (env.up(), env.up());
    one.wait_line(0, WAITING);
    other.wait_line(0, WAITING);
    let_go(holder);
    one.wait_line(0, &["web", "ready"]);
    other.until("web is ready", || {
        (env.status().service("web")["state"] == "ready").then_some(())
    });
    env.hd(["down"]).finish().ok();
    one.wait_exit(LONG);
    other.wait_exit(LONG);
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_command_that_waits_is_done_alone_or_beside_what_came_first() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    let holder = held(&env);
    let mut up = env.up();
    up.wait_line(0, WAITING);
    let mut command = env.hd(["exec", "sh", "-c", "echo done"]).into_command();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let command = command.spawn().expect("start hd exec");
    let_go(holder);
    // It does not wait for the end of what serves.
    let said = command.wait_with_output().expect("hd exec ends");
    assert_eq!(said.stdout, b"done\n");
    up.wait_line(0, &["web", "ready"]);
    env.hd(["down"]).finish().ok();
    up.wait_exit(LONG);
}

#[test]
fn what_has_a_project_and_answers_nobody_is_named_to_who_would_end_it() {
    skip_unless!(needs::fuse());
    let toml = format!("{TOML}volumes = [\"data:/data\"]\n[volumes]\ndata = {{}}\n");
    let env = Env::project(&[("hd.toml", &toml)]);
    env.hd(["up", "-d", "--wait"]).finish().ok();
    env.hd(["down"]).finish().ok();
    let holder = held(&env);
    let way = format!("`kill {}`", holder.id());
    let verbs: [&[&str]; 3] = [&["down"], &["down", "-v"], &["volume", "rm", "data"]];
    for verb in verbs {
        let said = env.hd(verb).finish().expect_code(2);
        assert!(
            said.stderr.contains("another hd is at work"),
            "{}",
            said.said()
        );
        assert!(said.stderr.contains(&way), "{}", said.said());
    }
    let_go(holder);
    let gone = env.hd(["down", "-v"]).finish().ok();
    assert!(
        gone.stderr.contains("removed the volume data"),
        "{}",
        gone.said()
    );
    leftovers::expect_none(env.mark(), SHORT);
}
