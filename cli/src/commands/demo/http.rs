//! Asking over HTTP until the answer is the one waited for.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::process::Watch;
use crate::client::pause;
use crate::error::{CliError, exit};

/// Time between two questions: what all figures are exact to.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// How long one answer may take; what has come by then is the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const LONGEST: usize = 1 << 20;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    /// The body; what is not UTF-8 is replaced.
    pub(super) body: String,
}

impl Answer {
    /// Tells whether it is one about a version: a word of it is that value. A page is no such answer, nor is
    /// a longer number that the value is part of.
    pub(super) fn tells(&self, value: &str) -> bool {
        let body = self.body.trim();
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let mut found = body.match_indices(value);
        let is_one = |at: usize| {
            let (before, after) = (&body[..at], &body[at + value.len()..]);
            let before = before.strip_suffix(['v', 'V']).unwrap_or(before);
            let goes_on = after.strip_prefix('.').unwrap_or(after).starts_with(word);
            !before.ends_with(word) && !before.ends_with('.') && !goes_on
        };
        !value.is_empty() && !body.starts_with('<') && found.any(|(at, _)| is_one(at))
    }
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

/// Asks this machine's port once; `None` when nobody answers properly.
fn get(port: u16, path: &str) -> Option<Answer> {
    let deadline = Instant::now() + PATIENCE;
    let connect = |address: IpAddr| {
        TcpStream::connect_timeout(&SocketAddr::from((address, port)), PATIENCE).ok()
    };
    // A program that listens on `localhost` may have chosen either.
    let four = connect(Ipv4Addr::LOCALHOST.into());
    let mut stream = four.or_else(|| connect(Ipv6Addr::LOCALHOST.into()))?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    // HTTP/1.0: the answer ends with the connection and is never chunked.
    let question = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    stream.write_all(question.as_bytes()).ok()?;
    parse(&String::from_utf8_lossy(&read(stream, deadline)?))
}

/// Reads until the answer is whole, too long, or too late: some never end.
fn read(mut stream: TcpStream, deadline: Instant) -> Option<Vec<u8>> {
    let mut raw = Vec::new();
    let mut part = [0; 16 << 10];
    while raw.len() < LONGEST && !is_whole(&raw) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => raw.extend_from_slice(part.get(..count)?),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return None,
        }
    }
    Some(raw)
}

/// Tells whether all that `Content-Length` promises has come: the connection may stay open after it.
fn is_whole(raw: &[u8]) -> bool {
    let Some(end) = raw.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&raw[..end]);
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, length)| length.trim().parse::<usize>().ok());
    length.is_some_and(|length| raw.len() - end - 4 >= length)
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
    fn a_version_is_a_word_of_an_answer_that_is_no_page() {
        let tells = |body: &str, value: &str| {
            let body = body.to_owned();
            Answer { status: 200, body }.tells(value)
        };
        for body in [
            "1.0\n",
            "{\"version\":\"1.0\"}",
            "app v1.0.",
            "x 1.0, 2.1.0",
        ] {
            assert!(tells(body, "1.0"), "{body}");
        }
        let scale = "<!doctype html>\n<meta content=\"initial-scale=1.0\">";
        for body in [scale, "1.0.1", "11.0", "3.1.0", "1.05", ""] {
            assert!(!tells(body, "1.0"), "{body}");
        }
        assert!(!tells("anything", ""));
    }

    #[test]
    fn an_answer_that_never_ends_is_what_has_come_of_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = ["200 OK\r\nContent-Length: 3", "404 Not Found"];
        let server = std::thread::spawn(move || {
            for head in heads {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = write!(stream, "HTTP/1.1 {head}\r\n\r\n");
                // Until the asker has gone.
                while write!(stream, ".").is_ok() {
                    pause(Duration::from_millis(20));
                }
            }
        });
        let asked = || get(port, "/").unwrap();
        let (of_length, endless) = (asked(), asked());
        assert!(of_length.body.starts_with("...") && of_length.status == 200);
        assert!(endless.body.starts_with("...") && endless.status == 404);
        server.join().unwrap();
        // Nothing but the end of the connection tells the end of others.
        assert!(is_whole(b"HTTP/1.0 204 -\r\ncontent-length: 0\r\n\r\n"));
        assert!(!is_whole(b"HTTP/1.0 200 -\r\nContent-Length: 2\r\n\r\n1"));
        assert!(!is_whole(b"HTTP/1.0 200 -\r\n\r\n1") && !is_whole(b""));
    }

    #[test]
    fn one_that_listens_on_the_other_localhost_is_asked_too() {
        // A machine without IPv6 has no other.
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            return;
        };
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            write!(stream, "HTTP/1.0 200 OK\r\n\r\nsix").unwrap();
            let _ = stream.read(&mut [0; 256]);
        });
        assert_eq!(get(port, "/").unwrap().body, "six");
        server.join().unwrap();
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
