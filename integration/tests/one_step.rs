//! A step looked at closely: `hd verify STEP` and `hd debug STEP`.

use std::io::Write;
use std::process::Stdio;

use hd_integration::{Env, SHORT, files, leftovers, needs, samples, skip_unless};

#[test]
fn a_step_that_makes_the_same_and_one_that_does_not() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    let same = env.hd(["verify", "step-2"]).finish().ok();
    assert!(same.stdout.contains("the same twice"), "{}", same.said());
    // What it ran is no result: the chain itself is kept as it was.
    env.once().ran(&[]);

    let env = samples::observing(
        "mkdir out; cat /proc/sys/kernel/random/uuid > out/id; echo x > out/x",
        &[],
    );
    let report = env
        .hd(["verify", "step-1", "--json"])
        .finish()
        .expect_code(1)
        .json();
    assert_eq!(report["same"], false);
    let paths: Vec<_> = report["differing"]
        .as_array()
        .expect("paths")
        .iter()
        .collect();
    assert!(
        paths
            .iter()
            .any(|path| path.as_str() == Some("/workspace/out/id")),
        "{report:#}"
    );
    assert!(
        !paths
            .iter()
            .any(|path| path.as_str() == Some("/workspace/out/x")),
        "{report:#}"
    );
}

#[test]
fn an_unknown_step_and_a_failing_one_are_named() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    let unknown = env.hd(["verify", "nothing"]).finish().expect_code(2);
    assert!(
        unknown.stderr.contains("there is no step `nothing`"),
        "{}",
        unknown.said()
    );
    let env = samples::observing("exit 4", &[]);
    env.hd(["verify", "step-1"]).finish().expect_code(3);
}

/// What a shell of `hd debug` says to a script, and its exit code.
fn debugged(env: &Env, step: &str, script: &str) -> (String, Option<i32>) {
    let mut command = env.hd(["debug", step]).into_command();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("start hd debug");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(script.as_bytes())
        .expect("speak to the shell");
    drop(stdin);
    let out = child.wait_with_output().expect("its end");
    let said = [out.stdout, out.stderr].concat();
    (
        String::from_utf8_lossy(&said).into_owned(),
        out.status.code(),
    )
}

#[test]
fn a_shell_where_a_step_failed() {
    skip_unless!(needs::fuse());
    let env = samples::observing("mkdir half && echo made > half/file && exit 9", &[]);
    let (said, code) = debugged(&env, "step-1", "cat half/file aside.txt; pwd; exit 5\n");
    for words in [
        "step-1 ended with exit code 9",
        "made",
        "nobody reads this",
        "/workspace",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(code, Some(5), "{said}");
    leftovers::expect_none(env.mark(), SHORT);
    assert_eq!(env.added(), [""; 0]);
}

#[test]
fn what_is_changed_in_that_shell_is_dropped() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    let (said, code) = debugged(
        &env,
        "step-2",
        "cat out1/line; echo mine > out2/text; exit\n",
    );
    assert!(said.contains("alpha") && code == Some(0), "{said}");
    env.once().ran(&[]);
    let text = env.hd(["run", "cat", "out2/text"]).finish().ok().stdout;
    assert_eq!(text, "alpha\nbeta\n");
}

#[test]
fn a_step_does_not_see_what_its_environment_is_called() {
    skip_unless!(needs::fuse());
    let toml = |name: &str| {
        format!(
            "[environment]\nname = \"{name}\"\n[build]\nsteps = [\"mkdir out && uname -n > out/who\"]\n"
        )
    };
    let env = Env::project(&[("hd.toml", &toml("first"))]);
    env.once();
    files::write(&env.path("hd.toml"), &toml("second"));
    env.once().ran(&[]);
    let kept = env.hd(["run", "cat", "out/who"]).finish().ok().stdout;
    env.once_with(&["--rerun", "step-1"]);
    assert_eq!(env.hd(["run", "cat", "out/who"]).finish().ok().stdout, kept);
}
