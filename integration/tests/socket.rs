//! `socket = true`: while a service restarts, nobody who connects is refused or dropped.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hd_integration::{Env, needs, skip_unless};

/// A server on the socket it is handed; after SIGTERM it answers what it has accepted, then ends.
const SERVE_PY: &str = r#"
import os, signal, socket, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

assert os.environ["LISTEN_FDS"] == "1" and os.environ["LISTEN_FDNAMES"] == "web"
assert os.environ["LISTEN_PID"] == str(os.getpid())

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"answer\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever(poll_interval=0.01)
"#;

const TOML: &str = r#"
[environment]
name = "held"
[services.web]
command = "python3 -I serve.py"
watch = ["*.txt"]
port = 5000
socket = true
"#;

/// Requests a second.
const RATE: u32 = 200;
/// Longest wait for an answer: more than any restart takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn ask(port: u16) -> Result<(), String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let told = |what: &str, error: std::io::Error| format!("{what}: {error}");
    let mut stream =
        TcpStream::connect_timeout(&address, PATIENCE).map_err(|e| told("connect", e))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(|e| told("set", e))?;
    stream
        .write_all(b"GET / HTTP/1.0\r\n\r\n")
        .map_err(|e| told("send", e))?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .map_err(|e| told("read", e))?;
    answer
        .ends_with("answer\n")
        .then_some(())
        .ok_or_else(|| format!("no whole answer: {answer:?}"))
}

/// Asks at a steady rate, however slow the answers come, until `over`.
#[expect(
    clippy::disallowed_methods,
    reason = "it paces the load, it waits for no state"
)]
fn load(port: u16, over: &AtomicBool) -> (usize, Vec<String>) {
    let (answered, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let start = Instant::now();
    thread::scope(|scope| {
        let mut sent = 0;
        while !over.load(Ordering::SeqCst) {
            let due = start + Duration::from_secs(1) * sent / RATE;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            sent += 1;
            scope.spawn(|| match ask(port) {
                Ok(()) => drop(answered.fetch_add(1, Ordering::SeqCst)),
                Err(why) => failed.lock().unwrap().push(why),
            });
        }
    });
    (answered.into_inner(), failed.into_inner().unwrap())
}

/// The gate restarts a few times; HD_TEST_RESTARTS=50 is the whole claim.
fn restarts() -> usize {
    let set = std::env::var("HD_TEST_RESTARTS").ok();
    set.map_or(5, |text| {
        text.parse().expect("HD_TEST_RESTARTS is a number")
    })
}

#[test]
fn restarts_under_load_refuse_and_drop_nobody() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let env = Env::project(&[("hd.toml", TOML), ("serve.py", SERVE_PY), ("a.txt", "0")]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let (port, over) = (env.port(0), Arc::new(AtomicBool::new(false)));
    let loading = thread::spawn({
        let over = Arc::clone(&over);
        move || load(port, &over)
    });
    for number in 1..=restarts() {
        let pid = env.status().service("web")["pid"].clone();
        if number % 2 == 0 {
            env.hd(["restart", "web"]).finish().ok();
        } else {
            std::fs::write(env.path("a.txt"), number.to_string()).unwrap();
        }
        up.until("the next process is ready", || {
            let web = env.status().service("web").clone();
            (web["state"] == "ready" && web["pid"] != pid).then_some(())
        });
    }
    over.store(true, Ordering::SeqCst);
    let (answered, failed) = loading.join().unwrap();
    eprintln!(
        "{} restarts, {answered} answered, {} failed",
        restarts(),
        failed.len()
    );
    assert!(
        failed.is_empty(),
        "{} of {answered}: {failed:?}",
        failed.len()
    );
    assert!(answered > restarts(), "there was no load");

    // Stopped for good, it is refused at once rather than kept waiting.
    env.hd(["stop", "web"]).finish().ok();
    let refused = ask(port).unwrap_err();
    assert!(refused.contains("refused"), "{refused}");
    env.hd(["start", "web"]).finish().ok();
    up.until("it answers again", || ask(port).ok());
}

#[test]
fn a_socket_at_another_address_of_this_machine_becomes_ready() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    for address in ["127.0.0.2", "::1", "::"] {
        let toml = TOML.replace("socket = true", &format!("socket = \"{address}\""));
        let env = Env::project(&[("hd.toml", &toml), ("serve.py", SERVE_PY)]);
        let mut up = env.up();
        up.wait_line(0, &["web", "ready"]);
        up.interrupt();
    }
}

#[test]
fn a_socket_that_somebody_else_holds_is_named() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let env = Env::project(&[("hd.toml", TOML), ("serve.py", SERVE_PY)]);
    let _other = std::net::TcpListener::bind(("127.0.0.1", env.port(0))).unwrap();
    let mut up = env.up();
    let me = format!("pid {}", std::process::id());
    let line = up.wait_line(0, &["web", "failed"]);
    assert!(
        line.contains("is in use by") && line.contains(&me) && line.contains("another `port`"),
        "{line}"
    );
}
