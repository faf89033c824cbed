//! `[[build.step]]`: what its keys do, run for real.

use hd_integration::ports::Port;
use hd_integration::{Env, files, needs, skip_unless};

const STEP_FAILED: i32 = 3;

/// A project with this `hd.toml` below its `[environment]`.
fn project(toml: &str, files: &[(&str, &str)]) -> Env {
    let toml = format!("[environment]\nname = \"long\"\n\n{toml}");
    let mut all = vec![("hd.toml", toml.as_str())];
    all.extend(files);
    Env::project(&all)
}

/// What a file of the environment holds.
fn made(env: &Env, path: &str) -> String {
    env.hd(["run", "cat", path]).finish().ok().stdout
}

const DIAMOND: &str = r#"
[[build.step]]
name = "generate"
run = "mkdir gen && cat schema.txt > gen/schema"

[[build.step]]
name = "front"
run = "test ! -e back && mkdir front && cat gen/schema front.txt > front/out"
needs = ["generate"]

[[build.step]]
name = "back"
run = "test ! -e front && mkdir back && cat gen/schema back.txt > back/out"
needs = ["generate"]

[[build.step]]
name = "pack"
run = "mkdir pack && cat front/out back/out > pack/all"
needs = ["front", "back"]
"#;

#[test]
fn a_diamond_runs_only_what_an_edit_concerns() {
    skip_unless!(needs::fuse());
    let texts = [
        ("schema.txt", "s\n"),
        ("front.txt", "f\n"),
        ("back.txt", "b\n"),
    ];
    let env = project(DIAMOND, &texts);
    let first = env.once();
    first.ran(&["step-1", "step-2", "step-3", "step-4"]);
    assert_eq!(made(&env, "pack/all"), "s\nf\ns\nb\n");
    env.once().ran(&[]);
    files::write(&env.path("back.txt"), "B\n");
    env.once().ran(&["step-3", "step-4"]);
    files::write(&env.path("schema.txt"), "S\n");
    env.once().ran(&["step-1", "step-2", "step-3", "step-4"]);
    assert_eq!(made(&env, "pack/all"), "S\nf\nS\nB\n");
    files::write(&env.path("schema.txt"), "s\n");
    files::write(&env.path("back.txt"), "b\n");
    let again = env.once_with(&["--jobs", "1"]);
    assert_eq!(again.ran(&[]).view(), first.view());
    let why = env.hd(["why", "pack"]).finish().ok();
    assert!(why.stdout.contains("step-4 (pack)"), "{}", why.said());
}

/// Two steps that can only end together: one listens on a port, the other connects to it.
fn that_meet(port: &Port) -> Env {
    let port = port.number;
    let toml = format!(
        r#"
[[build.step]]
name = "listen"
needs = []
run = "python3 -I meet.py listen {port}"

[[build.step]]
name = "connect"
needs = []
run = "python3 -I meet.py connect {port}"
"#
    );
    let meet = r#"
import socket, sys, time
what, port = sys.argv[1], int(sys.argv[2])
if what == "listen":
    server = socket.create_server(("127.0.0.1", port))
    server.settimeout(20)
    server.accept()
else:
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port))
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
"#;
    project(&toml, &[("meet.py", meet)])
}

#[test]
fn independent_steps_run_at_the_same_time() {
    skip_unless!(needs::fuse());
    let port = Port::free();
    let env = that_meet(&port);
    let report = env.once_with(&["--jobs", "2"]);
    report.ran(&["step-1", "step-2"]);
}

#[test]
fn with_one_job_they_do_not() {
    skip_unless!(needs::fuse());
    let port = Port::free();
    let env = that_meet(&port);
    let args = ["up", "--once", "--json", "--jobs", "1"];
    let report = env.hd(args).finish().expect_code(STEP_FAILED).report();
    assert_eq!(report.steps("failed"), ["step-1"]);
    assert_eq!(report.steps("ran"), [""; 0]);
}

#[test]
fn two_steps_that_write_one_path_differently_are_both_named() {
    skip_unless!(needs::fuse());
    let toml = r#"
[[build.step]]
name = "one"
needs = []
run = "mkdir -p dist && echo 1 > dist/x && echo same > dist/same"

[[build.step]]
name = "two"
needs = []
run = "mkdir -p dist && echo 2 > dist/x && echo same > dist/same"
"#;
    let env = project(toml, &[]);
    let text = env.once_fails(STEP_FAILED).error_text();
    for word in ["one", "two", "dist/x"] {
        assert!(text.contains(word), "{text}");
    }
    let toml = files::read(&env.path("hd.toml")).replace("echo 2", "echo  1");
    files::write(&env.path("hd.toml"), &toml);
    env.once().ran(&["step-2"]);
    assert_eq!(made(&env, "dist/x"), "1\n");
}

#[test]
fn declared_outputs_are_kept_and_nothing_else() {
    skip_unless!(needs::fuse());
    let toml = r#"
[[build.step]]
name = "build"
run = "mkdir -p web/dist && echo js > web/dist/app.js && echo junk > web/junk && rm -f web/src.ts"
outputs = ["web/dist"]
"#;
    let look = "\n[[build.step]]\nname = \"look\"\nrun = \"mkdir seen && find web -type f | sort > seen/all\"\n";
    let env = project(&(toml.to_owned() + look), &[("web/src.ts", "source\n")]);
    env.once().ran(&["step-1", "step-2"]);
    assert_eq!(made(&env, "seen/all"), "web/dist/app.js\nweb/src.ts\n");

    let toml = files::read(&env.path("hd.toml")).replace("[\"web/dist\"]", "[\"web/out\"]");
    files::write(&env.path("hd.toml"), &toml);
    let text = env.hd(["up", "--once"]).finish().expect_code(STEP_FAILED);
    assert!(
        text.stderr.contains("it did not make its output web/out"),
        "{}",
        text.said()
    );
}

#[test]
fn environment_directory_and_network_are_its_own() {
    skip_unless!(needs::fuse());
    let toml = r#"
[environment.env]
MODE = "all"
KEPT = "kept"

[[build.step]]
name = "here"
run = "mkdir made && pwd > made/pwd && echo $MODE $KEPT > made/env"
workdir = "sub/dir"
network = "none"
env = { MODE = "${NOT_SET:-own}" }

[[build.step]]
name = "copy"
run = "cp -r sub/dir/made seen"
"#;
    let env = project(toml, &[("sub/dir/keep", "")]);
    env.once().ran(&["step-1", "step-2"]);
    assert_eq!(made(&env, "seen/pwd"), "/workspace/sub/dir\n");
    assert_eq!(made(&env, "seen/env"), "own kept\n");
    // What it declares is part of the key; what it does not declare is not.
    let text = files::read(&env.path("hd.toml"));
    files::write(&env.path("hd.toml"), &text.replace("-own", "-other"));
    env.once().ran(&["step-1", "step-2"]);
    files::write(&env.path("hd.toml"), &(text + "timeout = \"10m\"\n"));
    env.once().ran(&[]);
}

#[test]
fn without_a_network_nothing_is_reached() {
    skip_unless!(needs::fuse());
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = server.local_addr().expect("its address").port();
    let step = |network: &str| {
        format!(
            "[[build.step]]\nname = \"reach\"\nnetwork = \"{network}\"\nrun = \"python3 -I -c \\\"import socket; socket.create_connection(('127.0.0.1', {port}), 5)\\\"\"\n"
        )
    };
    let env = project(&step("none"), &[]);
    assert_eq!(env.once_fails(STEP_FAILED).steps("failed"), ["step-1"]);
    let text = files::read(&env.path("hd.toml"));
    files::write(&env.path("hd.toml"), &text.replace("\"none\"", "\"host\""));
    env.once().ran(&["step-1"]);
}

#[test]
fn a_step_that_takes_too_long_is_killed_and_says_so() {
    skip_unless!(needs::fuse());
    let toml = r#"
[build.caches.tool]
path = "~/.tool"

[[build.step]]
name = "slow"
run = "echo half > ~/.tool/half; test -e quick || sleep 60; mkdir out; ls ~/.tool > out/tool"
timeout = "500ms"
caches = ["tool"]
"#;
    let env = project(toml, &[]);
    let done = env.hd(["up", "--once"]).finish().expect_code(STEP_FAILED);
    assert!(done.stderr.contains("timeout of 500ms"), "{}", done.said());
    // A kill drops what it did to its cache.
    files::write(&env.path("quick"), "");
    let text = files::read(&env.path("hd.toml")).replace("echo half > ~/.tool/half; ", "");
    files::write(&env.path("hd.toml"), &text.replace("500ms", "60s"));
    env.once().ran(&["step-1"]);
    assert_eq!(made(&env, "out/tool"), "");
}

#[test]
fn a_named_cache_survives_and_is_no_part_of_the_output() {
    skip_unless!(needs::fuse());
    let toml = r#"
[build.caches.tool]
path = "~/.tool"

[[build.step]]
name = "fill"
run = "cat one.txt >> ~/.tool/log && mkdir out1 && cp ~/.tool/log out1"
caches = ["tool"]

[[build.step]]
name = "use"
run = "cat two.txt >> ~/.tool/log && mkdir out2 && cp ~/.tool/log out2"
caches = ["tool"]

[[build.step]]
name = "without"
run = "mkdir out3; cp ~/.tool/log out3 2>/dev/null || true"
"#;
    let env = project(toml, &[("one.txt", "1\n"), ("two.txt", "2\n")]);
    env.once().ran(&["step-1", "step-2", "step-3"]);
    assert_eq!(made(&env, "out2/log"), "1\n2\n");
    let listed = env.hd(["run", "ls", "out3"]).finish().ok();
    assert_eq!(listed.stdout, "", "the cache is nobody else's");
    env.once().ran(&[]);
    // A failure keeps what it did to the cache.
    let text = files::read(&env.path("hd.toml"));
    let failing = text.replace("&& mkdir out2", "&& false && mkdir out2");
    files::write(&env.path("hd.toml"), &failing);
    env.once_fails(STEP_FAILED);
    files::write(&env.path("hd.toml"), &text);
    files::write(&env.path("two.txt"), "3\n");
    env.once().ran(&["step-2"]);
    assert_eq!(made(&env, "out2/log"), "1\n2\n2\n3\n");
    // Wiped, the next run finds it empty.
    let listed = env.hd(["cache", "ls"]).finish().ok();
    assert!(listed.stdout.contains("tool"), "{}", listed.said());
    env.hd(["cache", "rm", "tol"]).finish().expect_code(2);
    env.hd(["cache", "rm", "tool"]).finish().ok();
    let listed = env.hd(["cache", "ls", "--json"]).finish().ok().json();
    assert_eq!(listed["caches"], serde_json::json!([]));
    env.once().ran(&[]);
    files::write(&env.path("two.txt"), "4\n");
    env.once().ran(&["step-2"]);
    assert_eq!(made(&env, "out2/log"), "4\n");
}

/// They lie in the directories of downloads that every instance has, or around them.
#[test]
fn named_caches_may_be_where_downloads_are_kept() {
    skip_unless!(needs::fuse());
    let toml = r#"
[build.caches.tool]
path = "~/.cache/deep/tool"
[build.caches.around]
path = "~/.cargo"

[[build.step]]
name = "with"
run = "cat one.txt | tee -a ~/.cache/deep/tool/log >> ~/.cargo/log && mkdir out && cp ~/.cache/deep/tool/log out && cp ~/.cargo/log out/around"
caches = ["tool", "around"]

[[build.step]]
name = "without"
run = "mkdir seen && ls -A ~/.cache/deep/tool > seen/all && touch ~/.cache/deep/tool/mine ~/.cargo/registry/mine"
"#;
    let env = project(toml, &[("one.txt", "1\n")]);
    env.once().ran(&["step-1", "step-2"]);
    files::write(&env.path("one.txt"), "2\n");
    env.once().ran(&["step-1"]);
    assert_eq!(made(&env, "out/log"), "1\n2\n");
    assert_eq!(made(&env, "out/around"), "1\n2\n");
    assert_eq!(made(&env, "seen/all"), "");
}

#[test]
fn what_it_reads_beside_its_inputs_is_told() {
    skip_unless!(needs::fuse());
    let toml = r#"
[[build.step]]
name = "build"
run = "mkdir out && cat src/a.c conf.h > out/all"
inputs = ["src/**"]
"#;
    let env = project(toml, &[("src/a.c", "a\n"), ("conf.h", "h\n")]);
    let done = env.hd(["up", "--once"]).finish().ok();
    assert!(
        done.stderr
            .contains("step build read conf.h, which its `inputs` do not name"),
        "{}",
        done.said()
    );
    files::write(&env.path("conf.h"), "H\n");
    env.once().ran(&["step-1"]);
}

#[test]
fn a_failure_lets_those_beside_it_end() {
    skip_unless!(needs::fuse());
    let toml = r#"
[[build.step]]
name = "bad"
needs = []
run = "test -e mended || exit 4"

[[build.step]]
name = "good"
needs = []
run = "sleep 0.3; mkdir good && cp text.txt good"

[[build.step]]
name = "after"
run = "mkdir after"
"#;
    let env = project(toml, &[("text.txt", "x\n")]);
    let args = ["up", "--once", "--json", "--jobs", "2"];
    let report = env.hd(args).finish().expect_code(STEP_FAILED).report();
    assert_eq!(report.steps("failed"), ["step-1"]);
    assert_eq!(report.steps("ran"), ["step-2"]);
    files::write(&env.path("mended"), "");
    let report = env.once();
    report.ran(&["step-1", "step-3"]);
    assert_eq!(report.steps("kept"), ["step-2"]);
}
