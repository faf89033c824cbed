//! What follows a running hd stays as long as that runs and somebody reads, and no longer.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use hd_integration::{Env, LONG, SHORT, leftovers, needs, poll, skip_unless, until};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::Signal;

/// It says one line, and then nothing for as long as a test takes.
const TOML: &str = r#"
[environment]
name = "followed"
[services.web]
command = "echo says this; exec sleep 1000"
healthcheck = { log = "says this" }
"#;

fn follow(env: &Env, verb: &[&str]) -> Child {
    let mut command = env.hd(verb).into_command();
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("start hd")
}

#[test]
fn whoever_prints_ends_when_its_reader_does() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    env.hd(["up", "-d", "--wait"]).finish().ok();
    let mut logs = follow(&env, &["logs", "-f", "web"]);
    let mut lines = BufReader::new(logs.stdout.take().expect("a pipe")).lines();
    let found = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("says this")));
    assert!(found.is_some());
    drop(lines);
    let verbs: [&[&str]; 3] = [&["events"], &["attach"], &["up"]];
    let mut others = verbs.map(|verb| {
        let mut child = follow(&env, verb);
        drop(child.stdout.take());
        (verb[0], child)
    });
    let others = others.iter_mut().map(|(verb, child)| (*verb, child));
    for (verb, child) in [("logs", &mut logs)].into_iter().chain(others) {
        let ended = until(verb, LONG, || child.try_wait().expect("wait"));
        // As if SIGPIPE had ended it.
        assert_eq!(ended.code(), Some(141), "{verb}");
    }
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}

/// Fills the queue of those who want to talk to hd, until it takes no more.
fn fill(control: &Path) {
    let address = SocketAddrUnix::new(control).expect("an address");
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let one = || -> rustix::io::Result<OwnedFd> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &address).map(|()| socket)
    };
    loop {
        match one() {
            // It stays in the queue though this end of it is closed.
            Ok(socket) => drop(socket),
            Err(Errno::AGAIN) => return,
            Err(e) => panic!("connect: {e}"),
        }
    }
}

fn control(env: &Env) -> PathBuf {
    let instances = env.instances().into_iter();
    let mut sockets = instances.map(|one| one.join("control.sock"));
    sockets.find(|path| path.exists()).expect("a socket")
}

#[test]
fn logs_are_followed_though_hd_is_too_busy_to_answer() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let mut logs = follow(&env, &["logs", "-f", "web"]);
    let mut lines = BufReader::new(logs.stdout.take().expect("a pipe")).lines();
    let mut next = |text: &str| lines.any(|line| line.is_ok_and(|line| line.contains(text)));
    assert!(next("says this"));
    leftovers::signal(up.pid(), Signal::STOP);
    fill(&control(&env));
    // Longer than it takes to look whether hd runs, and to wait for an answer.
    poll::never("the logs end", Duration::from_secs(6), || {
        logs.try_wait().expect("wait")
    });
    leftovers::signal(up.pid(), Signal::CONT);
    env.hd(["restart", "web"]).finish().ok();
    assert!(next("says this"));
    env.hd(["down"]).finish().ok();
    let ended = until("the logs end with hd", LONG, || {
        logs.try_wait().expect("wait")
    });
    assert_eq!(ended.code(), Some(0));
    up.wait_exit(LONG);
    leftovers::expect_none(env.mark(), SHORT);
}
