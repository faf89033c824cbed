//! Verbs beside a running instance: each with its answer and one failure.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use hd_integration::poll::{SHORT, until};
use hd_integration::pty::Pty;
use hd_integration::{Env, needs, skip_unless};

const TOML: &str = r#"
[environment]
name = "verbs"
[services.web]
command = ["sh", "-c", "trap 'echo hup > got' HUP; echo up; while :; do sleep 0.02; done"]
healthcheck = { log = "up" }
port = 5000
[services.slow]
command = "sleep 1000"
healthcheck = "false"
[volumes]
data = {}
[build]
cache = ["dist"]
[build.caches.tool]
path = "~/.tool"
"#;

fn project() -> Env {
    Env::project(&[("hd.toml", TOML), ("other.txt", "")])
}

#[test]
fn a_running_instance_is_listed_asked_waited_for_and_signalled() {
    skip_unless!(needs::fuse());
    let env = project();
    let mut up = env.up();
    env.hd(["wait", "web"]).finish_when_up(&mut up);
    let late = env
        .hd(["wait", "--timeout", "50ms"])
        .finish()
        .expect_code(5);
    assert!(
        late.stderr.contains("not ready in time: slow"),
        "{}",
        late.said()
    );

    let listed = env.hd(["ls", "--json"]).finish().ok().json();
    let one = &listed["instances"][0];
    assert_eq!(
        (&one["name"], &one["running"]),
        (&"verbs".into(), &true.into())
    );
    assert_eq!(
        one["directory"],
        env.path("").canonicalize().unwrap().to_str().unwrap()
    );

    let port = env.hd(["port", "web"]).finish().ok().stdout;
    assert_eq!(port, format!("127.0.0.1:{}\n", env.port(0)));
    assert!(
        env.hd(["port", "slow"])
            .finish()
            .expect_code(2)
            .stderr
            .contains("has no port")
    );
    assert!(
        env.hd(["port", "wbe"])
            .finish()
            .expect_code(2)
            .stderr
            .contains("did you mean `web`?")
    );

    env.hd(["kill", "-s", "HUP", "web"]).finish().ok();
    up.until("the signal arrived", || {
        env.path("got").exists().then_some(())
    });
    assert!(
        env.hd(["kill", "-s", "X"])
            .finish()
            .expect_code(2)
            .stderr
            .contains("no signal")
    );
    env.hd(["kill", "web"]).finish().ok();
    assert_eq!(env.status().service("web")["state"], "exited");

    assert_eq!(up.interrupt().code(), Some(130));
    let listed = env.hd(["ls", "--json"]).finish().ok().json();
    assert_eq!(listed["instances"], serde_json::json!([]));
    let all = env.hd(["ls", "--all"]).finish().ok().stdout;
    assert!(all.contains("verbs") && all.contains("stopped"), "{all}");
    for verb in [
        ["wait"].as_slice(),
        &["port", "web"],
        &["kill"],
        &["attach"],
        &["events"],
    ] {
        let said = env.hd(verb).finish().expect_code(2);
        assert!(said.stderr.contains("is not running"), "{}", said.said());
    }
}

#[test]
fn what_happens_is_followed_as_lines_and_as_json() {
    skip_unless!(needs::fuse());
    let env = project();
    let mut up = env.up();
    env.hd(["wait", "web"]).finish_when_up(&mut up);
    let (attached, events) = (
        Follower::start(&env, "attach"),
        Follower::start(&env, "events"),
    );
    // Both are there once they show what happens after they came; each edit is of another file, for
    // one that keeps changing is told of only so often.
    let mut number = 0;
    up.until("both follow", || {
        number += 1;
        std::fs::write(env.path(&format!("{number}.txt")), "").unwrap();
        let there = |one: &Follower| one.said().contains(".txt");
        (there(&attached) && there(&events)).then_some(())
    });
    env.hd(["restart", "web"]).finish().ok();
    env.hd(["wait", "web"]).finish().ok();
    assert_eq!(up.interrupt().code(), Some(130));
    let (lines, events) = (attached.end(), events.end());
    assert!(lines.contains("web") && lines.contains("ready"), "{lines}");
    let objects: Vec<serde_json::Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ready = |one: &&serde_json::Value| one["event"] == "service" && one["state"] == "ready";
    assert!(objects.iter().any(|one| ready(&one)), "{events}");
    assert!(objects.iter().all(|one| one["at"].is_string()), "{events}");
}

#[test]
fn a_program_that_reads_events_slowly_is_told_so_in_json() {
    skip_unless!(needs::fuse());
    let chatter = "[services.chatter]\nkind = \"oneshot\"\n\
                   command = [\"sh\", \"-c\", \"until test -e go; do sleep 0.02; done; seq 100000\"]\n";
    let env = Env::project(&[("hd.toml", &format!("{TOML}{chatter}"))]);
    let mut up = env.up();
    env.hd(["wait", "web"]).finish_when_up(&mut up);
    let mut command = env.hd(["events"]).into_command();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut events = command.spawn().unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    // It follows once it shows what happens; from then on nothing is read until all is said.
    let first = std::thread::spawn(move || (lines.next(), lines));
    let mut number = 0;
    up.until("it follows", || {
        number += 1;
        std::fs::write(env.path(&format!("{number}.txt")), "").unwrap();
        first.is_finished().then_some(())
    });
    let (first, lines) = first.join().unwrap();
    std::fs::write(env.path("go"), "").unwrap();
    up.until("the chatter ends", || {
        (env.status().service("chatter")["state"] == "exited").then_some(())
    });
    let (told, tells) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut lines = first.into_iter().chain(lines).map_while(Result::ok);
        lines.try_for_each(|line| told.send(line))
    });
    let parsed = |line: String| -> serde_json::Value {
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"))
    };
    let mut objects = Vec::new();
    up.until("what was missed is told", || {
        objects.extend(tells.try_iter().map(parsed));
        let missed = objects.iter().find(|one| one["event"] == "missed")?;
        (missed["count"].as_u64() > Some(0)).then_some(())
    });
    assert_eq!(up.interrupt().code(), Some(130));
    assert!(reader.join().unwrap().is_ok());
    objects.extend(tells.try_iter().map(parsed));
    assert!(
        objects
            .iter()
            .all(|one| one["schema"] == 1 && one["at"].is_string())
    );
    assert!(events.wait().unwrap().success());
}

#[test]
fn logs_are_cut_by_time() {
    skip_unless!(needs::fuse());
    let env = project();
    let mut up = env.up();
    env.hd(["wait", "web"]).finish_when_up(&mut up);
    let logs = |args: &[&str]| {
        let args = [["logs", "--no-prefix"].as_slice(), args, &["web"]].concat();
        env.hd(args).finish().ok().stdout
    };
    assert!(logs(&["--since", "1h"]).contains("up\n"));
    assert_eq!(logs(&["--until", "1h"]), "");
    assert_eq!(logs(&["--since", "2099-01-01"]), "");
    assert!(logs(&["--until", "2099-01-01T00:00:00Z"]).contains("up\n"));
    let wrong = env.hd(["logs", "--since", "soon"]).finish().expect_code(2);
    assert!(wrong.stderr.contains("is no time"), "{}", wrong.said());
}

#[test]
fn the_machine_is_looked_at_and_words_are_completed() {
    skip_unless!(needs::fuse(), needs::root());
    let env = project();
    let checks = env.hd(["doctor", "--json"]).finish().ok().json();
    let checks = checks["checks"].as_array().unwrap().clone();
    assert!(
        checks
            .iter()
            .any(|one| one["check"] == "fuse" && one["grade"] == "ok")
    );
    // A registry that nobody runs is named, and the machine is not fit.
    let toml = TOML.replace(
        "name = \"verbs\"",
        "name = \"verbs\"\nbase = \"127.0.0.1:1/x\"",
    );
    std::fs::write(env.path("hd.toml"), toml).unwrap();
    let bad = env.hd(["doctor"]).finish().expect_code(7);
    assert!(bad.stdout.contains("127.0.0.1:1"), "{}", bad.said());

    for shell in ["bash", "zsh", "fish"] {
        let script = env.hd(["completion", shell]).finish().ok().stdout;
        assert!(script.contains("HD_COMPLETE"), "{shell}: {script}");
    }
    env.hd(["completion", "tcsh"]).finish().expect_code(2);
    for (line, wanted) in [
        (&["restart", ""][..], &["web", "slow"][..]),
        (&["exec", "-s", ""], &["web", "slow"]),
        (&["shell", ""], &["web", "slow"]),
        (&["export", "oci:x", "--service", ""], &["web", "slow"]),
        (&["volume", "rm", ""], &["data"]),
        (&["cache", "rm", ""], &["tool", "dist"]),
    ] {
        let last = line.len().to_string();
        let asked = env.hd(["--", "hd"].iter().chain(line));
        let asked = asked.env("HD_COMPLETE", "bash");
        let words = asked.env("_CLAP_COMPLETE_INDEX", &last).finish().ok();
        let words: Vec<&str> = words.stdout.split_whitespace().collect();
        for word in wanted {
            assert!(words.contains(word), "no {word} for {line:?}: {words:?}");
        }
    }
}

/// A verb that prints until hd ends.
struct Follower {
    child: Child,
    said: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Follower {
    fn start(env: &Env, verb: &str) -> Self {
        let mut command = env.hd([verb]).into_command();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{verb}: {e}"));
        let said = Arc::new(Mutex::new(String::new()));
        let (pipe, shared) = (child.stdout.take(), Arc::clone(&said));
        let reader = std::thread::spawn(move || {
            let lines = pipe
                .into_iter()
                .flat_map(|pipe| BufReader::new(pipe).lines());
            for line in lines.map_while(Result::ok) {
                let mut said = shared.lock().unwrap_or_else(PoisonError::into_inner);
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self {
            child,
            said,
            reader,
        }
    }

    fn said(&self) -> String {
        let said = self.said.lock();
        said.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for its end, which must be a good one, and answers all it said.
    fn end(mut self) -> String {
        let status = until("it ends with hd", SHORT, || {
            self.child.try_wait().ok().flatten()
        });
        assert!(status.success(), "{status:?}");
        assert!(self.reader.join().is_ok());
        let said = self.said.lock();
        said.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asks again until the instance is there to be asked.
trait WhenUp {
    fn finish_when_up(self, up: &mut hd_integration::Up);
}

impl WhenUp for hd_integration::Run {
    fn finish_when_up(self, up: &mut hd_integration::Up) {
        up.wait_line(0, &["web", "ready"]);
        self.finish().ok();
    }
}

/// Once there is a file `go`, a line over which another one is written, which clears the screen.
const RUDE: &str = r#"
[environment]
name = "rude"
[services.web]
command = ["sh", "-c", '''echo first; until test -e go; do sleep 0.02; done; printf 'over\rwritten\033[2J\n'; echo last; exec sleep 1000''']
"#;

#[test]
fn the_last_lines_are_the_last_of_those_meant_and_a_terminal_is_spared() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", RUDE)]);
    let mut up = env.up();
    let logs = |args: &[&str]| {
        let args = [["logs", "--no-prefix"].as_slice(), args].concat();
        env.hd(args).finish().ok().stdout
    };
    let first = up.until("the first line", || {
        let lines = logs(&["--json"]);
        let objects = lines.lines().map(serde_json::from_str);
        let mut objects = objects.map_while(Result::<serde_json::Value, _>::ok);
        objects.find(|line| line["text"] == "first")
    });
    std::fs::write(env.path("go"), "").unwrap();
    up.until("all is logged", || {
        logs(&[]).contains("last\n").then_some(())
    });
    let until = first["at"].as_str().expect("its time");
    assert_eq!(logs(&["-n", "1", "--until", until, "web"]), "first\n");

    let rude = "over\rwritten\u{1b}[2J\n";
    let whole = logs(&["--color", "always", "web"]);
    assert!(whole.contains(rude), "{whole:?}");
    let run = env.hd(["logs", "--no-prefix", "web"]).env("NO_COLOR", "1");
    let mut terminal = Pty::start(run.into_command());
    terminal.wait_for("last");
    assert!(terminal.wait_exit().success());
    let shown = terminal.written();
    assert!(
        shown.contains("written") && !shown.contains("over") && !shown.contains('\u{1b}'),
        "{shown:?}"
    );
}
