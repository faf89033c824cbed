//! `[build.stages]`: steps that run on an image of their own, and what others see of them; and steps
//! with a user of their own.

use hd_integration::{Env, files, needs, skip_unless};

fn image(name: &str) -> String {
    let registry = needs::registry().expect("checked by skip_unless");
    format!("{registry}/{name}")
}

/// A project on busybox whose stage stands on Debian.
fn project(more: &str) -> Env {
    let toml = format!(
        "[environment]\nname = \"staged\"\nbase = \"{}\"\nenv = {{ SEEN = \"no\" }}\n\n[build.stages.perl]\nbase = \"{}\"\nworkdir = \"/src\"\n{more}",
        image("busybox:1"),
        image("debian:12-slim")
    );
    Env::project(&[("hd.toml", &toml), ("greet.pl", "print \"hello\\n\";\n")])
}

fn made(env: &Env, path: &str) -> String {
    env.hd(["run", "cat", path]).finish().ok().stdout
}

const TAKEN: &str = r#"
[[build.step]]
name = "greet"
stage = "perl"
run = "mkdir -p /out && perl greet.pl > /out/hello && pwd > /out/where && echo ${SEEN-unset} > /out/seen"

[[build.step]]
name = "take"
from = ["perl"]
run = "mkdir -p /opt/taken && cp /stages/perl/out/* /opt/taken/ && (echo x > /stages/perl/out/mine || true)"
"#;

#[test]
fn what_a_stage_made_is_taken_from_it_and_nothing_else_of_it_stays() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let env = project(TAKEN);
    env.once().ran(&["step-1", "step-2"]);
    let taken = ["hello", "where", "seen"].map(|file| made(&env, &format!("/opt/taken/{file}")));
    assert_eq!(taken, ["hello\n", "/src\n", "unset\n"]);
    let others = env.hd([
        "run",
        "ls",
        "-d",
        "/stages",
        "/out",
        "/src",
        "/usr/bin/perl",
    ]);
    let others = others.finish();
    assert_eq!(others.stdout, "", "{}", others.said());
    env.once().ran(&[]);
    let plan = env.hd(["plan", "--json"]).finish().ok().json();
    assert_eq!(plan["steps"][1]["plan"], "keep", "{plan}");
    // Only what was taken counts: a remark changes what was compiled from, not what came of it.
    files::write(&env.path("greet.pl"), "# friendly\nprint \"hello\\n\";\n");
    env.once().ran(&["step-1"]);
    files::write(&env.path("greet.pl"), "print \"hi\\n\";\n");
    env.once().ran(&["step-1", "step-2"]);
    assert_eq!(made(&env, "/opt/taken/hello"), "hi\n");
}

#[test]
fn another_image_is_part_of_the_root_and_runs_its_steps_anew() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let env = project(TAKEN);
    let before = env.once();
    before.ran(&["step-1", "step-2"]);
    let (old, new) = (image("debian:12-slim"), image("python:3.11-slim"));
    files::replace(&env.path("hd.toml"), &old, &new);
    let after = env.once();
    assert_ne!(before.root(), after.root());
    // What was taken is the same.
    after.ran(&["step-1"]);
}

const CHAINED: &str = r#"
[build.stages.more]
from = "perl"

[[build.step]]
name = "first"
stage = "perl"
run = "echo 1 > /one"

[[build.step]]
name = "second"
stage = "more"
from = ["perl"]
run = "cat /one /stages/perl/one > /two"

[[build.step]]
name = "late"
stage = "perl"
run = "test ! -e /two && echo late > /one"

[[build.step]]
name = "take"
from = ["more", "perl"]
run = "cat /stages/more/two /stages/more/one /stages/perl/one > /taken"
"#;

#[test]
fn a_stage_goes_on_from_another() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let env = project(CHAINED);
    env.once().ran(&["step-1", "step-2", "step-3", "step-4"]);
    assert_eq!(made(&env, "/taken"), "1\n1\nlate\nlate\n");
    let verified = env.hd(["verify", "take"]).finish().ok();
    assert!(verified.stdout.contains("same"), "{}", verified.said());
}

const FROM_THE_IMAGE: &str = r#"
[[build.step]]
name = "take"
from = ["perl"]
run = "cp /stages/perl/etc/debian_version /version"
"#;

#[test]
fn an_image_without_steps_is_seen_as_it_is() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let env = project(FROM_THE_IMAGE);
    env.once().ran(&["step-1"]);
    assert!(made(&env, "/version").starts_with("12"), "Debian 12");
}

#[test]
fn an_image_that_cannot_be_had_is_named() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let env = project(FROM_THE_IMAGE);
    files::replace(&env.path("hd.toml"), "debian:12-slim", "debian:none-such");
    let failed = env.hd(["up", "--once"]).finish();
    assert_ne!(failed.code(), 0);
    assert!(
        failed.stderr.contains("debian:none-such"),
        "{}",
        failed.said()
    );
}

#[test]
fn a_step_runs_as_a_user_that_a_step_before_it_made() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let toml = format!(
        r#"
[environment]
name = "users"
base = "{}"
workdir = "/srv/app"

[[build.step]]
name = "user"
run = "echo app:x:4321:4321::/home/app:/bin/sh >> /etc/passwd && mkdir -p /home/app && chown 4321 /home/app"

[[build.step]]
name = "as-app"
user = "app"
run = "(id -u; id -un; echo $HOME; stat -c %U text) > ~/who && mkdir made && cp text made/ && touch text"

[[build.step]]
name = "by-number"
user = "77:88"
run = "(id -u; id -g) > /tmp/x; cat /tmp/x > /srv/app/made/x || echo refused"

[[build.step]]
name = "look"
run = "stat -c %u . made text > /seen"

[services.app]
user = "app"
command = ["sh", "-c", "(id -u; echo $HOME) > /tmp/who; cat /tmp/who; sleep 1000"]
"#,
        image("busybox:1")
    );
    let env = Env::project(&[("hd.toml", &toml), ("text", "t\n")]);
    env.once().ran(&["step-1", "step-2", "step-3", "step-4"]);
    let who = made(&env, "/home/app/who");
    assert_eq!(who, "4321\napp\n/home/app\napp\n");
    let owners = env.hd(["run", "stat", "-c", "%u", "/home/app/who"]);
    assert_eq!(owners.finish().ok().stdout, "4321\n");
    // What is nobody's stays so, though a step's user sees it as its own; what it made is its own.
    assert_eq!(made(&env, "/seen"), "0\n4321\n0\n");
    // A service looks its user up where the steps made it.
    let mut up = env.up();
    up.wait_line(0, &["4321"]);
    up.wait_line(0, &["/home/app"]);
    up.interrupt();
    files::replace(
        &env.path("hd.toml"),
        "user = \"77:88\"",
        "user = \"nobody-here\"",
    );
    let failed = env.hd(["up", "--once"]).finish().expect_code(2);
    let named = ["nobody-here", "by-number"].map(|part| failed.stderr.contains(part));
    assert_eq!(named, [true, true], "{}", failed.said());
}
