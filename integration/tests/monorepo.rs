//! Twenty thousand files and five chained steps: an edit runs the step that read the file.

use hd_integration::{files, needs, samples, skip_unless};

const FILES: usize = 20_000;

#[test]
fn editing_a_leaf_runs_exactly_the_step_that_read_it() {
    skip_unless!(needs::fuse(), needs::xtask());
    let xtask = needs::xtask().expect("checked by skip_unless");
    let env = samples::monorepo(&xtask, FILES);
    let first = env.once();
    first.ran(&["step-1", "step-2", "step-3", "step-4", "step-5"]);
    assert!(
        first.value()["files"]
            .as_u64()
            .is_some_and(|files| files >= FILES as u64)
    );
    env.once().ran(&[]);
    for (group, step) in [("libs", "step-1"), ("docs", "step-4")] {
        let leaf = env.path(&format!("{group}/{group}-007/src/part-13.ts"));
        let original = files::read(&leaf);
        files::write(&leaf, &(original.clone() + "// edited\n"));
        let edited = env.once();
        assert_eq!(edited.steps("ran"), [step], "after an edit in {group}");
        assert_eq!(edited.steps("kept").len(), 4);
        files::write(&leaf, &original);
        assert_eq!(env.once().ran(&[]).root(), first.root());
    }
    // Seen by nobody: a new group.
    files::write(&env.path("notes/today.md"), "nothing\n");
    env.once().ran(&[]);
}
