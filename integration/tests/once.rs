//! `hd up --once`: which steps run, and that the root depends on content alone.

use hd_integration::{Env, files, needs, samples, skip_unless};

#[test]
fn flask_demo_runs_only_what_an_edit_touches() {
    skip_unless!(needs::fuse(), needs::package_index());
    let env = Env::example("flask-demo");
    let first = env.once();
    first.ran(&["step-1", "step-2"]);

    let second = env.once();
    second.ran(&[]);
    assert_eq!((second.root(), second.view()), (first.root(), first.view()));

    files::replace(
        &env.path("app.py"),
        "\"status\": \"ok\"",
        "\"status\": \"fine\"",
    );
    assert_ne!(env.once().ran(&[]).root(), first.root());
    files::replace(&env.path("templates/index.html"), "<h1>", "<h1 class=big>");
    env.once().ran(&[]);
    files::write(&env.path("beside.py"), "x = 1\n");
    env.once().ran(&[]);

    let original = files::replace(
        &env.path("requirements.txt"),
        "click==8.3.0",
        "click==8.2.1",
    );
    let edited = files::read(&env.path("requirements.txt"));
    let changed = env.once();
    changed.ran(&["step-2"]);
    files::write(&env.path("requirements.txt"), &original);
    env.once().ran(&[]);
    files::write(&env.path("requirements.txt"), &edited);
    let again = env.once();
    again.ran(&[]);
    assert_eq!(
        (again.root(), again.view()),
        (changed.root(), changed.view())
    );
}

#[test]
fn touching_and_saving_equal_bytes_change_nothing() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    let first = env.once();
    first.ran(&["step-1", "step-2", "step-3"]);
    files::touch(&env.path("first.txt"));
    let same = files::read(&env.path("second.txt"));
    files::save_by_rename(&env.path("second.txt"), &same);
    let second = env.once();
    assert_eq!(second.ran(&[]).root(), first.root());
    assert_eq!(second.view(), first.view());
}

#[test]
fn equal_size_and_time_do_not_hide_other_bytes() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    env.once();
    let file = env.path("second.txt");
    let time = files::mtime(&file);
    files::write(&file, "BETA\n");
    files::set_mtime(&file, time);
    env.once().ran(&["step-2"]);
}

#[test]
fn an_output_that_stays_equal_stops_the_chain() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    env.once();
    files::replace(&env.path("first.txt"), "ignored", "still ignored");
    env.once().ran(&["step-1"]);
    files::replace(&env.path("first.txt"), "alpha", "omega");
    env.once().ran(&["step-1", "step-2"]);
    files::write(&env.path("list/c"), "c\n");
    env.once().ran(&["step-3"]);
    files::write(&env.path("list/c"), "other text, same names\n");
    env.once().ran(&[]);
    files::write(&env.path("aside.txt"), "still nobody\n");
    env.once().ran(&[]);
}

#[test]
fn edit_undo_edit_runs_each_state_once() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    let before = env.once();
    let original = files::replace(&env.path("second.txt"), "beta", "gamma");
    let after = env.once();
    after.ran(&["step-2"]);
    for (text, expected) in [
        (&*original, &before),
        ("gamma\n", &after),
        (&*original, &before),
    ] {
        files::write(&env.path("second.txt"), text);
        let report = env.once();
        report.ran(&[]);
        assert_eq!(
            (report.root(), report.view()),
            (expected.root(), expected.view())
        );
    }
}

#[test]
fn a_branch_switch_runs_each_branch_once() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    env.once();
    env.git(&["checkout", "--quiet", "-b", "other"]);
    files::write(&env.path("second.txt"), "delta\n");
    files::write(&env.path("list/new"), "new\n");
    env.git(&["add", "--all"]);
    env.git(&["commit", "--quiet", "-m", "other"]);
    env.once().ran(&["step-2", "step-3"]);
    for branch in ["-", "-", "-"] {
        env.git(&["checkout", "--quiet", branch]);
        env.once().ran(&[]);
    }
}

#[test]
fn a_second_home_gives_the_same_root_and_runs_everything() {
    skip_unless!(needs::fuse());
    let mut env = samples::chain();
    let first = env.once();
    // The steps' outputs of the first home must not have reached the project.
    assert_eq!(env.git(&["status", "--porcelain"]), "");
    files::touch(&env.path("first.txt"));
    let other = env.second_home().once();
    assert_eq!(other.root(), first.root());
    other.ran(&["step-1", "step-2", "step-3"]);
}

#[test]
fn the_report_counts_the_files_that_the_filters_leave() {
    skip_unless!(needs::fuse());
    let env = samples::observing(
        "cat a > /dev/null",
        &[
            ("a", "12345"),
            (".gitignore", "*.log\n"),
            ("noise.log", "not counted"),
        ],
    );
    let report = env.once();
    // hd.toml, aside.txt, a, .gitignore
    assert_eq!(report.value()["files"], 4, "{:#}", report.value());
    let sizes =
        ["hd.toml", "aside.txt", "a", ".gitignore"].map(|name| files::read(&env.path(name)).len());
    assert_eq!(report.value()["bytes"], sizes.iter().sum::<usize>());
    assert_eq!(report.value()["base"], serde_json::Value::Null);
}

#[test]
fn what_a_glob_of_a_watch_does_not_cover_counts_no_more_than_before() {
    skip_unless!(needs::fuse());
    let toml = "[environment]\nname = \"logs\"\n[services.web]\ncommand = \"sleep 1000\"\n\
                watch = [\"storage/**/*.log\"]\n";
    let env = Env::project(&[
        ("hd.toml", toml),
        (".gitignore", "/storage\n"),
        ("storage/db.sqlite", "not counted"),
        ("storage/logs/web.log", "watched\n"),
    ]);
    assert_eq!(env.once().value()["files"], 3);
}

#[test]
fn why_names_the_path_that_made_a_step_run() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    env.once();
    files::write(&env.path("second.txt"), "epsilon\n");
    env.once().ran(&["step-2"]);
    let why = env.hd(["why", "step-2"]).finish().ok();
    assert!(why.stdout.contains("second.txt"), "{}", why.said());
    files::write(&env.path("list/zeta"), "");
    env.once().ran(&["step-3"]);
    let why = env.hd(["why", "step-3"]).finish().ok();
    assert!(why.stdout.contains("list"), "{}", why.said());
}

#[test]
fn dag_show_prints_the_same_root() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    let report = env.once();
    let shown = env.hd(["dag", "show"]).finish().ok();
    assert!(
        shown.stdout.contains(report.root()),
        "{}\n{}",
        report.root(),
        shown.said()
    );
}
