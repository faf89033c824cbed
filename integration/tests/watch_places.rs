//! Watching where file systems and editors are peculiar: nothing is lost, nothing comes twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hd_integration::{Env, Run, Up, files, needs, skip_unless};
use rustix::process::{Pid, Signal, kill_process};

const TOML: &str = "[environment]\nname = \"places\"\n\n[services.web]\ncommand = [\"sh\", \"-c\", \"ls | tr '\\\\n' ' '; cat *.txt src/*.txt 2>/dev/null | tr '\\\\n' ' '; echo; exec sleep 1000\"]\nwatch = [\"*.txt\"]\nstop_grace = \"300ms\"\n";

fn fill(root: &Path) {
    fs::create_dir_all(root.join("src")).unwrap();
    for (name, text) in [
        ("hd.toml", TOML),
        ("a.txt", "one\n"),
        ("src/b.txt", "two\n"),
    ] {
        fs::write(root.join(name), text).unwrap();
    }
}

fn restarts(env: &Env) -> u64 {
    let count = env.status().service("web")["restarts"]["watch"].as_u64();
    count.expect("a count")
}

/// What is known is what a look at everything finds.
fn nothing_was_lost(env: &Env) {
    let root = env.status().root().to_owned();
    env.hd(["build"]).finish().ok();
    assert_eq!(env.status().root(), root, "a look at everything finds more");
}

/// Saves in all ways, renames, removes, replaces: each is seen.
fn edits_are_seen(env: &Env, up: &mut Up) {
    up.wait_line(0, &["web", "ready"]);
    let mut seen = |what: &str, words: &[&str], edit: &dyn Fn()| {
        let from = up.so_far();
        edit();
        let line = up.wait_line(from, &[words, &["restart web"]].concat());
        assert!(!line.is_empty(), "{what}");
    };
    let at = |name: &str| env.path(name);
    seen("written", &["a.txt"], &|| {
        files::write(&at("a.txt"), "three\n")
    });
    seen("saved by renaming", &["a.txt"], &|| {
        files::save_by_rename(&at("a.txt"), "four\n");
    });
    seen("another case", &["A.txt"], &|| {
        fs::rename(at("a.txt"), at("A.txt")).unwrap();
    });
    seen("and back", &["a.txt"], &|| {
        fs::rename(at("A.txt"), at("a.txt")).unwrap();
    });
    seen("a directory removed", &["src/b.txt"], &|| {
        fs::remove_dir_all(at("src")).unwrap();
    });
    seen("and replaced", &["src/c.txt"], &|| {
        fs::create_dir(at("src")).unwrap();
        fs::write(at("src/c.txt"), "five\n").unwrap();
    });
    seen("written in the new one", &["src/c.txt"], &|| {
        files::write(&at("src/c.txt"), "six\n");
    });
    nothing_was_lost(env);
}

#[test]
fn on_the_file_system_of_the_tests() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[]);
    fill(&env.path(""));
    let mut up = env.up();
    edits_are_seen(&env, &mut up);
}

/// A mount that goes with the test.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, arguments: &[&str]) -> Self {
        let done = Command::new("mount").args(arguments).arg(at).status();
        assert!(done.unwrap().success(), "mount {arguments:?}");
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn on_tmpfs() {
    skip_unless!(needs::fuse(), needs::root());
    let env = Env::project(&[]);
    let _mounted = Mounted::new(&env.path(""), &["-t", "tmpfs", "tmpfs"]);
    fill(&env.path(""));
    let mut up = env.up();
    edits_are_seen(&env, &mut up);
    up.interrupt();
}

#[test]
fn on_overlayfs() {
    skip_unless!(needs::fuse(), needs::root());
    let env = Env::project(&[]);
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
    for name in ["lower", "upper", "work"] {
        fs::create_dir(place.path().join(name)).unwrap();
    }
    // What is edited lies in the lower: the first edit copies it up, under another inode.
    fill(&place.path().join("lower"));
    let of = |name: &str| place.path().join(name).display().to_string();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        of("lower"),
        of("upper"),
        of("work")
    );
    let _mounted = Mounted::new(&env.path(""), &["-t", "overlay", "-o", &options, "overlay"]);
    let mut up = env.up();
    edits_are_seen(&env, &mut up);
    up.interrupt();
}

#[test]
fn a_checkout_of_twenty_thousand_files_is_a_restart_or_two() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[]);
    fill(&env.path(""));
    env.git(&["add", "-A"]);
    env.git(&["commit", "-qm", "few"]);
    env.git(&["checkout", "-qb", "many"]);
    for dir in 0..200 {
        let dir = env.path(&format!("d{}/e{dir}", dir / 20));
        fs::create_dir_all(&dir).unwrap();
        for file in 0..100 {
            fs::write(dir.join(format!("f{file}.txt")), "1\n").unwrap();
        }
    }
    env.git(&["add", "-A"]);
    env.git(&["commit", "-qm", "many"]);
    env.git(&["checkout", "-q", "-"]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let from = up.so_far();
    let began = std::time::Instant::now();
    env.git(&["checkout", "-q", "many"]);
    let seconds = began.elapsed().as_secs();
    up.until("all are known", || {
        (env.status().value()["files"] == 20_003).then_some(())
    });
    up.wait_line(from, &["more", "restart web"]);
    // One, on a machine that lets git write without a pause; a busy one makes it pause, again and again.
    let (count, most) = (restarts(&env), 4 + 20 * seconds);
    assert!(
        (1..=most).contains(&count),
        "{count} restarts\n{}",
        up.said()
    );
    nothing_was_lost(&env);
}

const QUEUE: &str = "/proc/sys/fs/inotify/max_queued_events";

/// The length of new queues of events, for as long as a runtime takes to make its own.
struct Queue(String);

impl Queue {
    fn short() -> Self {
        let before = fs::read_to_string(QUEUE).unwrap();
        fs::write(QUEUE, "16").unwrap();
        Self(before)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        fs::write(QUEUE, &self.0).unwrap();
    }
}

#[test]
fn more_events_than_the_kernel_queues_lose_nothing() {
    skip_unless!(needs::fuse(), needs::root());
    let env = Env::project(&[]);
    fill(&env.path(""));
    let queue = Queue::short();
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    drop(queue);
    let hd = Pid::from_raw(up.pid()).unwrap();
    kill_process(hd, Signal::STOP).unwrap();
    for number in 0..300 {
        fs::write(env.path(&format!("more-{number}.txt")), "more\n").unwrap();
    }
    fs::remove_file(env.path("a.txt")).unwrap();
    kill_process(hd, Signal::CONT).unwrap();
    up.until("all is seen", || {
        let count = env.status().value()["files"].as_u64();
        (count == Some(302)).then_some(())
    });
    nothing_was_lost(&env);
    let from = up.so_far();
    files::write(&env.path("more-7.txt"), "edited\n");
    up.wait_line(from, &["more-7.txt", "restart web"]);
}

/// Sets how many directories may be watched in the user namespace of a process.
fn allow_watches(pid: i32, count: u32) {
    let script = format!("echo {count} >/proc/sys/user/max_inotify_watches");
    let enter = Run::new(Path::new("nsenter")).args(["--user", "--target", &pid.to_string()]);
    enter.args(["sh", "-c", &script]).finish().ok();
}

#[test]
fn where_no_more_directories_may_be_watched_edits_are_found_by_looking() {
    skip_unless!(needs::fuse(), needs::root());
    // An ordinary user has a user namespace of his own, and such a limit of its own with it.
    let mut env = Env::project(&[
        ("hd.toml", TOML),
        ("a.txt", "one\n"),
        ("src/b.txt", "two\n"),
    ]);
    let user = env.as_user(false).clone();
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    allow_watches(up.pid(), 1);
    for place in ["late", "later"] {
        let from = up.so_far();
        fs::create_dir(env.path(place)).unwrap();
        fs::write(env.path(place).join("c.txt"), "three\n").unwrap();
        user.own(&env.path(place));
        up.wait_line(from, &[&format!("{place}/c.txt"), "restart web"]);
        // No event tells of this one.
        let from = up.so_far();
        files::write(&env.path(place).join("c.txt"), "four\n");
        up.wait_line(from, &[&format!("{place}/c.txt"), "restart web"]);
    }
    let said = up.said();
    let told = said
        .lines()
        .filter(|line| line.contains("not all directories are watched"));
    let told: Vec<&str> = told.collect();
    assert_eq!(told.len(), 1, "it is told once: {said}");
    assert!(
        told[0].contains("sysctl -w fs.inotify.max_user_watches="),
        "{}",
        told[0]
    );
    allow_watches(up.pid(), 100_000);
    nothing_was_lost(&env);
    up.interrupt();
}

#[test]
fn an_ignore_file_that_hides_itself_is_followed() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[
        ("hd.toml", TOML),
        ("a.txt", "one\n"),
        ("src/b.md", "two\n"),
        ("src/.gitignore", "*\n"),
    ]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let mut count = |what: &str, expected| {
        up.until(what, || {
            let count = env.status().value()["files"].as_u64();
            (count == Some(expected)).then_some(())
        });
    };
    count("all in src is hidden", 2);
    files::write(&env.path("src/.gitignore"), "#\n");
    count("nothing is hidden", 4);
    files::write(&env.path("src/.gitignore"), "*\n");
    count("all is hidden once more", 2);
    fs::remove_file(env.path("src/.gitignore")).unwrap();
    count("what hid it is gone", 3);
    nothing_was_lost(&env);
}

#[test]
fn what_is_written_under_one_name_of_a_file_is_seen_under_all() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML), ("a.txt", "one\n"), ("src/b.md", "")]);
    let other = env.path("src/other.md");
    fs::hard_link(env.path("a.txt"), &other).unwrap();
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let from = up.so_far();
    files::write(&other, "two\n");
    up.wait_line(from, &["a.txt", "src/other.md", "restart web"]);
    nothing_was_lost(&env);
}

#[test]
fn what_is_watched_below_ignored_directories_is_seen() {
    skip_unless!(needs::fuse());
    let toml = TOML.replace(
        "\"*.txt\"",
        "\"public/build/**\", \"dist\", \"storage/**/*.log\"",
    );
    let files = [
        "public/build/app.js",
        "public/build/assets/app.js",
        "dist/x.js",
        "storage/logs/deep/a.log",
    ];
    let mut all = vec![
        ("hd.toml", toml.as_str()),
        (
            ".gitignore",
            "public/build/*\n!public/build/.gitkeep\ndist\n",
        ),
        ("storage/.gitignore", "*\n!.gitignore\n"),
        ("storage/logs/deep/a.txt", ""),
    ];
    all.extend(files.map(|name| (name, "")));
    let env = Env::project(&all);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    for name in files {
        let from = up.so_far();
        files::write(&env.path(name), "edited\n");
        up.wait_line(from, &[name, "restart web"]);
        let explained = env.hd(["watch", "--explain", name]).finish().ok().stdout;
        assert!(explained.contains("counts because of"), "{explained}");
    }
    // In a directory that is there for what is watched in it, nothing else counts.
    let args = ["watch", "--explain", "storage/logs/deep/a.txt"];
    let explained = env.hd(args).finish().ok().stdout;
    let words = "does not count: hidden by storage/.gitignore:1";
    assert!(explained.contains(words), "{explained}");
    assert_eq!(env.status().value()["files"], 7);
    nothing_was_lost(&env);
}
