//! Several instances of one directory, and one for each working tree: own ports, state and logs, one
//! store.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use hd_integration::{Env, SHORT, files, leftovers, needs, skip_unless};

const TOML: &str = r#"[environment]
name = "many"
[build]
steps = ["cat source.txt > made.txt"]
[services.web]
command = ["sh", "-c", "echo port $PORT; exec sleep 1000"]
port = "auto"
healthcheck = "true"
"#;

fn port(env: &Env, instance: &[&str]) -> String {
    let args = [instance, &["port", "web"]].concat();
    env.hd(args).finish().ok().stdout
}

#[test]
fn instances_of_one_directory_run_beside_each_other() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML), ("source.txt", "one\n")]);
    env.hd(["up", "--wait"]).finish().ok();
    env.hd(["-p", "blue", "up", "--wait"]).finish().ok();
    let (plain, blue) = (port(&env, &[]), port(&env, &["-p", "blue"]));
    assert_ne!(plain, blue);
    // The store is one: what the first has made the second keeps.
    let report = env
        .hd(["-p", "blue", "status", "--json"])
        .finish()
        .ok()
        .report();
    assert_eq!(report.steps("kept"), ["step-1"]);
    let listed = env.hd(["ls", "--json"]).finish().ok().json();
    let all = listed["instances"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> = all.iter().map(|one| one["instance"].to_string()).collect();
    names.sort();
    assert_eq!(names, ["\"blue\"", "null"]);
    let shown = env.hd(["ls"]).finish().ok().stdout;
    assert!(shown.contains("many (blue)"), "{shown}");

    env.hd(["stop", "web"])
        .env("HD_INSTANCE", "blue")
        .finish()
        .ok();
    assert_eq!(env.status().service("web")["state"], "ready");
    let logs = env
        .hd(["logs", "-p", "blue", "--no-prefix"])
        .finish()
        .ok()
        .stdout;
    let number = blue
        .trim()
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    assert!(logs.contains(&format!("port {number}\n")), "{logs}");

    env.hd(["down"]).finish().ok();
    let gone = env.hd(["port", "web"]).finish().expect_code(2);
    assert!(gone.stderr.contains("is not running"), "{}", gone.said());
    // The same port next time; the other one never noticed.
    env.hd(["-p", "blue", "restart", "web"]).finish().ok();
    env.hd(["-p", "blue", "wait"]).finish().ok();
    assert_eq!(port(&env, &["-p", "blue"]), blue);
    env.hd(["-p", "blue", "down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
    let wrong = env.hd(["-p", "../x", "status"]).finish().expect_code(2);
    assert!(
        wrong.stderr.contains("no name of an instance"),
        "{}",
        wrong.said()
    );
}

#[test]
fn each_working_tree_has_an_instance_of_its_own() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML), ("source.txt", "one\n")]);
    let tree = env.mark().join("tree");
    let place = tree.to_str().expect("a plain path");
    env.git(&["worktree", "add", "--quiet", place, "HEAD"]);
    env.hd(["up", "--wait"]).finish().ok();
    env.hd(["-C", place, "up", "--wait"]).finish().ok();
    assert_ne!(port(&env, &[]), port(&env, &["-C", place]));
    let report = env
        .hd(["-C", place, "status", "--json"])
        .finish()
        .ok()
        .report();
    assert_eq!(report.steps("kept"), ["step-1"], "the store is shared");
    files::write(&tree.join("source.txt"), "two\n");
    env.hd(["-C", place, "build"]).finish().ok();
    let root = |args: &[&str]| {
        let args = [args, &["status", "--json"]].concat();
        env.hd(args).finish().ok().json()["root"].clone()
    };
    assert_ne!(root(&[]), root(&["-C", place]));
    for place in [&[][..], &["-C", place]] {
        env.hd([place, &["down"]].concat()).finish().ok();
    }
    leftovers::expect_none(env.mark(), SHORT);
}

/// Asks on a control socket, as this user; prints what is answered.
const ASK_PY: &str = r#"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
try:
    s.sendall(b'{"verb":"down","now":true}\n')
except BrokenPipeError:
    pass  # it was refused before it was heard
print(s.makefile().readline(), end="")
"#;

#[test]
fn the_control_socket_is_its_owners_alone() {
    skip_unless!(needs::fuse(), needs::root(), needs::program("python3"));
    let env = Env::project(&[("hd.toml", TOML), ("source.txt", "one\n")]);
    env.hd(["up", "--wait"]).finish().ok();
    let instances = env.home().join("instances");
    let instance = fs::read_dir(&instances).unwrap().next().unwrap().unwrap();
    let socket = instance.path().join("control.sock");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&socket), mode(&instance.path())), (0o600, 0o700));
    let nobody = || {
        let mut ask = Command::new("python3");
        ask.args(["-I", "-c", ASK_PY])
            .arg(&socket)
            .uid(65534)
            .gid(65534);
        let said = ask.current_dir("/").output().unwrap();
        String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned()
    };
    assert!(nobody().contains("PermissionError"), "{}", nobody());
    // However open the place is, who asks is looked at.
    for (path, open) in [
        (env.home().to_owned(), 0o755),
        (instances, 0o755),
        (instance.path(), 0o755),
        (socket.clone(), 0o666),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(open)).unwrap();
    }
    let told = nobody();
    assert!(told.contains("belongs to another user"), "{told}");
    assert_eq!(env.status().service("web")["state"], "ready");
    env.hd(["down"]).finish().ok();
}

#[test]
fn a_second_up_attaches_and_its_end_is_not_that_of_the_first() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML), ("source.txt", "one\n")]);
    let mut first = env.up();
    first.wait_line(0, &["web", "ready"]);
    let pid = env.status().service("web")["pid"].clone();
    env.hd(["stop", "web"]).finish().ok();
    let mut second = env.up();
    second.wait_line(0, &["runs already: attached"]);
    // What was stopped is started, and both hear of it.
    first.until("web is started", || {
        let web = env.status().service("web").clone();
        (web["state"] == "ready" && web["pid"] != pid).then_some(())
    });
    let from = second.so_far();
    env.hd(["restart", "web"]).finish().ok();
    second.wait_line(from, &["web", "ready"]);
    second.interrupt();
    assert_eq!(env.status().service("web")["state"], "ready");
    let again = env.hd(["up", "-d"]).finish().ok();
    assert!(again.stderr.contains("runs already"), "{}", again.said());
    assert_eq!(first.interrupt().code(), Some(130));
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn instances_of_one_directory_share_what_outputs_lie_on() {
    skip_unless!(needs::fuse());
    let toml = TOML.replace(
        "cat source.txt > made.txt",
        "mkdir made && cp source.txt made/text",
    );
    let env = Env::project(&[("hd.toml", &toml), ("source.txt", "one\n")]);
    let first = env.once();
    let root = first.root();
    let say = |instance: &[&str], args: &[&str]| {
        let args = [instance, args].concat();
        env.hd(args).finish().ok().stdout
    };
    let blue: &[&str] = &["-p", "blue"];
    say(&[], &["up", "--wait"]);
    say(blue, &["up", "--wait"]);
    let status = |instance: &[&str]| {
        let args = [instance, &["status", "--json"]].concat();
        env.hd(args).finish().ok().report()
    };
    // What one has made to mount on is no file of the other's project, nor of a third's.
    assert_eq!(status(blue).root(), root);
    assert_eq!(say(blue, &["exec", "cat", "made/text"]), "one\n");
    let third = env
        .hd(["-p", "third", "up", "--once", "--json"])
        .finish()
        .ok();
    assert_eq!(third.report().root(), root);

    let pid = status(blue).service("web")["pid"].clone();
    say(&[], &["down"]);
    assert!(env.path("made").is_dir(), "the other one lies on it");
    assert_eq!(say(blue, &["exec", "cat", "made/text"]), "one\n");
    assert_eq!(status(blue).service("web")["pid"], pid);
    say(blue, &["down"]);
    assert!(!env.path("made").exists());
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_build_leaves_the_port_of_a_service_as_it_is() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML), ("source.txt", "one\n")]);
    env.hd(["up", "--wait"]).finish().ok();
    let before = port(&env, &[]);
    env.hd(["down"]).finish().ok();
    // Somebody has it while the project is built, and only then.
    let number = before.trim().rsplit(':').next().expect("a port");
    let number: u16 = number.parse().expect("a number");
    let other = TcpListener::bind(("127.0.0.1", number)).expect("listen");
    files::write(&env.path("source.txt"), "two\n");
    env.hd(["build"]).finish().ok();
    drop(other);
    env.hd(["up", "--wait"]).finish().ok();
    assert_eq!(port(&env, &[]), before);
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}
