//! A command beside a service ends with it, and is told why.

use std::io::Read;
use std::process::{Child, Stdio};

use hd_integration::pty::Pty;
use hd_integration::{Env, LONG, SHORT, leftovers, needs, skip_unless, until};

const TOML: &str = r#"
[environment]
name = "company"
[services.web]
command = "sleep 1000"
watch = ["*.txt"]
"#;

fn up() -> Env {
    let env = Env::project(&[("hd.toml", TOML), ("a.txt", "")]);
    env.hd(["up", "-d", "--wait"]).finish().ok();
    env
}

#[track_caller]
fn down(env: &Env) {
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}

/// A command that runs in the sandbox of `web`, until it is killed.
fn inside(env: &Env) -> Child {
    let run = env.hd(["exec", "sh", "-c", "echo in; exec sleep 4321"]);
    let mut command = run.into_command();
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start hd exec");
    let mut line = [0; 3];
    let stdout = child.stdout.as_mut().expect("its output");
    stdout.read_exact(&mut line).expect("the command runs");
    child
}

/// Waits until the command was killed; answers what hd said of that.
#[track_caller]
fn killed(mut child: Child) -> String {
    let ended = until("hd exec ends", LONG, || child.try_wait().expect("wait"));
    let mut said = String::new();
    let stderr = child.stderr.as_mut().expect("what it says");
    stderr.read_to_string(&mut said).expect("text");
    assert_eq!(ended.code(), Some(137), "{said}");
    said
}

#[test]
fn a_command_that_ends_with_its_service_says_why() {
    skip_unless!(needs::fuse());
    let env = up();
    let command = inside(&env);
    std::fs::write(env.path("a.txt"), "edited").expect("edit");
    let said = killed(command);
    assert!(
        said.contains("`web` was restarted (a.txt changed)"),
        "{said}"
    );
    assert!(said.contains("`hd watch pause`"), "{said}");

    env.hd(["wait"]).finish().ok();
    let command = inside(&env);
    let pid = env.status().service("web")["pid"].as_i64();
    leftovers::kill(pid.and_then(|pid| i32::try_from(pid).ok()).expect("a pid"));
    let said = killed(command);
    assert!(said.contains("killed by signal 9"), "{said}");

    env.hd(["wait"]).finish().ok();
    let command = inside(&env);
    env.hd(["stop", "web"]).finish().ok();
    let said = killed(command);
    assert!(said.contains("`web` ended (stopped)"), "{said}");

    env.hd(["start"]).finish().ok();
    env.hd(["wait"]).finish().ok();
    let command = inside(&env);
    down(&env);
    let said = killed(command);
    assert!(said.contains("`web` ended"), "{said}");
}

#[test]
fn a_command_that_is_killed_alone_says_nothing() {
    skip_unless!(needs::fuse());
    let env = up();
    let alone = env.hd(["exec", "sh", "-c", "kill -KILL $$"]);
    let alone = alone.finish().expect_code(137);
    assert_eq!(alone.stderr, "", "{}", alone.said());
    down(&env);
}

#[test]
fn the_terminal_of_a_command_that_was_taken_along_is_put_in_order() {
    skip_unless!(needs::fuse());
    let env = up();
    let draws = r"printf '\033[?1049h\033[?25lin'; exec sleep 4321";
    let mut terminal = Pty::start(env.hd(["exec", "sh", "-c", draws]).into_command());
    terminal.wait_for("in");
    env.hd(["restart", "web"]).finish().ok();
    assert_eq!(terminal.wait_exit().code(), Some(137));
    terminal.wait_for("`web` was restarted (asked for)");
    let written = terminal.written();
    let (_, after) = written.split_once("in").expect("what was drawn");
    assert!(after.contains("\x1b[?1049l"), "{written:?}");
    assert!(after.contains("\x1b[?25h"), "{written:?}");
    down(&env);
}

#[test]
fn an_instance_of_another_version_is_named_as_such() {
    skip_unless!(needs::fuse());
    let env = up();
    let instances = env.instances().into_iter();
    let files = instances.map(|one| one.join("services/web.json"));
    let file = files
        .into_iter()
        .find(|path| path.exists())
        .expect("how web is entered");
    let text = std::fs::read_to_string(&file).expect("read it");
    std::fs::write(&file, text.replace("\"network\"", "\"nets\""))
        .expect("as another hd writes it");
    let refused = env.hd(["exec", "true"]).finish().expect_code(125);
    assert!(
        refused.stderr.contains("of another version"),
        "{}",
        refused.said()
    );
    assert!(
        refused.stderr.contains("`hd down`, then `hd up`"),
        "{}",
        refused.said()
    );
    std::fs::write(&file, text).expect("as it was");
    env.hd(["exec", "true"]).finish().ok();
    down(&env);
}
