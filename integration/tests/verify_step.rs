//! `hd verify STEP`: does it make the same again?

use hd_integration::{needs, samples, skip_unless};

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
