//! A registry that is at fault on request: it stands before a real one and spoils what goes through.
//!
//! Where nothing is spoilt it is also a guard with a password of its own, and a proxy for HTTP and HTTPS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it goes through.
    None,
    /// This status, these header lines, and a page of the registry's error form.
    Status(u16, &'static str),
    /// A login page in its place.
    Html,
    /// To another place.
    Redirect(String),
    /// This status, these header lines and this JSON.
    Json(u16, String, String),
    /// The bytes of a file.
    File(PathBuf),
    /// One bit of the body is another.
    Bit,
    /// It announces and sends a byte more.
    Longer,
    /// It ends half way, properly announced in full.
    Truncated,
    /// The connection is reset half way.
    Reset,
    /// It stops half way and says nothing more.
    Silent,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The path with its query; a whole URL of a proxy.
    pub path: String,
    /// What is shown to be let in.
    pub authorization: Option<String>,
}

/// Decides what becomes of an answer.
type Rule = dyn Fn(&Asked) -> Fault + Send + Sync;

/// Serves until dropped.
pub struct Faulty {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Faulty({})", self.address)
    }
}

impl Faulty {
    /// Stands before `upstream`, `host:port`.
    pub fn before(
        upstream: &str,
        rule: impl Fn(&str, &str) -> Fault + Send + Sync + 'static,
    ) -> Self {
        Self::judging(upstream, move |asked| rule(&asked.method, &asked.path))
    }

    /// The same with a rule that sees more.
    pub fn judging(upstream: &str, rule: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (requests, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let (rule, upstream): (Arc<Rule>, String) = (Arc::new(rule), upstream.to_owned());
        let accepting = std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (rule, upstream) = (Arc::clone(&rule), upstream.clone());
                let requests = Arc::clone(&requests);
                std::thread::spawn(move || {
                    // A client that hangs up early is what some tests are about.
                    let _ = serve(connection, &upstream, &*rule, &requests);
                });
            }
        });
        Self {
            address,
            seen,
            stop,
            accepting: Some(accepting),
        }
    }

    /// Where it listens: `host:port`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The requests so far, as `METHOD PATH`.
    pub fn requests(&self) -> Vec<String> {
        let line = |asked: Asked| format!("{} {}", asked.method, asked.path);
        self.asked().into_iter().map(line).collect()
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.seen.lock().expect("requests").clone()
    }

    /// How many requests were for a path with this in it.
    pub fn count(&self, part: &str) -> usize {
        self.requests()
            .iter()
            .filter(|line| line.contains(part))
            .count()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn serve(
    mut client: TcpStream,
    upstream: &str,
    rule: &Rule,
    requests: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let mut words = head.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(());
    };
    let asked = Asked {
        method: method.to_owned(),
        path: path.to_owned(),
        authorization: header(&head, "authorization").map(str::to_owned),
    };
    requests.lock().expect("requests").push(asked.clone());
    if method == "CONNECT" {
        return tunnel(client, reader, upstream);
    }
    let length = header(&head, "content-length").and_then(|length| length.parse().ok());
    let mut sent = Vec::new();
    reader
        .by_ref()
        .take(length.unwrap_or(0))
        .read_to_end(&mut sent)?;
    let json = r#"{"errors":[{"code":"TEST","message":"on request"}]}"#;
    let answer = |head: &str, body: &str| {
        format!(
            "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let fault = rule(&asked);
    match &fault {
        Fault::Status(status, lines) => {
            let head = format!("{status} x\r\ncontent-type: application/json{lines}");
            return client.write_all(answer(&head, json).as_bytes());
        }
        Fault::Html => {
            let head = "200 OK\r\ncontent-type: text/html; charset=utf-8";
            return client.write_all(answer(head, "<html>Please log in</html>").as_bytes());
        }
        Fault::Json(status, lines, json) => {
            let head = format!("{status} x\r\ncontent-type: application/json{lines}");
            return client.write_all(answer(&head, json).as_bytes());
        }
        Fault::File(path) => {
            let bytes = std::fs::read(path)?;
            let length = bytes.len();
            let head = format!("200 x\r\ncontent-length: {length}");
            write!(client, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n")?;
            return client.write_all(&bytes);
        }
        Fault::Redirect(to) => {
            let head = format!("307 x\r\nlocation: {to}{path}");
            return client.write_all(answer(&head, "").as_bytes());
        }
        _ => {}
    }
    let (head, body) = fetch(upstream, &head, &sent)?;
    spoil(&mut client, &mut reader, &fault, &head, &body)
}

/// Gives a header of a request.
fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim())
}

/// Passes bytes on both ways, as a proxy does for TLS.
fn tunnel(
    mut client: TcpStream,
    mut reader: BufReader<TcpStream>,
    upstream: &str,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(upstream)?;
    client.write_all(b"HTTP/1.1 200 connected\r\n\r\n")?;
    let mut back = server.try_clone()?;
    let answers = std::thread::spawn(move || {
        let _ = std::io::copy(&mut back, &mut client);
        let _ = client.shutdown(std::net::Shutdown::Both);
    });
    let _ = std::io::copy(&mut reader, &mut server);
    let _ = server.shutdown(std::net::Shutdown::Write);
    let _ = answers.join();
    Ok(())
}

/// Asks the real registry, which thus calls itself what the client calls this one; answers head and body.
fn fetch(upstream: &str, head: &str, sent: &[u8]) -> std::io::Result<(String, Vec<u8>)> {
    let mut server = TcpStream::connect(upstream)?;
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        if !line.to_ascii_lowercase().starts_with("connection:") {
            write!(server, "{line}\r\n")?;
        }
    }
    write!(server, "Connection: close\r\n\r\n")?;
    server.write_all(sent)?;
    let mut whole = Vec::new();
    server.read_to_end(&mut whole)?;
    let end = whole.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or_else(|| std::io::Error::other("no head"))? + 4;
    let head = String::from_utf8_lossy(&whole[..end]).into_owned();
    Ok((head, whole.split_off(end)))
}

fn spoil(
    client: &mut TcpStream,
    reader: &mut BufReader<TcpStream>,
    fault: &Fault,
    head: &str,
    body: &[u8],
) -> std::io::Result<()> {
    let half = &body[..body.len() / 2];
    match fault {
        Fault::Bit => {
            let mut body = body.to_vec();
            if let Some(byte) = body.last_mut() {
                *byte ^= 1;
            }
            client.write_all(head.as_bytes())?;
            client.write_all(&body)
        }
        Fault::Longer => {
            let announced = |length: usize| format!("Content-Length: {length}\r\n");
            let head = head.replace(&announced(body.len()), &announced(body.len() + 1));
            client.write_all(head.as_bytes())?;
            client.write_all(&[body, b"x"].concat())
        }
        Fault::Truncated => {
            client.write_all(head.as_bytes())?;
            client.write_all(half)
        }
        Fault::Reset => {
            client.write_all(head.as_bytes())?;
            client.write_all(half)?;
            client.flush()?;
            // With no time to linger a close is a reset (tcp(7), socket(7) SO_LINGER).
            rustix::net::sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO))?;
            client.shutdown(std::net::Shutdown::Both)
        }
        Fault::Silent => {
            client.write_all(head.as_bytes())?;
            client.write_all(half)?;
            client.flush()?;
            reader.read_to_end(&mut Vec::new()).map(|_| ())
        }
        _ => {
            client.write_all(head.as_bytes())?;
            client.write_all(body)
        }
    }
}
