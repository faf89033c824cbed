//! Asking over HTTP until the answer is the wanted one.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// Pause between two tries.
const TRY_EVERY: Duration = Duration::from_millis(1);

/// Asks for `/` at a port of this machine until the answer ends with `word`, or time is over.
pub(super) fn until(port: u16, word: &str, within: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < within {
        if answer(port).is_some_and(|answer| answer.ends_with(word)) {
            return true;
        }
        std::thread::park_timeout(TRY_EVERY);
    }
    false
}

fn answer(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
