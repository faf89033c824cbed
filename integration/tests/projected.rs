//! Services on a projected project: an immutable snapshot under a write layer of their own, with the
//! host's edits written through.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use hd_integration::{Env, SHORT, Up, files, http, leftovers, needs, samples, skip_unless};

fn projected(env: Env) -> Env {
    let toml = env.path("hd.toml");
    files::replace(&toml, "[options]", "[options]\nproject = \"projected\"");
    env.git(&["commit", "-qam", "projected"]);
    env
}

fn serving() -> (Env, Up) {
    let env = projected(samples::server());
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    (env, up)
}

fn inside(env: &Env, script: &str) -> String {
    let done = env.hd(["exec", "sh", "-c", script]).finish().ok();
    done.stdout
}

/// Looks inside until `script` prints `expected`: what is not there yet is looked for again, and so
/// is what a restart of the service for that very edit ended.
fn shows(env: &Env, up: &mut Up, script: &str, expected: &str) {
    up.until(script, || {
        let look = env.hd(["exec", "sh", "-c", script]).finish();
        (look.stdout == expected).then_some(())
    });
}

#[test]
fn what_a_service_writes_stays_its_own() {
    skip_unless!(needs::fuse());
    let (env, mut up) = serving();
    inside(
        &env,
        "echo mine > made && echo changed > answer.txt && rm serve.py",
    );
    assert!(!env.path("made").exists());
    assert_eq!(files::read(&env.path("answer.txt")), "one\n");
    assert!(env.path("serve.py").exists());
    assert_eq!(env.added(), [""; 0]);
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn each_kind_of_edit_is_written_through() {
    skip_unless!(needs::fuse());
    let (env, mut up) = serving();
    files::write(&env.path("answer.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    let shows = |up: &mut Up, script: &str, expected: &str| shows(&env, up, script, expected);
    // None of these restarts the service: they are seen by what runs.
    files::write(&env.path("new/deep/file"), "made\n");
    shows(&mut up, "cat new/deep/file", "made\n");
    files::save_by_rename(&env.path("new/deep/file"), "saved\n");
    shows(&mut up, "cat new/deep/file", "saved\n");
    symlink("deep", env.path("new/link")).expect("a symlink");
    shows(&mut up, "readlink new/link", "deep\n");
    fs::set_permissions(env.path("new/deep/file"), Permissions::from_mode(0o755)).expect("chmod");
    shows(&mut up, "test -x new/deep/file && echo yes", "yes\n");
    fs::remove_file(env.path("new/link")).expect("remove");
    files::write(&env.path("new/link/now"), "a directory\n");
    shows(&mut up, "cat new/link/now", "a directory\n");
    fs::remove_dir_all(env.path("new")).expect("remove");
    shows(&mut up, "ls -d new 2>/dev/null || echo gone", "gone\n");
    // An edit beats what the service did to the same file.
    inside(&env, "echo its own > answer.txt");
    files::write(&env.path("answer.txt"), "three\n");
    up.wait_http(env.port(0), "/", "three");
}

/// Who is told to read a file again finds the edit in it.
#[test]
fn a_signal_comes_after_the_edit() {
    skip_unless!(needs::fuse());
    let server =
        "trap 'cat word.txt > seen.txt' HUP; echo up > seen.txt; while :; do sleep 0.02; done";
    let toml = "[environment]\nname = \"told\"\n\n[services.web]\ncommand = \"sh server.sh\"\nwatch = [{ files = \"word.txt\", action = \"signal=HUP\" }]\n\n[options]\nproject = \"projected\"\n";
    let env = Env::project(&[
        ("hd.toml", toml),
        ("server.sh", server),
        ("word.txt", "0\n"),
    ]);
    let mut up = env.up();
    up.wait_line(0, &["web ready"]);
    let seen = |up: &mut Up, text: &str| {
        up.until(text, || {
            let seen = env.hd(["exec", "cat", "seen.txt"]).finish();
            (seen.stdout == text).then_some(())
        });
    };
    seen(&mut up, "up\n");
    for number in 1..=8 {
        let text = format!("{number}\n");
        files::write(&env.path("word.txt"), &text);
        seen(&mut up, &text);
    }
    up.interrupt();
}

#[test]
fn what_a_service_put_in_the_way_stops_no_other_edit() {
    skip_unless!(needs::fuse());
    let (env, mut up) = serving();
    inside(
        &env,
        "mkdir spot && echo own > spot/own && ln -s deep here && ln -s /tmp away && mkfifo pipe",
    );
    files::write(&env.path("pipe"), "no pipe\n");
    files::write(&env.path("away/in"), "through a link of its own\n");
    files::write(&env.path("spot"), "a file\n");
    symlink("elsewhere", env.path("here")).expect("a symlink");
    files::write(&env.path("answer.txt"), "two\n");
    files::write(&env.path("zz.txt"), "after all\n");
    up.wait_http(env.port(0), "/", "two");
    shows(
        &env,
        &mut up,
        "cat zz.txt pipe && readlink here && cat spot/own && readlink away",
        "after all\nno pipe\nelsewhere\nown\n/tmp\n",
    );
    assert_eq!(
        inside(&env, "ls /tmp/in 2>/dev/null || echo none"),
        "none\n"
    );
    up.wait_line(0, &["web does not see the edit of spot"]);
    // It starts again all the same, and sees what comes.
    env.hd(["restart", "web"]).finish().ok();
    files::write(&env.path("answer.txt"), "three\n");
    up.wait_http(env.port(0), "/", "three");
    // What stood in the way is gone.
    inside(&env, "rm -r spot");
    files::write(&env.path("zz.txt"), "again\n");
    shows(&env, &mut up, "cat zz.txt spot", "again\na file\n");
}

#[test]
fn edits_in_a_directory_that_a_service_replaced_are_told_once() {
    skip_unless!(needs::fuse());
    let env = projected(samples::server());
    for number in 0..40 {
        files::write(&env.path(&format!("public/{number}")), "1\n");
    }
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    inside(&env, "rm -r public && ln -s /tmp public");
    for text in ["2\n", "3\n"] {
        for number in 0..40 {
            files::write(&env.path(&format!("public/{number}")), text);
        }
        files::write(&env.path("zz.txt"), text);
        shows(&env, &mut up, "cat zz.txt", text);
    }
    let said = up.said();
    assert_eq!(
        said.matches("does not see the edit of").count(),
        1,
        "{said}"
    );
    assert!(said.contains("does not see the edit of public,"), "{said}");
    inside(&env, "rm public");
    files::write(&env.path("zz.txt"), "4\n");
    shows(&env, &mut up, "cat zz.txt public/0 public/39", "4\n3\n3\n");
}

#[test]
fn what_a_step_takes_away_stays_away_when_it_is_edited() {
    skip_unless!(needs::fuse());
    let env = projected(samples::server());
    let steps = "\n[build]\nsteps = [\"rm -rf gone.txt samples\"]\n";
    let toml = files::read(&env.path("hd.toml"));
    files::write(&env.path("hd.toml"), &(toml.clone() + steps));
    for file in ["gone.txt", "samples/one", "samples.txt"] {
        files::write(&env.path(file), "first\n");
    }
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    for file in ["gone.txt", "samples/one", "samples.txt"] {
        files::write(&env.path(file), "second\n");
    }
    shows(&env, &mut up, "cat samples.txt", "second\n");
    let look = "ls -d gone.txt samples 2>/dev/null || echo gone";
    shows(&env, &mut up, look, "gone\n");
    // The step is no more: so is what it took away.
    files::write(&env.path("hd.toml"), &toml);
    shows(
        &env,
        &mut up,
        "cat gone.txt samples/one",
        "second\nsecond\n",
    );
}

/// An edit that comes while the first view is made must not leave the service in a view that nobody follows.
#[test]
fn edits_while_hd_begins_reach_the_service() {
    skip_unless!(needs::fuse());
    for _ in 0..4 {
        let env = projected(samples::server());
        let mut up = env.up();
        let mut edits = 0;
        up.until("the first answer", || {
            edits += 1;
            files::write(&env.path("note.md"), &format!("{edits}\n"));
            http::get(env.port(0), "/").filter(|answer| answer.status == 200)
        });
        let last = format!("{edits}\n");
        shows(&env, &mut up, "cat note.md", &last);
        inside(&env, "echo mine > made");
        let written = env.hd(["diff"]).finish().ok().stdout;
        assert!(written.contains("made"), "after {edits} edits: {written}");
        up.interrupt();
    }
}

#[test]
fn outputs_that_live_services_cannot_see_are_seen() {
    skip_unless!(needs::fuse());
    let env = projected(samples::server());
    let steps = "\n[build]\nsteps = [\"mkdir lib/out; cat lib/in > lib/out/made; cat lib/in > made.txt\"]\n";
    let toml = files::read(&env.path("hd.toml"));
    files::write(&env.path("hd.toml"), &(toml + steps));
    files::write(&env.path("lib/in"), "first\n");
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    assert_eq!(inside(&env, "cat lib/out/made made.txt"), "first\nfirst\n");
    files::write(&env.path("lib/in"), "second\n");
    up.until("the step runs again and its output shows", || {
        let text = env.hd(["exec", "cat", "lib/out/made", "lib/in"]).finish();
        (text.stdout == "second\nsecond\n").then_some(())
    });
    assert!(!env.path("made.txt").exists() && !env.path("lib/out").exists());
}

const WATCH_JS: &str = r#"
const fs = require("fs");
fs.watch("page.txt", () => say());
const say = () => console.log("seen", fs.readFileSync("page.txt", "utf8").trim());
console.log("watching");
"#;

#[test]
fn a_watcher_of_a_file_inside_sees_the_first_and_the_tenth_edit() {
    skip_unless!(needs::fuse(), needs::program("node"));
    let toml = "[environment]\nname = \"w\"\n\n[services.watcher]\ncommand = \"node watch.js\"\nwatch = []\n\n[options]\nproject = \"projected\"\n";
    let env = Env::project(&[
        ("hd.toml", toml),
        ("watch.js", WATCH_JS),
        ("page.txt", "nothing yet\n"),
    ]);
    let mut up = env.up();
    up.wait_line(0, &["watching"]);
    for number in 1..=10 {
        let text = format!("edit-{number}\n");
        // On the host a rename; inside it is the same file all the same.
        if number % 2 == 0 {
            files::save_by_rename(&env.path("page.txt"), &text);
        } else {
            files::write(&env.path("page.txt"), &text);
        }
        up.wait_line(0, &["seen", text.trim()]);
    }
}

#[test]
fn an_edit_while_it_was_stopped_is_seen_at_the_next_start() {
    skip_unless!(needs::fuse());
    let (env, mut up) = serving();
    env.hd(["stop", "web"]).finish().ok();
    let from = up.so_far();
    files::write(&env.path("answer.txt"), "two\n");
    up.wait_line(from, &["answer.txt"]);
    env.hd(["start", "web"]).finish().ok();
    up.wait_http(env.port(0), "/", "two");
}

#[test]
fn on_an_image_too() {
    skip_unless!(needs::fuse(), needs::registry());
    let registry = needs::registry().expect("checked");
    let toml = "[environment]\nname = \"i\"\n\n[services.show]\ncommand = \"while :; do cat page.txt; sleep 0.2; done\"\nwatch = []\n\n[options]\nproject = \"projected\"\n";
    let toml = toml
        .replace("\"while", "[\"sh\", \"-c\", \"while")
        .replace("done\"", "done\"]");
    let env = Env::project(&[("hd.toml", &toml), ("page.txt", "page one\n")]);
    let mut up = env.up_with(&["--base", &format!("{registry}/busybox:1")]);
    up.wait_line(0, &["page one"]);
    files::write(&env.path("page.txt"), "page two\n");
    up.wait_line(0, &["page two"]);
}
