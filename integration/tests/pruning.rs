//! `hd prune` where not all can be removed.

use hd_integration::disk::Disk;
use hd_integration::{Env, needs, skip_unless};

/// Whether each is listed: the one without a name, and `beside`.
fn listed(env: &Env) -> [bool; 2] {
    let listed = env.hd(["ls", "--all", "--json"]).finish().ok().json();
    let all = listed["instances"].as_array().expect("instances");
    [serde_json::Value::Null, "beside".into()]
        .map(|name| all.iter().any(|one| one["instance"] == name))
}

#[test]
fn what_cannot_be_removed_is_named_and_can_be_pruned_once_more() {
    skip_unless!(needs::root());
    let env = Env::project(&[("hd.toml", "[environment]\nname = \"x\"\n")]);
    env.once();
    env.hd(["-p", "beside", "up", "--once"]).finish().ok();
    assert_eq!(listed(&env), [true, true]);
    let busy = env.instances().remove(0).join("caches");
    let disk = Disk::tmpfs(&busy.join("pip"), "size=1m");
    let failed = env.hd(["prune", "--project", "."]).finish().expect_code(1);
    let project = env.path("").canonicalize().expect("the project");
    let again = format!("hd prune --project {}", project.display());
    for words in [busy.to_str().expect("a plain path"), &again] {
        assert!(failed.stderr.contains(words), "{}", failed.said());
    }
    assert_eq!(listed(&env), [true, false], "{}", failed.said());

    drop(disk);
    let again: Vec<&str> = again.split(' ').skip(1).collect();
    env.hd(again).finish().ok();
    assert_eq!(listed(&env), [false, false]);
    assert!(!busy.exists());
}
