//! Networks of services: isolated ones that reach each other by name, published ports, none at all.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use hd_integration::{Env, SHORT, Up, files, http, leftovers, needs, skip_unless};

/// Answers what `answer.txt` held when it began; on the socket it was handed, if it was.
const SERVE_PY: &str = r#"
import os, socket, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

ANSWER = open("answer.txt", "rb").read()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

server = HTTPServer(("127.0.0.1", 80), Handler, bind_and_activate="LISTEN_FDS" not in os.environ)
if "LISTEN_FDS" in os.environ:
    server.socket = socket.socket(fileno=3)
server.serve_forever()
"#;

const ASK: &str =
    r#"import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode(), end="")"#;

const WEB: &str = r#"
[environment]
name = "net"
[services.web]
command = "python3 -I serve.py"
network = "isolated"
ports = ["auto:80"]
"#;

fn env(toml: &str) -> Env {
    Env::project(&[
        ("hd.toml", toml),
        ("serve.py", SERVE_PY),
        ("ask.py", ASK),
        ("answer.txt", "one\n"),
    ])
}

fn ready(env: &Env, args: &[&str], service: &str) -> Up {
    let mut up = env.up_with(args);
    up.wait_line(0, &[service, "ready"]);
    up
}

fn published(env: &Env, instance: &[&str], service: &str) -> u16 {
    let args = [instance, &["port", service]].concat();
    let place = env.hd(args).finish().ok().stdout;
    let (_, port) = place.trim().rsplit_once(':').expect("an address");
    port.parse().expect("a port")
}

fn answer(port: u16) -> Option<String> {
    http::get(port, "/").map(|answer| answer.body)
}

#[test]
fn isolated_services_reach_each_other_by_name_and_nothing_else() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = outside.local_addr().unwrap().port();
    let more = format!(
        "port= 80\n\
         [services.client]\n\
         command = [\"sh\", \"-c\", \"python3 -I ask.py http://web/ > got; exec sleep 1000\"]\n\
         network = \"isolated\"\ndepends_on = [\"web\"]\n\
         healthcheck = \"! python3 -I ask.py http://127.0.0.1:{there}/ 2> refused\"\n"
    );
    let mut env = env(&format!("{WEB}{more}"));
    // No way leads to it from there, and none is needed.
    env.set("http_proxy", "http://127.0.0.1:9");
    let mut up = ready(&env, &[], "client");
    up.until("the client got an answer", || {
        (files::read(&env.path("got")) == "one\n").then_some(())
    });
    assert!(files::read(&env.path("refused")).contains("refused"));

    let port = published(&env, &[], "web");
    assert_eq!(answer(port).as_deref(), Some("one\n"));
    let web = env.status().service("web").clone();
    assert_eq!(web["network"], "isolated");
    assert_eq!(
        web["published"],
        serde_json::json!([{"address": "127.0.0.1", "port": port, "target": 80}])
    );
    let shown = env.hd(["ps"]).finish().ok().stdout;
    assert!(shown.contains(&format!("{port}→80")), "{shown}");
    let listens = std::fs::read_to_string("/proc/net/tcp").unwrap();
    assert!(!listens.contains("0100007F:0050"), "{listens}");

    // Another instance has the same ports inside, another one outside.
    let blue = ["-p", "blue"];
    env.hd(["-p", "blue", "up", "--wait"]).finish().ok();
    let other = published(&env, &blue, "web");
    assert_ne!(other, port);
    assert_eq!(answer(other).as_deref(), Some("one\n"));
    env.hd(["-p", "blue", "down"]).finish().ok();

    let inside = leftovers::children(up.pid(), "hd-init");
    assert!(!inside.is_empty());
    up.kill();
    for process in inside {
        hd_integration::poll::until("nothing of hd's is left", SHORT, || {
            (!leftovers::alive(process.pid)).then_some(())
        });
    }
    assert_eq!(answer(port), None);
    let _again = ready(&env, &[], "web");
    assert_eq!(published(&env, &[], "web"), port, "the same as last time");
}

#[test]
fn who_connects_while_a_service_begins_waits_and_is_refused_when_it_is_stopped() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let wait = "pre_start = \"while ! test -e go; do sleep 0.02; done\"\n";
    let env = env(&format!("{WEB}{wait}"));
    files::write(&env.path("go"), "");
    let mut up = ready(&env, &[], "web");
    let port = published(&env, &[], "web");
    up.until("it answers", || answer(port));
    std::fs::remove_file(env.path("go")).unwrap();
    let run = env.status().service("web")["pid"].clone();
    files::write(&env.path("answer.txt"), "two\n");
    env.hd(["restart", "web"]).finish().ok();
    up.until("the old process is gone", || {
        (env.status().service("web")["pid"] != run).then_some(())
    });
    let mut early = TcpStream::connect(("127.0.0.1", port)).expect("nobody is refused");
    early.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    files::write(&env.path("go"), "");
    let mut told = String::new();
    early.read_to_string(&mut told).unwrap();
    assert!(told.ends_with("two\n"), "{told}");

    env.hd(["stop", "web"]).finish().ok();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_held_socket_and_probes_are_of_the_isolated_network() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let held = "port= 80\nsocket = true\n";
    let env = env(&format!("{WEB}{held}"));
    let mut up = ready(&env, &[], "web");
    let port = published(&env, &[], "web");
    up.until("it answers", || answer(port).filter(|text| text == "one\n"));
    let probed = files::read(&env.path("hd.toml")).replace(
        "socket = true",
        "healthcheck = { http = \"http://web:80/x\" }",
    );
    let from = up.so_far();
    files::save_by_rename(&env.path("hd.toml"), &probed);
    up.wait_line(from, &["restart web", "answering again"]);
    up.until("it answers", || answer(port).filter(|text| text == "one\n"));
    let gone = env.hd(["port", "web", "81"]).finish().expect_code(2);
    assert!(gone.stderr.contains("web publishes no port 81"));
}

#[test]
fn a_held_socket_follows_its_service_into_another_network_and_back() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let held = "[environment]\nname = \"net\"\n[services.web]\ncommand = \"python3 -I serve.py\"\n\
                port = 5000\nsocket = true\n";
    let env = env(held);
    let mut up = ready(&env, &[], "web");
    let (inside, on_host) = (env.port(0), files::read(&env.path("hd.toml")));
    up.until("it answers", || answer(inside));
    let isolated = format!("{on_host}network = \"isolated\"\nports = [\"auto:{inside}\"]\n");
    let from = up.so_far();
    files::save_by_rename(&env.path("hd.toml"), &isolated);
    up.wait_line(from, &["restart web"]);
    up.until("it answers through what is published", || {
        let published = env.status().service("web")["published"][0]["port"].as_u64()?;
        answer(u16::try_from(published).ok()?)
    });
    assert!(TcpStream::connect(("127.0.0.1", inside)).is_err());
    let from = up.so_far();
    files::save_by_rename(&env.path("hd.toml"), &on_host);
    up.wait_line(from, &["restart web"]);
    up.until("it answers on the machine", || answer(inside));
}

#[test]
fn another_free_port_is_looked_for_when_somebody_took_the_one_of_last_time() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let own = "[services.own]\ncommand = \"sleep 1000\"\nport = \"auto\"\nhealthcheck = \"true\"\n";
    let env = env(&format!("{WEB}{own}"));
    let mut up = ready(&env, &[], "own");
    let ports = || ["web", "own"].map(|service| published(&env, &[], service));
    let first = ports();
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
    let taken = first.map(|port| TcpListener::bind(("127.0.0.1", port)).expect("it is free"));
    env.hd(["up", "--wait"]).finish().ok();
    let second = ports();
    assert!(
        first.iter().all(|port| !second.contains(port)),
        "{second:?}"
    );
    drop(taken);
    // Those of a running instance stay, and are the same next time.
    assert_eq!(ports(), second);
    env.hd(["restart", "own"]).finish().ok();
    assert_eq!(ports(), second);
    env.hd(["down"]).finish().ok();
    env.hd(["up", "--wait"]).finish().ok();
    assert_eq!(ports(), second);
    env.hd(["down"]).finish().ok();
}

#[test]
fn a_published_port_that_is_taken_names_who_has_it() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().port();
    let env = env(&WEB.replace("auto:80", &format!("{taken}:80")));
    let mut up = env.up();
    let line = up.wait_line(0, &["web", "failed"]);
    let me = format!("(pid {})", std::process::id());
    assert!(
        line.contains("is in use by") && line.contains(&me) && line.contains("another `port`"),
        "{line}"
    );
}

#[test]
fn a_service_without_network_has_a_loopback_device_only() {
    skip_unless!(needs::fuse());
    let env = env(
        "[environment]\nname = \"net\"\n[services.job]\ncommand = \"sleep 1000\"\nnetwork = \"none\"\n",
    );
    let _up = ready(&env, &[], "job");
    let devices = env
        .hd(["exec", "sh", "-c", "tail -n +3 /proc/net/dev | cut -d: -f1"])
        .finish()
        .ok()
        .stdout;
    assert_eq!(devices.trim(), "lo");
}

#[test]
fn an_ordinary_user_listens_on_a_port_of_root_where_it_is_isolated() {
    skip_unless!(needs::fuse(), needs::root(), needs::program("python3"));
    let mut env = env(&format!("{WEB}port= 80\n"));
    env.as_user(false);
    let mut up = ready(&env, &[], "web");
    up.wait_http(published(&env, &[], "web"), "/", "one");
    env.hd(["down"]).finish().ok();

    // What the machine itself would listen on is root's alone.
    let low = files::read(&env.path("hd.toml")).replace("auto:80", "81:80");
    files::write(&env.path("hd.toml"), &low);
    let refused = env.hd(["up"]).finish().expect_code(2);
    assert!(refused.stderr.contains("port 81"), "{}", refused.said());
    leftovers::expect_none(env.mark(), SHORT);
}
