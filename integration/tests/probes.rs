//! Probes through the binary that need more than a port.

use std::time::Duration;

use hd_integration::poll;
use hd_integration::ports::Port;
use hd_integration::{Env, files, needs, skip_unless};

#[test]
fn one_that_says_itself_that_it_is_ready_is_ready_then() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let serve = "import os, socket, time\nprint('here', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.02)\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.sendto(b'STATUS=fine\\nREADY=1', os.environ['NOTIFY_SOCKET'])\nfor number in range(2000): s.sendto(b'STATUS=%d' % number, os.environ['NOTIFY_SOCKET'])\nprint('told all', flush=True)\ntime.sleep(1000)\n";
    let toml = "[environment]\nname = \"notify\"\n\n[services.db]\ncommand = \"python3 -I serve.py\"\nhealthcheck = { notify = true }\n\n[services.web]\ncommand = \"sleep 1000\"\ndepends_on = [\"db\"]\n";
    let env = Env::project(&[("hd.toml", toml), ("serve.py", serve)]);
    let mut up = env.up();
    up.wait_line(0, &["db", "| here"]);
    let state = |service: &str| env.status().service(service)["state"].clone();
    up.until("it runs", || (state("db") == "starting").then_some(()));
    poll::never("ready too soon", Duration::from_millis(400), || {
        (state("db") != "starting" || state("web") != "waiting").then(|| up.said())
    });
    // Its socket is its own.
    let told = env.hd(["exec", "-s", "db", "sh", "-c", "echo \"[$NOTIFY_SOCKET]\""]);
    assert_eq!(told.finish().ok().stdout, "[]\n");
    files::write(&env.path("go"), "");
    up.until("both are ready", || {
        (state("db") == "ready" && state("web") == "ready").then_some(())
    });
    // It may go on telling: somebody reads that.
    up.wait_line(0, &["db", "| told all"]);
}

/// Answers over TLS with a certificate of its own.
const SECURE_PY: &str = r#"
import http.server, ssl, subprocess
subprocess.run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /tmp/k.pem -out /tmp/c.pem -days 1 -subj /CN=here", shell=True, check=True)
server = http.server.HTTPServer(("0.0.0.0", PORT), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tmp/c.pem", "/tmp/k.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

#[test]
fn a_probe_over_tls_takes_any_certificate_on_this_machine_only() {
    skip_unless!(
        needs::fuse(),
        needs::program("python3"),
        needs::program("openssl")
    );
    let held = [Port::free(), Port::free()];
    let [near, far] = [held[0].number, held[1].number];
    // An address of this machine that is not the loopback one; nothing is sent.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = socket
        .connect("192.0.2.1:9")
        .and_then(|()| socket.local_addr());
    let own = own.map(|address| address.ip().to_string());
    let service = |name: &str, url: &str| {
        format!(
            "[services.{name}]\ncommand = \"python3 -I {name}.py\"\nhealthcheck = {{ http = \"{url}\", interval = \"100ms\", retries = 1, start_period = \"5s\" }}\n\n"
        )
    };
    let mut toml = "[environment]\nname = \"tls\"\n\n".to_owned();
    toml += &service("near", &format!("https://localhost:{near}/hd.toml"));
    if let Ok(own) = &own {
        toml += &service("far", &format!("https://{own}:{far}/"));
    }
    let of = |port: u16| SECURE_PY.replace("PORT", &port.to_string());
    let env = Env::project(&[
        ("hd.toml", &toml),
        ("near.py", &of(near)),
        ("far.py", &of(far)),
    ]);
    let mut up = env.up();
    up.wait_line(0, &["near", "ready"]);
    if own.is_ok() {
        up.wait_line(0, &["far is not healthy", "ertificate"]);
    }
}

#[test]
fn a_name_below_localhost_is_this_machine_whatever_the_resolver_says() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let held = Port::free();
    let port = held.number;
    let toml = format!(
        "[environment]\nname = \"names\"\n\n[services.web]\n\
         command = \"python3 -I -m http.server -b 127.0.0.1 {port}\"\n\
         healthcheck = {{ http = \"http://web.localhost:{port}/hd.toml\" }}\n"
    );
    let env = Env::project(&[("hd.toml", &toml)]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
}
