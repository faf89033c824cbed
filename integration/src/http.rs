//! A client for one request: enough to see what a service answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

/// Asks `127.0.0.1:port` for a path; `None` when nobody answers properly within two seconds.
pub fn get(port: u16, path: &str) -> Option<Answer> {
    let patience = Duration::from_secs(2);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.set_write_timeout(Some(patience)).ok()?;
    // HTTP/1.0: the answer ends with the connection and is never chunked.
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    )
    .ok()?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).ok()?;
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
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let raw = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";
        assert_eq!(
            parse(raw),
            Some(Answer {
                status: 200,
                body: "yes".to_owned()
            })
        );
        assert_eq!(parse("garbage"), None);
        assert_eq!(parse("HTTP/1.1 2x0 OK\r\n\r\n"), None);
    }
}
