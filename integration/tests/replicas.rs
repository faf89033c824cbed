//! `replicas = N`: equal services side by side, one held socket, one after the other when they start anew.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hd_integration::poll::SHORT;
use hd_integration::ports::Port;
use hd_integration::{Env, Up, files, http, leftovers, needs, skip_unless};

/// Answers which replica it is and what `answer.txt` held when it began; on the socket it was handed, if
/// it was. After SIGTERM it answers what it has accepted, then ends.
const SERVE_PY: &str = r#"
import os, signal, socket, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

ANSWER = os.environ["HD_REPLICA"] + " " + open("answer.txt").read()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = ANSWER.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

held = "LISTEN_FDS" in os.environ
port = int(os.environ.get("PORT", "0"))
server = HTTPServer(("127.0.0.1", port), Handler, bind_and_activate=not held)
if held:
    assert os.environ["LISTEN_FDNAMES"] == "web"
    server.socket = socket.socket(fileno=3)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("I am", os.environ["HD_REPLICA"], flush=True)
server.serve_forever(poll_interval=0.01)
"#;

const HEAD: &str = "[environment]\nname = \"several\"\n";
const WEB: &str = "[services.web]\ncommand = \"python3 -I serve.py\"\nwatch = [\"answer.txt\"]\n";
/// Requests a second.
const RATE: u32 = 200;

fn env(toml: &str) -> Env {
    Env::project(&[
        ("hd.toml", toml),
        ("serve.py", SERVE_PY),
        ("answer.txt", "one"),
    ])
}

fn up(env: &Env, args: &[&str]) -> Up {
    let mut up = env.up_with(args);
    up.wait_line(0, &["ready"]);
    env.hd(["wait"]).finish().ok();
    up
}

/// Names and process ids of what runs.
fn runs(env: &Env) -> Vec<(String, i64)> {
    let value = env.status().value().clone();
    let services = value["services"].as_array().cloned().unwrap_or_default();
    let one = |one: &serde_json::Value| {
        let name = one["name"].as_str()?.to_owned();
        Some((name, one["pid"].as_i64()?))
    };
    services.iter().filter_map(one).collect()
}

fn names(env: &Env) -> Vec<String> {
    runs(env).into_iter().map(|(name, _)| name).collect()
}

fn answers(port: u16, times: usize) -> BTreeSet<String> {
    let bodies = (0..times).filter_map(|_| http::get(port, "/"));
    bodies.map(|answer| answer.body).collect()
}

/// Asks with more patience than any restart takes.
fn ask(port: u16) -> Option<String> {
    let patience = Some(Duration::from_secs(30));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(patience).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.0 200").then_some(answer)
}

/// Asks at a steady rate until `over`: what was answered how often, and what failed.
#[expect(
    clippy::disallowed_methods,
    reason = "it paces the load, it waits for no state"
)]
fn load(port: u16, over: &AtomicBool) -> (usize, usize) {
    let (good, bad) = (Mutex::new(0), Mutex::new(0));
    let start = Instant::now();
    thread::scope(|scope| {
        let mut sent = 0;
        while !over.load(Ordering::SeqCst) {
            let due = start + Duration::from_secs(1) * sent / RATE;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            sent += 1;
            scope.spawn(|| {
                let is_whole = ask(port).is_some();
                *(if is_whole { &good } else { &bad }).lock().unwrap() += 1;
            });
        }
    });
    (good.into_inner().unwrap(), bad.into_inner().unwrap())
}

#[test]
fn replicas_on_one_held_socket_start_anew_one_by_one_and_refuse_nobody() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let env = env(&format!(
        "{HEAD}{WEB}port = 5000\nsocket = true\nreplicas = 3\n"
    ));
    let mut up = up(&env, &[]);
    let port = env.port(0);
    assert_eq!(names(&env), ["web-1", "web-2", "web-3"]);
    let all = BTreeSet::from(["1 one", "2 one", "3 one"].map(str::to_owned));
    up.until("each of them answers", || {
        (answers(port, 50) == all).then_some(())
    });

    let over = Arc::new(AtomicBool::new(false));
    let loading = thread::spawn({
        let over = Arc::clone(&over);
        move || load(port, &over)
    });
    for round in 0..3 {
        let before: BTreeSet<i64> = runs(&env).into_iter().map(|(_, pid)| pid).collect();
        match round {
            0 => files::write(&env.path("answer.txt"), "two"),
            1 => env.hd(["restart", "web"]).finish().ok().stderr.clear(),
            _ => files::write(&env.path("answer.txt"), "three"),
        }
        up.until("all have started anew, never two at once", || {
            let value = env.status().value().clone();
            let services = value["services"].as_array().cloned().unwrap_or_default();
            let ready = services
                .iter()
                .filter(|one| one["state"] == "ready")
                .count();
            assert!(ready >= 2, "{services:?}");
            let pids = services.iter().filter_map(|one| one["pid"].as_i64());
            let anew = pids.filter(|pid| !before.contains(pid)).count();
            (ready == 3 && anew == 3).then_some(())
        });
        env.hd(["wait", "web"]).finish().ok();
    }
    over.store(true, Ordering::SeqCst);
    let (good, bad) = loading.join().unwrap();
    eprintln!("{good} answered, {bad} failed");
    assert!(bad == 0 && good > 100, "{bad} of {} failed", good + bad);
    let all = BTreeSet::from(["1 three", "2 three", "3 three"].map(str::to_owned));
    up.until("nobody is of yesterday", || {
        (answers(port, 50) == all).then_some(())
    });

    // One stopped is missed by nobody; all stopped, nobody is kept waiting.
    env.hd(["stop", "web-1", "web-3"]).finish().ok();
    assert_eq!(names(&env), ["web-2"]);
    assert_eq!(answers(port, 20), BTreeSet::from(["2 three".to_owned()]));
    env.hd(["stop", "web"]).finish().ok();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    env.hd(["start", "web"]).finish().ok();
    up.until("they are back", || (answers(port, 50) == all).then_some(()));
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn each_has_its_port_and_its_number_and_every_verb_takes_one_or_all() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let api = "[services.api]\ncommand = [\"sh\", \"-c\", \"env > new; mv new told; exec sleep 1000\"]\n\
               depends_on = [\"web\"]\n";
    let own = "env = { MINE = \"no-${HD_REPLICA}\" }\n";
    let env = env(&format!(
        "{HEAD}{WEB}port = \"auto\"\nreplicas = 2\n{own}{api}"
    ));
    let mut up = up(&env, &[]);
    let value = env.status().value().clone();
    let port = |name: &str| {
        let services = value["services"].as_array().unwrap();
        let one = services.iter().find(|one| one["name"] == name).unwrap();
        assert_eq!(one["replica"]["of"], "web");
        u16::try_from(one["port"].as_u64().unwrap()).unwrap()
    };
    let (one, two) = (port("web-1"), port("web-2"));
    assert_ne!(one, two);
    assert_eq!(http::get(one, "/").unwrap().body, "1 one");
    assert_eq!(http::get(two, "/").unwrap().body, "2 one");
    let told = up.until("the environment is told", || {
        std::fs::read_to_string(env.path("told")).ok()
    });
    for line in [
        format!("HD_PORT_WEB={one}"),
        format!("HD_PORT_WEB_1={one}"),
        format!("HD_PORT_WEB_2={two}"),
    ] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }

    let said = |args: &[&str]| env.hd(args).finish().ok().stdout;
    assert_eq!(
        said(&["port", "web"]),
        format!("127.0.0.1:{one}\n127.0.0.1:{two}\n")
    );
    assert_eq!(said(&["port", "web-2"]), format!("127.0.0.1:{two}\n"));
    assert_eq!(said(&["exec", "-s", "web", "printenv", "MINE"]), "no-1\n");
    assert_eq!(said(&["exec", "-s", "web-2", "printenv", "MINE"]), "no-2\n");
    let logs = said(&["logs", "web"]);
    assert!(
        logs.contains("web-1  | I am 1") && logs.contains("web-2  | I am 2"),
        "{logs}"
    );
    let logs = said(&["logs", "web-2"]);
    assert!(
        !logs.contains("I am 1") && logs.contains("I am 2"),
        "{logs}"
    );
    assert_eq!(
        said(&["config", "services.web.replicas"])
            .split_whitespace()
            .nth(2),
        Some("2")
    );
    let explained = said(&["watch", "--explain", "answer.txt"]);
    assert_eq!(explained.matches("web").count(), 1, "{explained}");
    assert!(said(&["why", "web"]).contains("web-2"));

    let before = runs(&env);
    env.hd(["kill", "web-1"]).finish().ok();
    up.until("the other one stays", || {
        (names(&env) == ["api", "web-2"]).then_some(())
    });
    env.hd(["restart", "web"]).finish().ok();
    env.hd(["wait", "web"]).finish().ok();
    let after = runs(&env);
    assert_eq!(after.len(), 3);
    assert!(
        after.iter().filter(|one| before.contains(one)).count() == 1,
        "{after:?}"
    );
    let unknown = env.hd(["restart", "web-3"]).finish().expect_code(2);
    assert!(
        unknown.stderr.contains("no service `web-3`"),
        "{}",
        unknown.said()
    );
}

#[test]
fn an_edit_or_a_wish_starts_and_stops_the_difference_only() {
    skip_unless!(needs::fuse());
    let job = "[services.job]\ncommand = \"sleep 1000\"\nreplicas = 2\n\
               [services.after]\ncommand = \"sleep 1000\"\ndepends_on = [\"job\"]\n";
    let env = env(&format!("{HEAD}{job}"));
    let mut up = up(&env, &[]);
    let first = runs(&env);
    assert_eq!(first.len(), 3);
    let scaled = format!("{HEAD}{}", job.replace("= 2", "= 4"));
    files::save_by_rename(&env.path("hd.toml"), &scaled);
    up.until("two more run", || (runs(&env).len() == 5).then_some(()));
    let kept = |env: &Env| runs(env).iter().filter(|one| first.contains(one)).count();
    assert_eq!(kept(&env), 3);
    env.hd(["scale", "job=3"]).finish().ok();
    assert_eq!(names(&env), ["after", "job-1", "job-2", "job-3"]);
    assert_eq!(kept(&env), 3);

    // What cannot be is refused and changes nothing.
    let refused = env.hd(["scale", "job=0"]).finish().expect_code(2);
    assert!(
        refused.stderr.contains("0 replicas are no service"),
        "{}",
        refused.said()
    );
    let refused = env.hd(["scale", "joob=2"]).finish().expect_code(2);
    assert!(
        refused.stderr.contains("did you mean `job`?"),
        "{}",
        refused.said()
    );
    assert_eq!(kept(&env), 3);
    let mut again = env.up_with(&["--scale", "job=2"]);
    up.until("one less runs", || (runs(&env).len() == 3).then_some(()));
    again.interrupt();
    assert_eq!(kept(&env), 3);
    env.hd(["down"]).finish().ok();
    env.hd(["up", "--wait", "--scale", "job=1", "job"])
        .finish()
        .ok();
    assert_eq!(names(&env), ["job-1"]);
    env.hd(["down"]).finish().ok();
}

#[test]
fn isolated_replicas_share_a_published_port() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let held =
        "network = \"isolated\"\nports = [\"auto:80\"]\nport= 80\nsocket = true\nreplicas = 2\n";
    let env = env(&format!("{HEAD}{WEB}{held}"));
    let mut up = up(&env, &[]);
    let place = env.hd(["port", "web"]).finish().ok().stdout;
    let (_, port) = place.trim().rsplit_once(':').expect("one address");
    let port: u16 = port.parse().expect("a port");
    let all = BTreeSet::from(["1 one", "2 one"].map(str::to_owned));
    up.until("both answer", || (answers(port, 40) == all).then_some(()));
    env.hd(["restart", "web"]).finish().ok();
    env.hd(["wait", "web"]).finish().ok();
    up.until("both answer again", || {
        (answers(port, 40) == all).then_some(())
    });
}

#[test]
fn a_held_socket_at_another_port_takes_all_replicas_along() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let held = format!("{HEAD}{WEB}port = 5000\nsocket = true\nreplicas = 2\n");
    let env = env(&held);
    let mut up = up(&env, &[]);
    let (old, new) = (env.port(0), Port::free());
    let all = BTreeSet::from(["1 one", "2 one"].map(str::to_owned));
    up.until("both answer", || (answers(old, 40) == all).then_some(()));
    let toml = files::read(&env.path("hd.toml"));
    let moved = toml.replace(&old.to_string(), &new.number.to_string());
    files::save_by_rename(&env.path("hd.toml"), &moved);
    up.until("both answer at the new port", || {
        (answers(new.number, 40) == all).then_some(())
    });
    up.until("nobody listens at the old one", || {
        TcpStream::connect(("127.0.0.1", old))
            .is_err()
            .then_some(())
    });
    let shown = env.hd(["port", "web"]).finish().ok().stdout;
    assert_eq!(shown, format!("127.0.0.1:{}\n", new.number), "one for both");
}

#[test]
fn replicas_of_a_compose_file_that_publishes_one_port_are_told_how_they_share_it() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let port = Port::free();
    let compose = format!(
        "services:\n  web:\n    image: python\n    command: python3 -I serve.py\n    \
         deploy: {{ replicas: 2 }}\n    ports: [\"{}:8000\"]\n    environment: {{ PORT: \"8000\" }}\n",
        port.number
    );
    let serve = SERVE_PY.replace("[\"HD_REPLICA\"]", ".get(\"HD_REPLICA\", \"0\")");
    let files = [
        ("compose.yaml", &*compose),
        ("serve.py", &serve),
        ("answer.txt", "one"),
    ];
    let env = Env::project(&files);
    let said = env.hd(["ingest"]).finish().said();
    assert!(
        said.contains("one, not 2") && said.contains("socket = true, replicas = 2"),
        "{said}"
    );
    // This machine's own python3 does as well.
    let toml = env.path("hd.toml");
    files::replace(&toml, "base = \"python\"\n", "");
    let mut up = up(&env, &[]);
    assert_eq!(names(&env), ["web"]);
    up.until("it answers", || {
        (answers(port.number, 1).len() == 1).then_some(())
    });
    files::replace(
        &toml,
        "port = 8000",
        "port = 8000\nsocket = true\nreplicas = 2",
    );
    let all = BTreeSet::from(["1 one", "2 one"].map(str::to_owned));
    up.until("both answer", || {
        (answers(port.number, 40) == all).then_some(())
    });
    assert_eq!(names(&env), ["web-1", "web-2"]);
}

#[test]
fn what_one_replica_writes_restarts_none_of_them_for_ever() {
    skip_unless!(needs::fuse());
    let toml = format!(
        "{HEAD}[services.job]\ncommand = [\"sh\", \"-c\", \"date +%N >> state.db; exec sleep 1000\"]\n\
         watch = [\"state.db\"]\nreplicas = 2\n"
    );
    let env = Env::project(&[("hd.toml", &toml), ("state.db", "")]);
    let mut up = env.up();
    let line = up.wait_line(0, &["state.db", "restarts it no"]);
    assert!(line.contains("job"), "{line}");
    assert_eq!(up.interrupt().code(), Some(130));
}
