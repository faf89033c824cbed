//! Asking over HTTP until the answer is the one waited for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::process::Watch;
use crate::client::pause;
use crate::error::{CliError, exit};

/// Time between two questions: what all figures are exact to.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const LONGEST: u64 = 1 << 20;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    /// The body; what is not UTF-8 is replaced.
    pub(super) body: String,
}

/// Asks until `accept` says yes; `alive` fails when nobody will ever answer.
pub(super) fn until(
    watch: &Watch,
    (port, path): (u16, &str),
    within: Duration,
    accept: impl Fn(&Answer) -> bool,
    mut alive: impl FnMut() -> Result<(), CliError>,
) -> Result<Answer, CliError> {
    let deadline = Instant::now() + within;
    let mut last = None;
    loop {
        if let Some(answer) = get(port, path) {
            if accept(&answer) {
                return Ok(answer);
            }
            last = Some(answer.status);
        }
        watch.check()?;
        alive()?;
        if Instant::now() > deadline {
            let last = last.map_or("nobody answered".to_owned(), |status| {
                format!("the last answer was {status}")
            });
            let message = format!(
                "not the answer waited for on port {port}, {path}, within {} s; {last}",
                within.as_secs()
            );
            let error = CliError::new("timeout", exit::TIMEOUT, message);
            return Err(error.hint("the service must listen on the port that PORT names"));
        }
        pause(ASK_EVERY);
    }
}

/// Asks `127.0.0.1:port` once; `None` when nobody answers properly.
fn get(port: u16, path: &str) -> Option<Answer> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    // HTTP/1.0: the answer ends with the connection and is never chunked.
    let question = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    stream.write_all(question.as_bytes()).ok()?;
    let mut raw = Vec::new();
    stream.take(LONGEST).read_to_end(&mut raw).ok()?;
    parse(&String::from_utf8_lossy(&raw))
}

fn parse(raw: &str) -> Option<Answer> {
    let (head, body) = raw.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer = parse("HTTP/1.1 200 OK\r\nA: b\r\n\r\nyes").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "yes"));
        assert_eq!(parse("garbage"), None);
        assert_eq!(parse("HTTP/1.1 2x0 OK\r\n\r\n"), None);
    }

    #[test]
    fn it_asks_until_the_answer_fits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            for body in ["old", "new"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut question = [0; 256];
                let count = stream.read(&mut question).unwrap();
                assert!(question[..count].starts_with(b"GET /version HTTP/1.0\r\n"));
                write!(stream, "HTTP/1.0 200 OK\r\n\r\n{body}").unwrap();
            }
        });
        let watch = Watch::default();
        let new = |answer: &Answer| answer.body == "new";
        let answer = until(&watch, (port, "/version"), PATIENCE, new, || Ok(())).unwrap();
        assert_eq!(answer.status, 200);
        server.join().unwrap();
        let error = until(&watch, (port, "/"), Duration::ZERO, new, || Ok(())).unwrap_err();
        assert_eq!(error.exit(), exit::TIMEOUT);
    }
}
