//! `hd build --export`: what steps made, as files of the project directory.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use hd_integration::{Env, SHORT, files, leftovers, needs, skip_unless};
use serde_json::Value;

const TOML: &str = "[environment]\nname = \"e\"\n[build]\nsteps = [\"\"\"
mkdir -p dist/deep && cp source.txt dist/deep/page && ln -s deep/page dist/link && chmod 750 dist/deep/page
cp source.txt built && cp source.txt gen/out && echo by-step >> notes.txt && echo x > own\"\"\"]\n";

fn env() -> Env {
    Env::project(&[
        ("hd.toml", TOML),
        ("source.txt", "one\n"),
        ("notes.txt", "mine\n"),
        ("gen/README", "made by the build\n"),
        (".gitignore", "/dist\n/built\n/gen/out\n/own\n"),
    ])
}

fn export(env: &Env, args: &[&str]) -> Value {
    let all = [&["build", "--json"], args].concat();
    env.hd(all).finish().ok().json()
}

#[test]
fn outputs_become_files_of_the_project_and_nothing_of_the_persons_is_touched() {
    skip_unless!(needs::fuse());
    let env = env();
    // Ignored, so no part of the environment; the person's all the same.
    files::write(&env.path("own"), "my own\n");
    let done = export(&env, &["--export"]);
    assert_eq!(done["written"], 4, "{done}");
    assert_eq!(done["kept"], serde_json::json!(["notes.txt", "own"]));
    let read = |path: &str| files::read(&env.path(path));
    assert_eq!(
        (read("notes.txt"), read("own")),
        ("mine\n".into(), "my own\n".into())
    );
    assert_eq!(
        (read("built"), read("gen/out")),
        ("one\n".into(), "one\n".into())
    );
    assert_eq!(read("dist/link"), "one\n");
    let status = std::fs::metadata(env.path("dist/deep/page")).unwrap();
    let project = std::fs::metadata(env.path(".")).unwrap();
    assert_eq!(status.permissions().mode() & 0o777, 0o750);
    assert_eq!((status.uid(), status.gid()), (project.uid(), project.gid()));

    // Nothing changed: nothing runs, nothing is written.
    let again = export(&env, &["--export"]);
    assert_eq!((&again["written"], &again["same"]), (&0.into(), &4.into()));
    env.once().ran(&[]);

    // What an export wrote a later one replaces, unless the person has changed it since.
    files::write(&env.path("source.txt"), "two\n");
    files::write(&env.path("built"), "edited\n");
    let later = export(&env, &["--export"]);
    assert_eq!(later["written"], 2, "{later}");
    assert_eq!(
        later["kept"],
        serde_json::json!(["built", "notes.txt", "own"])
    );
    assert_eq!(
        (read("dist/link"), read("built")),
        ("two\n".into(), "edited\n".into())
    );
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn what_no_step_makes_any_more_goes_with_the_next_export_unless_somebody_changed_it() {
    skip_unless!(needs::fuse());
    let env = env();
    assert_eq!(export(&env, &["--export"])["written"], 5);
    files::write(&env.path("built"), "edited\n");
    files::write(&env.path("dist/mine"), "my own\n");
    // A link becomes a directory, a directory a file; the rest is made no more.
    let toml = files::read(&env.path("hd.toml"));
    let (before, _) = toml.split_once("steps").expect("there are steps");
    let steps =
        "steps = [\"mkdir -p dist/link && cp source.txt dist/link/page && echo x > dist/deep\"]\n";
    files::write(&env.path("hd.toml"), &format!("{before}{steps}"));
    // Only what is asked for is looked at.
    let part = export(&env, &["--export=dist"]);
    assert_eq!(
        (&part["removed"], &part["written"]),
        (&2.into(), &2.into()),
        "{part}"
    );
    let read = |path: &str| files::read(&env.path(path));
    assert_eq!(
        (read("dist/link/page"), read("dist/deep")),
        ("one\n".into(), "x\n".into())
    );
    assert_eq!(
        (read("own"), read("gen/out")),
        ("x\n".into(), "one\n".into())
    );
    let rest = export(&env, &["--export"]);
    assert_eq!(
        (&rest["removed"], &rest["kept"]),
        (&2.into(), &serde_json::json!(["built"]))
    );
    assert!(!env.path("own").exists() && !env.path("gen/out").exists());
    assert_eq!(
        (read("built"), read("dist/mine")),
        ("edited\n".into(), "my own\n".into())
    );

    // Nothing is made at all: what was asked for before may be asked for again.
    files::write(&env.path("hd.toml"), before.trim_end_matches("[build]\n"));
    let none = export(&env, &["--export=dist"]);
    assert_eq!(
        (&none["removed"], &none["kept"]),
        (&2.into(), &serde_json::json!([]))
    );
    assert_eq!(read("dist/mine"), "my own\n");
    assert!(!env.path("dist/link").exists());
    std::fs::remove_file(env.path("dist/mine")).expect("remove the person's file");
    export(&env, &["--export=dist"]);
    assert!(
        !env.path("dist").exists(),
        "hd made it, and it is empty now"
    );
}

/// No ignore file hides what is written: the next scan finds it, and the step makes nothing that is not there.
#[test]
fn what_became_part_of_the_project_is_neither_taken_away_nor_left_old() {
    skip_unless!(needs::fuse());
    let toml = "[environment]\nname = \"e\"\n[build]\nsteps = [\"mkdir -p dist/deep && cp a dist/a && cp b dist/deep/b\"]\n";
    let env = Env::project(&[("hd.toml", toml), ("a", "one\n"), ("b", "two\n")]);
    let made = |a: &str| {
        let done = export(&env, &["--export"]);
        assert_eq!(
            (&done["removed"], &done["kept"]),
            (&0.into(), &serde_json::json!([])),
            "{done}"
        );
        let read = |path: &str| std::fs::read_to_string(env.path(path)).unwrap_or_default();
        let expected = (a.to_owned(), "two\n".to_owned());
        assert_eq!((read("dist/a"), read("dist/deep/b")), expected, "{done}");
    };
    made("one\n");
    made("one\n");
    files::write(&env.path("a"), "other\n");
    made("other\n");
    made("other\n");
    files::write(&env.path("a"), "last\n");
    made("last\n");
}

#[test]
fn what_git_or_hd_would_act_on_is_never_written() {
    skip_unless!(needs::fuse());
    let toml = "[environment]\nname = \"e\"\n[build]\nsteps = [\"mkdir -p .git/hooks lib/.git sub && touch .git/hooks/post-checkout lib/.git/config lib/it sub/hd.toml\"]\n";
    let env = Env::project(&[("hd.toml", toml), (".gitignore", "/lib\n/sub\n")]);
    let had_hooks = env.path(".git/hooks").exists();
    let done = export(&env, &["--export"]);
    let left_out = serde_json::json!([".git", "lib/.git", "sub/hd.toml"]);
    assert_eq!(
        (&done["written"], &done["left_out"]),
        (&1.into(), &left_out),
        "{done}"
    );
    assert!(!env.path(".git/hooks/post-checkout").exists() && !env.path("sub/hd.toml").exists());
    assert!(env.path("lib/it").exists() && !env.path("lib/.git").exists());
    assert_eq!(env.path(".git/hooks").exists(), had_hooks);
    let asked = export(&env, &["--export=.git/hooks"]);
    assert_eq!(
        (&asked["written"], &asked["left_out"]),
        (&0.into(), &serde_json::json!([".git"]))
    );
}

#[test]
fn only_what_is_named_is_written_and_never_through_a_link() {
    skip_unless!(needs::fuse());
    let env = env();
    let done = export(&env, &["--export=gen", "--export=./built"]);
    assert_eq!(done["written"], 2, "{done}");
    assert!(!env.path("dist").exists());
    let outside = env.path("../outside");
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, env.path("dist")).unwrap();
    let kept = export(&env, &["--export=dist"]);
    assert_eq!(kept["written"], 0, "{kept}");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);

    let none = env.hd(["build", "--export=nothing"]).finish();
    assert!(
        none.said().contains("no step makes nothing"),
        "{}",
        none.said()
    );
    none.expect_code(2);
    env.hd(["build", "--export=../x"]).finish().expect_code(2);
    files::replace(&env.path("hd.toml"), "mkdir -p", "exit 3; mkdir -p");
    env.hd(["build", "--export"]).finish().expect_code(3);
    std::fs::remove_dir(&outside).unwrap();
}

#[test]
fn a_running_project_is_not_written_into() {
    skip_unless!(needs::fuse());
    let env = env();
    let toml = files::read(&env.path("hd.toml")) + "[services.s]\ncommand = \"sleep 1000\"\n";
    files::write(&env.path("hd.toml"), &toml);
    let mut up = env.up();
    up.wait_line(0, &["s", "ready"]);
    let refused = env.hd(["build", "--export"]).finish();
    assert!(refused.said().contains("hd down"), "{}", refused.said());
    refused.expect_code(2);
    up.interrupt();
}
