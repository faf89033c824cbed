//! A tiny HTTP server on loopback whose every answer a test decides.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Is a request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// First byte that a Range header asks for.
    pub(crate) fn from(&self) -> usize {
        let range = self
            .header("range")
            .and_then(|value| value.strip_prefix("bytes="));
        range
            .and_then(|value| value.strip_suffix('-')?.parse().ok())
            .unwrap_or(0)
    }
}

/// Is an answer, sent as it is told, truthful or not.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Announced length, when it is not that of the body.
    pub(crate) length: Option<usize>,
    /// After the body, wait until the client hangs up.
    pub(crate) stall: bool,
    /// Sent in chunks of which the last, empty one is missing.
    pub(crate) endless: bool,
    /// Hang up without a word.
    pub(crate) none: bool,
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            body: body.into(),
            length: None,
            stall: false,
            endless: false,
            none: false,
        }
        .with("content-type", content_type)
    }

    pub(crate) fn status(status: u16) -> Reply {
        Reply::new(status, "application/json", "")
    }

    pub(crate) fn none() -> Reply {
        Reply {
            none: true,
            ..Reply::status(500)
        }
    }

    pub(crate) fn html() -> Reply {
        Reply::new(
            200,
            "text/html; charset=utf-8",
            "<html>Please log in</html>",
        )
    }

    pub(crate) fn redirect(location: &str) -> Reply {
        Reply::status(307).with("location", location)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// Serves until dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        Server::start_at("127.0.0.1:0", handler).expect("a free port")
    }

    /// Starts at an address, if it is to be had.
    pub(crate) fn start_at(
        address: &str,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Option<Server> {
        let listener = TcpListener::bind(address).ok()?;
        let address = listener.local_addr().expect("an address");
        let handler: Arc<Handler> = Arc::new(handler);
        let log = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (requests, stopped) = (Arc::clone(&log), Arc::clone(&stop));
        let accepting = std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (handler, requests) = (Arc::clone(&handler), Arc::clone(&requests));
                std::thread::spawn(move || {
                    // A client that hangs up early is what some tests are about.
                    let _ = serve(connection, &*handler, &requests);
                });
            }
        });
        Some(Server {
            address,
            log,
            stop,
            accepting: Some(accepting),
        })
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns the requests so far, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.log.lock().expect("log").clone()
    }

    /// Counts the requests whose path holds `part`.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.requests()
            .iter()
            .filter(|request| request.path.contains(part))
            .count()
    }

    pub(crate) fn forget(&self) {
        self.log.lock().expect("log").clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn serve(
    mut stream: TcpStream,
    handler: &Handler,
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(());
    };
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        request
            .headers
            .push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let length = request
        .header("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    reader.by_ref().take(length).read_to_end(&mut Vec::new())?;
    log.lock().expect("log").push(request.clone());
    let reply = handler(&request);
    if reply.none {
        return Ok(());
    }
    let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if reply.endless {
        let length = reply.body.len();
        head += "transfer-encoding: chunked\r\n\r\n";
        if length > 0 {
            head += &format!("{length:x}\r\n");
        }
    } else {
        let length = reply.length.unwrap_or(reply.body.len());
        head += &format!("content-length: {length}\r\n\r\n");
    }
    stream.write_all(head.as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&reply.body)?;
    }
    stream.flush()?;
    if reply.stall {
        reader.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}
