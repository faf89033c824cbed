//! Services on the live project: what the host does to it shows at once, and what hd put there never
//! stands in its way.

use std::fs;

use hd_integration::disk::Disk;
use hd_integration::{Env, Up, files, needs, samples, skip_unless};

/// A server whose answer is an output, seen through its mount over the project.
fn serving() -> (Env, Up) {
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    (env, up)
}

#[test]
fn git_clean_takes_the_mount_point_and_it_comes_back() {
    skip_unless!(needs::fuse());
    let (env, mut up) = serving();
    let from = up.so_far();
    env.git(&["clean", "-fdxq"]);
    up.wait_line(from, &["restart"]);
    up.wait_http(env.port(0), "/", "one");
    files::write(&env.path("source.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
}

#[test]
fn git_checkout_there_and_back_is_followed_and_the_way_back_runs_nothing() {
    skip_unless!(needs::fuse());
    let (env, mut up) = serving();
    env.git(&["checkout", "-q", "-b", "other"]);
    files::write(&env.path("source.txt"), "of the branch\n");
    env.git(&["commit", "-qam", "other"]);
    up.wait_http(env.port(0), "/", "of the branch");
    env.git(&["checkout", "-q", "-"]);
    up.wait_http(env.port(0), "/", "one");
    let ran = env.status().steps("ran").len();
    assert_eq!(ran, 0, "the result of the first branch is still there");
}

#[test]
fn a_save_by_rename_is_followed_again_and_again() {
    skip_unless!(needs::fuse());
    let (env, mut up) = serving();
    for text in ["two", "three", "four"] {
        files::save_by_rename(&env.path("source.txt"), &format!("{text}\n"));
        up.wait_http(env.port(0), "/", text);
    }
}

#[test]
fn a_directory_of_the_hosts_own_under_an_output_is_left_as_it_is() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    // As a node_modules that the person's own npm made: ignored, so no part of the project.
    files::write(&env.path("out/answer.txt"), "the host's own\n");
    files::write(&env.path("out/deep/more.txt"), "more\n");
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    assert_eq!(files::read(&env.path("out/answer.txt")), "the host's own\n");
    files::write(&env.path("source.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    up.interrupt();
    assert_eq!(files::read(&env.path("out/answer.txt")), "the host's own\n");
    assert_eq!(files::read(&env.path("out/deep/more.txt")), "more\n");
}

#[test]
fn what_the_host_mounted_below_the_project_is_seen_and_written_there() {
    skip_unless!(needs::fuse(), needs::root());
    let env = Env::project(&[(
        "hd.toml",
        r#"
[environment]
name = "mounted"

[services.web]
command = "echo kept > data/written; exec python3 -m http.server -d data 5000"
port = 5000
"#,
    )]);
    let disk = Disk::tmpfs(&env.path("data"), "size=1m");
    files::write(&env.path("data/index.html"), "of the disk\n");
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "of the disk");
    assert_eq!(files::read(&env.path("data/written")), "kept\n");
    up.interrupt();
    drop(disk);
    assert!(!env.path("data/written").exists(), "below the mount");
}

#[test]
fn another_directory_in_the_place_of_the_project_is_what_services_see() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let env = Env::project(&[
        (
            "hd.toml",
            r#"
[environment]
name = "exchanged"

[services.web]
command = "python3 -m http.server 5000"
port = 5000
watch = ["nothing.txt"]
"#,
        ),
        ("page.txt", "one\n"),
    ]);
    let mut up = env.up();
    up.wait_http(env.port(0), "/page.txt", "one");
    let beside = |name: &str| env.path("").with_file_name(name);
    files::copy_tree(&env.path(""), &beside("copy"), &[]);
    files::write(&beside("copy").join("page.txt"), "two\n");
    fs::rename(env.path(""), beside("old")).expect("move the project away");
    fs::rename(beside("copy"), env.path("")).expect("put the copy in its place");
    up.wait_http(env.port(0), "/page.txt", "two");
    up.wait_line(
        0,
        &["web", "another directory is in the place of the project"],
    );
    // As a clone does it: for a while the new one has nothing that is declared.
    let toml = files::read(&env.path("hd.toml"));
    fs::remove_dir_all(env.path("")).expect("remove the project");
    files::write(&env.path("page.txt"), "three\n");
    files::write(&env.path("hd.toml"), &toml);
    up.wait_http(env.port(0), "/page.txt", "three");
}

/// What the host had there is part of the project, so the output could not be shown; then it is gone.
#[test]
fn an_output_is_shown_once_the_hosts_own_directory_is_gone() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    files::write(&env.path(".gitignore"), "__pycache__/\n");
    files::replace(&env.path("hd.toml"), "mkdir out", "mkdir -p out");
    files::write(&env.path("out/answer.txt"), "not from a step\n");
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "not from a step");
    fs::remove_dir_all(env.path("out")).expect("remove");
    up.wait_http(env.port(0), "/", "one");
    up.interrupt();
    assert!(!env.path("out").exists(), "hd's own mount point stays");
}

const WATCHER: &str = r#"
[environment]
name = "watcher"

[services.watcher]
command = "node watch.js"
watch = []
"#;

const WATCH_JS: &str = r#"
const fs = require("fs");
fs.watch(".", (event, name) => {
  if (name === "page.txt") console.log("seen", fs.readFileSync("page.txt", "utf8").trim());
});
console.log("watching");
"#;

#[test]
fn a_watcher_inside_a_service_sees_the_first_and_the_tenth_edit() {
    skip_unless!(needs::fuse(), needs::program("node"));
    let env = Env::project(&[
        ("hd.toml", WATCHER),
        ("watch.js", WATCH_JS),
        ("page.txt", "nothing yet\n"),
    ]);
    let mut up = env.up();
    up.wait_line(0, &["watching"]);
    for number in 1..=10 {
        let text = format!("edit-{number}\n");
        // Some editors write in place, others rename.
        if number % 2 == 0 {
            files::save_by_rename(&env.path("page.txt"), &text);
        } else {
            files::write(&env.path("page.txt"), &text);
        }
        up.wait_line(0, &["seen", text.trim()]);
    }
    let status = env.status();
    let restarts = &status.service("watcher")["restarts"];
    assert_eq!(restarts["watch"], 0, "it saw them itself");
}
