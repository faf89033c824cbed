//! Kept directories of `[build] cache` as part of what a step leaves, and whose they are.

use hd_integration::{Env, files, needs, skip_unless};

fn project(build: &str, rest: &[(&str, &str)]) -> Env {
    let toml = format!("[environment]\nname = \"kept\"\n{build}");
    Env::project(&[&[("hd.toml", &*toml)], rest].concat())
}

/// What commands of services find below a directory.
fn found(env: &Env, dir: &str) -> String {
    let look = [
        "run",
        "sh",
        "-c",
        &format!("cd {dir} 2>/dev/null && find . -type f | sort"),
    ];
    let said = env.hd(look).finish().ok().stdout;
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_declared_output_may_lie_in_one() {
    skip_unless!(needs::fuse());
    let env = project(
        r#"
[build]
cache = ["api/target"]

[[build.step]]
name = "api"
run = "mkdir -p api/target/release && cp source.txt api/target/release/api"
outputs = ["api/target/release/api"]
"#,
        &[("source.txt", "one\n")],
    );
    env.once().ran(&["step-1"]);
    assert_eq!(found(&env, "api/target"), "./release/api");
    env.once().ran(&[]);
    // Not made any more, though it stood there before.
    files::replace(
        &env.path("hd.toml"),
        "mkdir -p",
        "rm -r api/target/*; exit 0; mkdir -p",
    );
    let failed = env.once_fails(3);
    assert_eq!(failed.steps("failed"), ["step-1"]);
}

#[test]
fn what_a_step_deletes_from_one_is_gone() {
    skip_unless!(needs::fuse());
    let env = project(
        r#"
[build]
steps = [
    "mkdir -p dist/deep && cp source.txt dist/a.js && cp source.txt dist/a.map && cp source.txt dist/deep/b.map",
    "rm -r dist/*.map dist/deep",
    "find dist -type f > seen",
]
cache = ["dist"]
"#,
        &[("source.txt", "one\n"), (".gitignore", "/dist\n/seen\n")],
    );
    for text in ["one\n", "two\n"] {
        files::write(&env.path("source.txt"), text);
        env.once();
        assert_eq!(found(&env, "dist"), "./a.js");
        env.hd(["build", "--export"]).finish().ok();
        assert_eq!(files::read(&env.path("seen")), "dist/a.js\n");
        assert_eq!(files::read(&env.path("dist/a.js")), text);
        assert!(!env.path("dist/a.map").exists() && !env.path("dist/deep").exists());
    }
    // All of it.
    files::replace(
        &env.path("hd.toml"),
        "rm -r dist/*.map dist/deep",
        "rm -r dist/*",
    );
    env.once();
    assert_eq!(found(&env, "dist"), "");
}

#[test]
fn steps_beside_each_other_both_leave_something_in_one() {
    skip_unless!(needs::fuse());
    let env = project(
        r#"
[build]
cache = ["dist"]

[[build.step]]
name = "below"
run = "mkdir -p dist && touch dist/common"

[[build.step]]
name = "one"
needs = ["below"]
run = "touch dist/one"

[[build.step]]
name = "two"
needs = ["below"]
run = "touch dist/two"
"#,
        &[],
    );
    env.once();
    assert_eq!(found(&env, "dist"), "./common ./one ./two");
}

#[test]
fn one_is_of_the_step_with_that_command_or_name_and_of_no_number() {
    skip_unless!(needs::fuse());
    let env = project(
        "[build]\nsteps = [\"mkdir -p build && touch build/docs\", \"mkdir -p build && touch build/app\"]\ncache = [\"build\"]\n",
        &[],
    );
    env.once();
    assert_eq!(found(&env, "build"), "./app ./docs");
    let listed = env.hd(["cache", "ls", "--json"]).finish().ok().json();
    assert_eq!(
        listed["caches"].as_array().map(Vec::len),
        Some(2),
        "{listed}"
    );
    assert_eq!(listed["caches"][0]["step"], "mkdir-build", "{listed}");
    files::replace(
        &env.path("hd.toml"),
        "\"mkdir -p build && touch build/docs\", ",
        "",
    );
    env.once();
    assert_eq!(found(&env, "build"), "./app", "the step is another one");

    // A named step keeps its own under another number and with another command.
    let long = "[[build.step]]\nname = \"app\"\nrun = \"mkdir -p build; echo x >> build/app\"\n";
    files::write(
        &env.path("hd.toml"),
        &format!("[environment]\nname = \"kept\"\n[build]\ncache = [\"build\"]\n{long}"),
    );
    env.once();
    assert_eq!(found(&env, "build"), "./app");
    let first = "[[build.step]]\nname = \"first\"\nrun = \"mkdir first && ls build > first/all 2>/dev/null; true\"\n[[build.step]]\nname = \"app\"";
    files::replace(
        &env.path("hd.toml"),
        "[[build.step]]\nname = \"app\"",
        first,
    );
    files::replace(&env.path("hd.toml"), "echo x", "echo y");
    env.once();
    let made = env
        .hd(["run", "cat", "first/all", "build/app"])
        .finish()
        .ok()
        .stdout;
    assert_eq!(made, "x\ny\n");
}

#[test]
fn those_of_commands_that_are_no_more_go_after_a_while() {
    skip_unless!(needs::fuse());
    let toml = |number: u32| {
        format!(
            "[environment]\nname = \"kept\"\n[build]\nsteps = [\"mkdir -p build && echo {number} > build/made\"]\ncache = [\"build\"]\n"
        )
    };
    let env = Env::project(&[("hd.toml", &toml(0))]);
    for number in 0..8 {
        files::write(&env.path("hd.toml"), &toml(number));
        env.once();
    }
    let listed = env.hd(["cache", "ls", "--json"]).finish().ok().json();
    let kept = listed["caches"].as_array().map(Vec::len);
    assert_eq!(
        kept,
        Some(5),
        "that of the step, and the last four: {listed}"
    );
    assert_eq!(found(&env, "build"), "./made");
}
