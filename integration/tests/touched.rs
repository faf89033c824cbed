//! Files that a step only touches: the steps after it see the new time, and nothing else is changed by it.

use hd_integration::{Env, files, needs, skip_unless};

const TOUCH_TOML: &str = r#"[environment]
name = "touched"

[build]
steps = ["cat turn.txt && touch made.txt", "make -s"]

[options]
project = "projected"
"#;

/// As `./configure` of a checkout, whose files are as old as git happened to write them.
#[test]
fn a_touch_of_one_step_is_seen_by_make_in_the_next() {
    skip_unless!(needs::fuse(), needs::program("make"));
    let env = Env::project(&[
        ("hd.toml", TOUCH_TOML),
        ("turn.txt", "0\n"),
        ("made.txt", "made\n"),
        ("source.txt", "source\n"),
        (
            "Makefile",
            "all: made.txt\n\techo done > done.txt\nmade.txt: source.txt\n\techo again > made.txt\n",
        ),
    ]);
    let time = files::mtime(&env.path("source.txt"));
    files::set_mtime(
        &env.path("made.txt"),
        time - std::time::Duration::from_secs(60),
    );
    env.once();
    let made = || {
        env.hd(["run", "cat", "made.txt", "done.txt"])
            .finish()
            .ok()
            .stdout
    };
    assert_eq!(made(), "made\ndone\n");
    // A new time is no change: what stands on the file is not run again.
    files::write(&env.path("turn.txt"), "1\n");
    env.once().ran(&["step-1"]);
    assert_eq!(made(), "made\ndone\n");
}

const BESIDE_TOML: &str = r#"[environment]
name = "touched"

[options]
project = "projected"

[[build.step]]
name = "writes"
run = "echo two > common.txt"

[[build.step]]
name = "touches"
run = "touch common.txt other.txt"

[[build.step]]
name = "compares"
needs = ["writes", "touches"]
run = "test other.txt -nt hd.toml && cat common.txt > seen.txt"
"#;

#[test]
fn a_touch_contradicts_no_step_beside_it() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[
        ("hd.toml", BESIDE_TOML),
        ("common.txt", "one\n"),
        ("other.txt", "other\n"),
    ]);
    let built = env.once();
    built.ran(&["step-1", "step-2", "step-3"]);
    let seen = env
        .hd(["run", "cat", "common.txt", "seen.txt"])
        .finish()
        .ok()
        .stdout;
    assert_eq!(seen, "two\ntwo\n");
    env.once().ran(&[]);
    // Nothing of it is lost by a collection.
    env.hd(["cas", "gc"]).finish().ok();
    env.once().ran(&[]);
    // What was touched is no output: it is written out nowhere.
    let time = files::mtime(&env.path("other.txt"));
    env.hd(["build", "--export"]).finish().ok();
    assert_eq!(files::mtime(&env.path("other.txt")), time);
}
