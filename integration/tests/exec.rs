//! `hd exec`, `hd run` and `hd shell`: a command inside, its streams, its code, its terminal.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hd_integration::{
    Env, Finished, LONG, Run, SHORT, files, leftovers, needs, poll, skip_unless, until,
};
use rustix::pty::{OpenptFlags, grantpt, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

const TOML: &str = r#"
[environment]
name = "inside"
env = { GREETING = "hello" }

[build]
steps = ["mkdir -p out && cp source.txt out/answer && date +%s%N > out/made"]

[services.first]
command = "sleep 1000"
env = { ROLE = "the first" }

[services.second]
command = "sleep 1001"
env = { ROLE = "the second" }

[services.job]
command = "true"
kind = "oneshot"

[options]
restart_grace = "1s"
"#;

fn project() -> Env {
    Env::project(&[
        ("hd.toml", TOML),
        ("source.txt", "one\n"),
        ("not-a-program", "text\n"),
        (".gitignore", "/out/\n"),
    ])
}

fn up(env: &Env) {
    env.hd(["up", "-d", "--wait"]).finish().ok();
}

fn down(env: &Env) {
    env.hd(["down"]).finish().ok();
    nothing_is_left(env);
}

#[track_caller]
fn nothing_is_left(env: &Env) {
    leftovers::expect_none(env.mark(), SHORT);
    assert_eq!(env.git(&["status", "--porcelain", "--ignored"]), "");
    assert!(!env.path("out").exists());
    let secrets = files_named(env, "services");
    assert!(secrets.is_empty(), "{secrets:?}");
}

fn files_named(env: &Env, name: &str) -> Vec<std::path::PathBuf> {
    let paths = env.instances().into_iter().map(|one| one.join(name));
    paths.filter(|path| path.exists()).collect()
}

fn sh(env: &Env, verb: &[&str], script: &str) -> Finished {
    let line = [verb, &["sh", "-c", script]].concat();
    env.hd(line).finish()
}

fn codes_come_through(env: &Env, verb: &str) {
    let scripts = [
        ("true", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ];
    for (script, code) in scripts {
        sh(env, &[verb], script).expect_code(code);
    }
    for (program, code) in [("no-such-program", 127), ("./not-a-program", 126)] {
        let done = env.hd([verb, program]).finish().expect_code(code);
        assert!(done.stderr.contains(program), "{}", done.said());
        assert_eq!(done.stdout, "");
    }
}

#[test]
fn exit_codes_come_through_beside_a_service_and_without_one() {
    skip_unless!(needs::fuse());
    let env = project();
    codes_come_through(&env, "run");
    codes_come_through(&env, "exec");
    nothing_is_left(&env);
    up(&env);
    codes_come_through(&env, "exec");
    codes_come_through(&env, "run");
    down(&env);
}

#[test]
fn a_command_gets_the_surroundings_of_the_service() {
    skip_unless!(needs::fuse());
    let env = project();
    let look = "pwd; echo $GREETING, $ROLE, $MORE; cat source.txt out/answer; echo talk >&2";
    let expected = |role: &str| format!("/workspace\nhello, {role}, more=1\none\none\n");
    for running in [false, true] {
        if running {
            up(&env);
        }
        let cases = [
            (&["exec", "-e", "MORE=more=1"][..], "the first"),
            (&["exec", "-s", "second", "-e", "MORE=more=1"], "the second"),
            (&["run", "-e", "MORE=more=1"], "the first"),
        ];
        for (verb, role) in cases {
            let done = sh(&env, verb, look).ok();
            assert_eq!(done.stdout, expected(role), "{}", done.said());
            assert!(done.stderr.ends_with("talk\n"), "{}", done.said());
        }
        env.hd(["exec", "-s", "thrid", "true"])
            .finish()
            .expect_code(2);
    }
    let beside = sh(&env, &["exec"], "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").ok();
    assert!(beside.stdout.contains("sleep 1000"), "{}", beside.said());
    sh(&env, &["exec"], "echo written > by-command").ok();
    assert_eq!(files::read(&env.path("by-command")), "written\n");
    std::fs::remove_file(env.path("by-command")).expect("remove");
    down(&env);
}

#[test]
fn a_service_that_has_ended_cannot_be_entered() {
    skip_unless!(needs::fuse());
    let env = project();
    up(&env);
    let done = env.hd(["exec", "-s", "job", "true"]).finish();
    let done = done.expect_code(125);
    assert!(done.stderr.contains("job does not run"), "{}", done.said());
    env.hd(["stop", "first"]).finish().ok();
    let done = sh(&env, &["exec"], "echo $ROLE").ok();
    assert_eq!(done.stdout, "the second\n", "the first that runs");
    down(&env);
}

#[test]
fn the_steps_are_made_true_before_a_command_runs() {
    skip_unless!(needs::fuse());
    let env = project();
    let cat = || env.hd(["run", "cat", "out/answer"]).finish();
    assert_eq!(cat().ok().stdout, "one\n");
    let made = || env.hd(["run", "cat", "out/made"]).finish().ok().stdout;
    assert_eq!(made(), made(), "the step ran once");
    files::write(&env.path("source.txt"), "two\n");
    assert_eq!(cat().ok().stdout, "two\n");
    std::fs::rename(env.path("source.txt"), env.path("away")).expect("rename");
    let failed = cat().expect_code(3);
    assert_eq!(failed.stdout, "");
    assert!(failed.stderr.contains("step-1"), "{}", failed.said());
    std::fs::rename(env.path("away"), env.path("source.txt")).expect("rename");
    env.git(&["checkout", "source.txt"]);
    nothing_is_left(&env);
}

/// Starts `hd` with all streams piped.
fn piped(env: &Env, args: &[&str]) -> Child {
    let mut command = env.hd(args).into_command();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.spawn().expect("hd starts")
}

fn read_line(child: &mut Child) -> String {
    let out = child.stdout.as_mut().expect("a pipe");
    let (mut line, mut byte) = (Vec::new(), [0]);
    while out.read(&mut byte).expect("read") == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("text")
}

#[track_caller]
fn code_of(child: &mut Child) -> i32 {
    let ended = poll::within(LONG, || child.try_wait().expect("wait"));
    ended.expect("hd ends").code().expect("a code")
}

#[test]
fn standard_input_comes_through_and_a_shell_reads_it() {
    skip_unless!(needs::fuse());
    let env = project();
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let mut cat = piped(&env, &["run", "cat"]);
    let mut input = cat.stdin.take().expect("a pipe");
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || input.write_all(&sent).expect("write"));
    let mut received = Vec::new();
    let output = cat.stdout.as_mut().expect("a pipe");
    output.read_to_end(&mut received).expect("read");
    writer.join().expect("written");
    assert!(received == bytes, "{} bytes came back", received.len());
    assert_eq!(code_of(&mut cat), 0);

    let mut shell = piped(&env, &["shell"]);
    let mut input = shell.stdin.take().expect("a pipe");
    input
        .write_all(b"echo $GREETING from $ROLE\nexit 4\n")
        .expect("write");
    assert_eq!(read_line(&mut shell), "hello from the first");
    assert_eq!(code_of(&mut shell), 4);
    nothing_is_left(&env);
}

#[test]
fn signals_go_to_the_command_and_a_killed_hd_takes_it_along() {
    skip_unless!(needs::fuse());
    let env = project();
    let script = "trap 'exit 9' INT; echo ready; while :; do sleep 0.01; done";
    for running in [false, true] {
        if running {
            up(&env);
        }
        let mut asked = piped(&env, &["exec", "sh", "-c", script]);
        assert_eq!(read_line(&mut asked), "ready");
        let pid = i32::try_from(asked.id()).expect("a pid");
        leftovers::signal(pid, rustix::process::Signal::INT);
        assert_eq!(code_of(&mut asked), 9);

        let mut killed = piped(&env, &["exec", "sh", "-c", "echo ready; exec sleep 4321"]);
        assert_eq!(read_line(&mut killed), "ready");
        killed.kill().expect("kill");
        killed.wait().expect("reap");
        until("the command is gone", SHORT, || {
            leftovers::command_is("sleep 4321").is_empty().then_some(())
        });
    }
    let status = env.status();
    assert_eq!(status.service("first")["restarts"]["crash"], 0);
    down(&env);
}

/// A terminal with `hd` on its other side.
struct Screen {
    master: OwnedFd,
    slave: OwnedFd,
    shown: String,
}

impl Screen {
    fn new(rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let name = rustix::pty::ptsname(&master, Vec::new()).expect("its name");
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let slave = rustix::fs::open(&name, flags, rustix::fs::Mode::empty()).expect("its slave");
        let screen = Self {
            master,
            slave,
            shown: String::new(),
        };
        screen.resize(rows, columns);
        screen
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.master, size).expect("resize");
    }

    fn spawn(&self, run: Run) -> Child {
        let copy = || Stdio::from(self.slave.try_clone().expect("dup"));
        let mut command: Command = run.into_command();
        command.env("TERM", "xterm-test");
        command.stdin(copy()).stdout(copy()).stderr(copy());
        command.spawn().expect("hd starts")
    }

    fn types(&self, text: &str) {
        let mut bytes = text.as_bytes();
        while !bytes.is_empty() {
            let length = rustix::io::write(&self.master, bytes).expect("type");
            bytes = &bytes[length..];
        }
    }

    /// Waits until the screen has shown `text`; what came up to it is forgotten.
    #[track_caller]
    fn waits_for(&mut self, text: &str) {
        let found = poll::within(LONG, || {
            let mut fds = [rustix::event::PollFd::new(
                &self.master,
                rustix::event::PollFlags::IN,
            )];
            let none = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            if rustix::event::poll(&mut fds, Some(&none)).expect("poll") > 0 {
                let mut piece = [0; 4096];
                let length = rustix::io::read(&self.master, &mut piece).expect("read");
                self.shown
                    .push_str(&String::from_utf8_lossy(&piece[..length]));
            }
            let at = self.shown.find(text)?;
            self.shown.drain(..at + text.len());
            Some(())
        });
        assert!(found.is_some(), "no {text:?} in {:?}", self.shown);
    }

    fn mode(&self) -> String {
        format!("{:?}", tcgetattr(self.slave.as_fd()).expect("its mode"))
    }
}

const INTERACTIVE: &str = r#"
tty; stty size; echo $TERM
trap 'echo interrupted' INT
echo ready
while :; do
    read line || continue
    echo got $line
    case $line in
        resize) while test "$(stty size)" = "33 77"; do sleep 0.01; done; stty size ;;
        end) exit 6 ;;
    esac
done
"#;

fn a_terminal_works(env: &Env, verb: &str) {
    let mut screen = Screen::new(33, 77);
    let before = screen.mode();
    let mut hd = screen.spawn(env.hd([verb, "bash", "-c", INTERACTIVE]));
    screen.waits_for("/dev/pts/0\r\n33 77\r\nxterm-test\r\nready\r\n");
    assert_ne!(screen.mode(), before, "raw mode");
    screen.types("a b\r");
    screen.waits_for("got a b\r\n");
    screen.types("\x03");
    screen.waits_for("interrupted\r\n");
    screen.resize(44, 88);
    let pid = i32::try_from(hd.id()).expect("a pid");
    // Whoever has a controlling terminal gets it from the kernel; started by a test, hd has none.
    leftovers::signal(pid, rustix::process::Signal::WINCH);
    screen.types("resize\r");
    screen.waits_for("got resize\r\n44 88\r\n");
    screen.types("end\r");
    screen.waits_for("got end\r\n");
    assert_eq!(code_of(&mut hd), 6);
    assert_eq!(screen.mode(), before);

    let mut none = screen.spawn(env.hd([verb, "-T", "sh", "-c", "test -t 1; ps -o tty= -p $$"]));
    screen.waits_for("?");
    assert_eq!(code_of(&mut none), 0);
    let mut failing = screen.spawn(env.hd([verb, "no-such-program"]));
    screen.waits_for("no-such-program");
    assert_eq!(code_of(&mut failing), 127);
    assert_eq!(screen.mode(), before);
}

#[test]
fn a_terminal_works_inside_and_is_given_back_as_it_was() {
    skip_unless!(
        needs::fuse(),
        needs::program("bash"),
        needs::program("stty")
    );
    let env = project();
    a_terminal_works(&env, "run");
    nothing_is_left(&env);
    up(&env);
    a_terminal_works(&env, "exec");
    down(&env);
}

#[test]
fn much_output_on_a_terminal_is_whole() {
    skip_unless!(needs::fuse());
    let env = project();
    let mut screen = Screen::new(24, 80);
    let mut hd = screen.spawn(env.hd(["run", "sh", "-c", "seq 1 20000; echo the end"]));
    screen.waits_for("\r\n19998\r\n19999\r\n20000\r\nthe end\r\n");
    assert_eq!(code_of(&mut hd), 0);
    leftovers::expect_none(env.mark(), Duration::from_secs(1));
}
