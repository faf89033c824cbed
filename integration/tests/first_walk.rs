//! What people met who walked the README for the first time: each command says what is so.

use hd_integration::{Env, files, needs, skip_unless};

/// A dependency is a step as well, and comes before those of `[build]`.
const TOML: &str = r#"[environment]
name = "walk"

[dependencies]
python = ">=3"

[build]
steps = ["mkdir -p out && cat a.txt > out/a", "cat out/a; ls .hidden ignored/x 2>/dev/null || true"]
cache = ["kept"]

[files]
exclude = [".hidden"]

[services.web]
command = "sleep 1000"
port = "auto"
replicas = 2
healthcheck = "true"

[services.db]
command = "sleep 1000"
volumes = ["data:/var/lib/db", "tmpfs:/scratch/deep"]
healthcheck = "true"

[volumes]
data = {}
"#;

fn project() -> Env {
    Env::project(&[
        ("hd.toml", TOML),
        ("a.txt", "a\n"),
        ("b.txt", "b\n"),
        (".hidden", "seen by no step\n"),
        (".gitignore", "ignored/\n"),
        ("ignored/x", "seen by no step\n"),
    ])
}

/// What a command printed, on standard output.
#[track_caller]
fn printed(env: &Env, args: &[&str]) -> String {
    env.hd(args).finish().ok().stdout
}

#[test]
fn steps_are_named_as_status_names_them() {
    skip_unless!(needs::fuse());
    let env = project();
    let built = env.hd(["up", "--once"]).finish().ok();
    let hidden = [
        "looked for .hidden, hidden by exclude[0] (taking exclude[0] out of [files] shows it)",
        "looked for ignored, hidden by .gitignore:1 (include = [\".\", \"ignored\"] shows it)",
    ];
    for words in hidden {
        assert!(built.stderr.contains(words), "{}", built.said());
    }
    // What comes of [dependencies] counts, as in the table of steps.
    let why = printed(&env, &["why", "step-3"]);
    assert!(why.starts_with("step-3 ("), "{why}");
    let wrong = env.hd(["why", "step-x"]).finish().expect_code(2);
    assert!(
        wrong.stderr.contains("no step or service"),
        "{}",
        wrong.said()
    );
    let early = env.hd(["why", "step-9"]).finish().expect_code(2);
    assert!(
        early.stderr.contains("has not been reached"),
        "{}",
        early.said()
    );

    let read = printed(&env, &["watch", "--explain", "a.txt"]);
    assert!(
        read.contains("step-2 (") && read.contains("runs again"),
        "{read}"
    );
    let unread = printed(&env, &["watch", "--explain", "b.txt"]);
    assert!(unread.contains("no step has looked at it"), "{unread}");

    let again = ["up", "--once", "--json", "--rerun", "step-2"];
    env.hd(again).finish().ok().report().ran(&["step-2"]);
    env.hd(["up", "--rerun", "step-2"]).finish().expect_code(2);

    let wiped = env.hd(["cache", "rm", "kept"]).finish().ok();
    assert_eq!(wiped.stderr.matches("kept").count(), 1, "{}", wiped.said());
}

#[test]
fn what_only_built_shows_no_service_that_waits() {
    skip_unless!(needs::fuse());
    let env = project();
    env.once();
    let status = printed(&env, &["status"]);
    assert!(status.contains("not running"), "{status}");
    assert!(!status.contains("waiting"), "{status}");
    let ports = printed(&env, &["config", "services.web.port"]);
    let keys: Vec<&str> = ports
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(keys, ["services.web-1.port", "services.web-2.port"]);
    let kept_for = printed(&env, &["cas", "df"]);
    let no_name = |line: &&str| line.starts_with("project") && !line.contains('/');
    assert_eq!(kept_for.lines().find(no_name), None, "{kept_for}");
}

#[test]
fn directories_that_volumes_are_mounted_on_were_written_by_nobody() {
    skip_unless!(needs::fuse(), needs::registry());
    let registry = needs::registry().expect("checked by skip_unless");
    let toml = format!(
        "[environment]\nname = \"mounted\"\nbase = \"{registry}/debian:12-slim\"\n\n\
         [services.db]\ncommand = \"sleep 1000\"\nhealthcheck = \"true\"\n\
         volumes = [\"data:/data/db\", \"tmpfs:/scratch/deep\"]\n\n[volumes]\ndata = {{}}\n"
    );
    let env = Env::project(&[("hd.toml", &toml)]);
    let mut up = env.up();
    up.wait_line(0, &["db", "ready"]);
    assert_eq!(printed(&env, &["diff"]), "");
    let write = "echo x > /scratch/own; echo y > /scratch/deep/theirs";
    env.hd(["exec", "-s", "db", "sh", "-c", write])
        .finish()
        .ok();
    let db = |path: &str| format!("db + {path}\n");
    assert_eq!(printed(&env, &["diff"]), db("/scratch/own"));
    // A snapshot has no more of it than that.
    let kept = env.hd(["snapshot", "one"]).finish().ok();
    assert!(kept.stderr.contains("db: 1 path"), "{}", kept.said());
}

#[test]
fn a_link_makes_a_project_of_the_directory_it_stands_in() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("a.txt", "a\n"), ("shared/x", "")]);
    let text = "[environment]\nname = \"linked\"\nenv_file = \"own.env\"\n\n\
        [services.web]\ncommand = [\"sh\", \"-c\", \"echo $WHO $SO; exec sleep 1000\"]\n";
    let outside = env.mark().join("outside");
    files::write(&outside.join("hd.toml"), text);
    files::write(&outside.join("web.env"), "WHO=one\n");
    for (name, leads_to) in [("hd.toml", "hd.toml"), ("own.env", "web.env")] {
        let link = env.path(name);
        std::os::unix::fs::symlink(outside.join(leads_to), link).expect("make a link");
    }
    let mut up = env.up();
    up.wait_line(0, &["web", "one"]);
    let listed = printed(&env, &["ls"]);
    assert!(
        listed.contains(&env.path("").display().to_string()),
        "{listed}"
    );

    // What the links lead to is followed, in place and by a new file.
    let from = up.so_far();
    files::write(&outside.join("web.env"), "WHO=two\n");
    up.wait_line(from, &["web", "two"]);
    let from = up.so_far();
    let more = format!("{text}env = {{ SO = \"three\" }}\n");
    files::save_by_rename(&outside.join("hd.toml"), &more);
    up.wait_line(from, &["web", "two three"]);
    // The link itself, too.
    let from = up.so_far();
    files::write(&outside.join("other.env"), "WHO=four\n");
    std::fs::remove_file(env.path("own.env")).expect("remove the link");
    std::os::unix::fs::symlink(outside.join("other.env"), env.path("own.env")).expect("a link");
    up.wait_line(from, &["web", "four three"]);
    let from = up.so_far();
    files::write(&outside.join("other.env"), "WHO=five\n");
    up.wait_line(from, &["web", "five three"]);
}
