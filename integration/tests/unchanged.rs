//! `hd up --once` where nothing has changed ends by looking: that is seen in its log, gives the same
//! answer, and whatever did change is met all the same.

use std::path::Path;

use hd_integration::damage::{self, Kind};
use hd_integration::{Env, Report, files, needs, samples, skip_unless};
use serde_json::Value;

/// What the log says when a look was enough.
const BY_LOOKING: &str = "nothing has changed";

/// `hd up --once`; answers whether a look was enough, too.
#[track_caller]
fn once(env: &Env, more: &[&str]) -> (Report, bool) {
    let run = env.hd(["up", "--once", "--json"].iter().chain(more));
    let done = run.env("RUST_LOG", "hd_actors=debug").finish().ok();
    (done.report(), done.stderr.contains(BY_LOOKING))
}

/// Nothing has changed: a look is enough, and says what was said before.
#[track_caller]
fn same(env: &Env, before: &Report) {
    let (report, looked) = once(env, &[]);
    assert!(looked, "the actors went to work: {:#}", report.value());
    let told = |report: &Report| {
        let mut value = report.value().clone();
        value["ms"] = Value::Null;
        let steps = value["steps"].as_array_mut().expect("steps");
        for step in steps {
            step["ms"] = Value::Null;
        }
        value
    };
    assert_eq!(told(&report), told(before));
}

/// Something changed: a look is not enough, and these steps run.
#[track_caller]
fn other(env: &Env, what: &str, ran: &[&str]) -> Report {
    let (report, looked) = once(env, &[]);
    assert!(!looked, "{what} was overlooked");
    report.ran(ran);
    report
}

/// Brings the project to rest: the answer where every step is kept.
#[track_caller]
fn at_rest(env: &Env) -> Report {
    env.once();
    let report = env.once();
    report.ran(&[]);
    report
}

/// The same, and a look is enough from then on.
#[track_caller]
fn looked_at(env: &Env) -> Report {
    let kept = at_rest(env);
    same(env, &kept);
    kept
}

#[test]
fn a_look_is_enough_until_something_changes() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    env.once().ran(&["step-1", "step-2", "step-3"]);
    let kept = env.once();
    kept.ran(&[]);
    same(&env, &kept);
    // Times and equal bytes are no change.
    files::touch(&env.path("first.txt"));
    env.once().ran(&[]);
    let kept = looked_at(&env);

    files::write(&env.path("aside.txt"), "read by nobody\n");
    let edited = other(&env, "a file that no step reads", &[]);
    assert_ne!(edited.root(), kept.root());
    same(&env, &edited);
    let file = env.path("second.txt");
    let time = files::mtime(&file);
    files::write(&file, "BETA\n");
    files::set_mtime(&file, time);
    other(&env, "an edit of equal size and time", &["step-2"]);
    std::fs::remove_file(env.path("list/a")).expect("remove a file");
    other(&env, "a file that is gone", &["step-3"]);
    files::write(&env.path("list/a"), "a\n");
    let back = other(&env, "a file that is back", &[]);
    same(&env, &back);
}

#[test]
fn without_steps_a_look_is_enough_for_an_edit_too() {
    skip_unless!(needs::fuse());
    let toml = "[environment]\nname = \"plain\"\n[services.web]\ncommand = \"cat one\"\n";
    let mut env = Env::project(&[("hd.toml", toml), ("one", "1\n"), ("dir/two", "2\n")]);
    env.once();
    let edits: [&dyn Fn(&Env); 4] = [
        &|env| files::write(&env.path("one"), "11\n"),
        &|env| files::write(&env.path("dir/deep/three"), "3\n"),
        &|env| std::fs::remove_file(env.path("dir/two")).expect("remove a file"),
        &|env| {
            files::write(
                &env.path("hd.toml"),
                &format!("{toml}env = {{ A = \"1\" }}\n"),
            )
        },
    ];
    for (at, edit) in edits.iter().enumerate() {
        edit(&env);
        let run = env.hd(["up", "--once", "--json"]);
        let run = run.env("RUST_LOG", "hd_actors=debug").finish().ok();
        let looked = run.stderr.contains("there is no step to run");
        assert!(looked, "edit {at}: {}", run.said());
        let edited = run.report();
        same(&env, &edited);
        // From nothing the same comes out, and what was kept is whole.
        env.use_home(&format!("home-{at}"));
        let anew = env.once();
        assert_eq!(
            (anew.root(), anew.view()),
            (edited.root(), edited.view()),
            "edit {at}"
        );
        env.use_home("home");
        env.hd(["cas", "verify", "--read-data"]).finish().ok();
        let listed = env.hd(["dag", "diff"]).finish();
        assert_eq!(listed.code(), 0, "{}", listed.said());
    }
    let seen = env
        .hd(["run", "cat", "one", "dir/deep/three"])
        .finish()
        .ok();
    assert_eq!(seen.stdout, "11\n3\n");
}

#[test]
fn every_key_of_the_configuration_counts() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    at_rest(&env);
    let original = files::read(&env.path("hd.toml"));
    let head = "name = \"chain\"";
    let cases: [(&str, &[&str]); 4] = [
        ("name = \"other\"", &[]),
        (
            "name = \"chain\"\nenv = { A = \"b\" }",
            &["step-1", "step-2", "step-3"],
        ),
        (
            "name = \"chain\"\nworkdir = \"/elsewhere\"",
            &["step-1", "step-2", "step-3"],
        ),
        (
            "name = \"chain\"\n[files]\nexclude = [\"list/b\"]",
            &["step-3"],
        ),
    ];
    for (with, ran) in cases {
        files::write(&env.path("hd.toml"), &original.replace(head, with));
        other(&env, with, ran);
    }
    files::write(
        &env.path("hd.toml"),
        &original.replace("ls list", "ls -a list"),
    );
    other(&env, "another command", &["step-3"]);
    files::write(&env.path("hd.toml"), &original);
    let back = other(&env, "the first configuration", &[]);
    same(&env, &back);
    let asked = env
        .hd(["build", "--rerun", "step-3", "--json"])
        .finish()
        .ok();
    asked.report().ran(&["step-3"]);
}

/// A file outside any project, gone again at the end.
struct HostFile(&'static str);

impl Drop for HostFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}

#[test]
fn what_steps_saw_of_the_host_is_looked_at() {
    skip_unless!(needs::root(), needs::fuse());
    let host = HostFile("/usr/local/share/hd-test-unchanged.conf");
    let _ = std::fs::remove_file(host.0);
    let step = format!("mkdir out; cat {} > out/conf 2>/dev/null || true", host.0);
    let env = samples::observing(&step, &[]);
    looked_at(&env);
    for text in ["one\n", "two\n"] {
        files::write(Path::new(host.0), text);
        other(&env, "a file of the host", &["step-1"]);
        looked_at(&env);
    }
    let time = files::mtime(Path::new(host.0));
    files::write(Path::new(host.0), "2wo\n");
    files::set_mtime(Path::new(host.0), time);
    other(&env, "an edit of equal size and time", &["step-1"]);
    std::fs::remove_file(host.0).expect("remove it");
    other(&env, "a file of the host that is gone", &[]);
}

#[test]
fn what_was_removed_from_the_store_is_made_again() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    looked_at(&env);
    // A collection that takes something else costs one look of the actors.
    files::write(&env.path("second.txt"), "other\n");
    env.once().ran(&["step-2"]);
    env.hd(["cas", "gc"]).finish().ok();
    let kept = looked_at(&env);
    let all = ["prune", "--older-than", "0s", "--max-size", "0B"];
    env.hd(all).finish().ok();
    let again = other(
        &env,
        "a store that is empty",
        &["step-1", "step-2", "step-3"],
    );
    assert_eq!(again.root(), kept.root());
    at_rest(&env);
    same(&env, &kept);
}

#[test]
fn a_lost_segment_is_not_relied_on() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    let kept = looked_at(&env);
    damage::hurt(env.home(), Kind::MissingSegment, 0.5);
    let (report, looked) = once(&env, &[]);
    assert!(!looked, "what is lost was relied on: {:#}", report.value());
    assert_eq!((report.root(), report.view()), (kept.root(), kept.view()));
}

#[test]
fn damage_that_was_found_is_mended() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    let kept = looked_at(&env);
    damage::hurt(env.home(), Kind::BitFlip, 0.5);
    // It is found by reading all, and from then on nothing relies on it.
    env.hd(["cas", "verify", "--read-data", "--repair"])
        .finish();
    let (report, looked) = once(&env, &[]);
    assert!(
        !looked,
        "what is damaged was relied on: {:#}",
        report.value()
    );
    assert_eq!(report.root(), kept.root());
}

#[test]
fn a_record_that_is_no_use_costs_nothing() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    let kept = at_rest(&env);
    let instances = env.home().join("instances");
    let mut found = std::fs::read_dir(&instances).expect("instances");
    let instance = found.next().expect("one").expect("readable").path();
    let record = instance.join("outcome.json");
    let text = files::read(&record);
    for other_text in ["", "{", &text.replace("\"format\":1", "\"format\":0")] {
        files::write(&record, other_text);
        assert_eq!(other(&env, "a broken record", &[]).root(), kept.root());
        same(&env, &kept);
    }
}

#[test]
fn a_command_runs_in_what_was_found_by_looking() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    let kept = at_rest(&env);
    let run = env.hd(["run", "cat", "out2/text"]);
    let done = run.env("RUST_LOG", "hd_actors=debug").finish().ok();
    assert!(done.stderr.contains(BY_LOOKING), "{}", done.said());
    assert_eq!(done.stdout, "alpha\nbeta\n");
    same(&env, &kept);
}

#[test]
fn a_look_is_enough_after_an_up() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    for text in ["one", "two"] {
        let mut up = env.up();
        up.wait_line(0, &["web", "ready"]);
        if text == "two" {
            files::write(&env.path("source.txt"), "two\n");
            // What ends before this has not kept what it saw.
            up.wait_line(0, &["source.txt", "answering again"]);
        }
        assert_eq!(up.interrupt().code(), Some(130));
        let (report, looked) = once(&env, &[]);
        assert!(looked, "the actors went to work: {:#}", report.value());
        report.ran(&[]);
        files::write(&env.path("source.txt"), "one\n");
    }
}

/// What was not there when a step looked, and shows through once it is.
#[test]
fn a_directory_of_tools_that_comes_later_is_seen() {
    skip_unless!(needs::fuse());
    let toml =
        "[environment]\nname = \"tools\"\n\n[build]\nsteps = [\"ls -d ~/.local/lib || true\"]\n";
    let mut env = Env::project(&[("hd.toml", toml)]);
    let person = env.mark().join("person");
    std::fs::create_dir_all(person.join(".local/bin")).expect("make a directory");
    let path = std::env::var("PATH").expect("a PATH");
    let path = format!("{}/.local/bin:{path}", person.display());
    env.set("HOME", &person.display().to_string());
    env.set("PATH", &path);
    env.once().ran(&["step-1"]);
    env.once().ran(&[]);
    std::fs::create_dir_all(person.join(".local/lib")).expect("make a directory");
    env.once().ran(&["step-1"]);
    env.once().ran(&[]);
}
