//! Steps that go on when something cannot be read, as most tools do.

use hd_integration::damage::{Kind, hurt};
use hd_integration::{Env, needs, skip_unless};

/// Tells whether a file could be read, and succeeds in any case.
const TELL: &str = "mkdir -p out; cat switch; if cat FILE > /dev/null 2>&1; then echo read; else echo unread; fi > out/how";

/// Runs a step that reads a damaged file of the store; the next run finds nothing of what it made of that.
fn is_made_again(env: &Env) {
    env.once().ran(&["step-1"]);
    hurt(env.home(), Kind::BitFlip, 0.5);
    hd_integration::files::write(&env.path("switch"), "two\n");
    let hurt = env.once();
    hurt.ran(&["step-1"]);
    let reason = hurt.value()["steps"][0]["reason"].as_str().unwrap_or("");
    assert!(
        reason.contains("not stored: it had an error for an answer: reading"),
        "{reason}"
    );
    env.once().ran(&["step-1"]);
    let run = env.hd(["run", "cat", "out/how"]).finish().ok();
    assert_eq!(run.stdout, "read\n");
    env.once().ran(&[]);
}

#[test]
fn what_a_step_made_of_a_file_that_could_not_be_read_is_not_kept() {
    skip_unless!(needs::fuse());
    let tell = TELL.replace("FILE", "data");
    let toml = format!(
        "[environment]\nname = \"unread\"\n\n[[build.step]]\nname = \"look\"\nrun = \"{tell}\"\n"
    );
    let data: String = (0..100_000u32).map(|line| format!("{line}\n")).collect();
    is_made_again(&Env::project(&[
        ("hd.toml", &toml),
        ("data", &data),
        ("switch", "one\n"),
    ]));
}

#[test]
fn nor_is_what_it_left_in_a_kept_directory_in_which_something_could_not_be_read() {
    skip_unless!(needs::fuse());
    let tell = TELL.replace("FILE", "kept/data");
    let toml = format!(
        "[environment]\nname = \"unread\"\n\n[build]\ncache = [\"kept\"]\n\n[[build.step]]\nname = \"look\"\n\
         run = \"[ -e kept/data ] || seq 1 200000 > kept/data; {tell}; cp out/how kept/how\"\n"
    );
    is_made_again(&Env::project(&[("hd.toml", &toml), ("switch", "one\n")]));
}
