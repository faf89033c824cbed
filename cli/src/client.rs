//! The client of the control socket: one request, then replies, each a JSON object in a line.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use hd_actors::control::protocol::{Reply, Request};
use hd_actors::model::report::Report;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::error::{CliError, exit};
use crate::output::reader;
use crate::peer::Peer;

/// How long a runtime may take to accept a connection and to read the request.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long a runtime may take to answer what it must know at once.
pub(crate) const PROMPT: Duration = Duration::from_secs(5);
/// Time between two looks whether a runtime that has not answered yet can do so.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest line of a reply, in bytes.
const REPLY_MAX: u64 = 64 << 20;
/// Longest path a socket address takes, in bytes.
const ADDRESS_MAX: usize = 107;

/// A connection to a running instance.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

/// Connects to the runtime; `None` when none listens.
pub(crate) fn open(path: &Path) -> Result<Option<Client>, CliError> {
    let failed = |e: std::io::Error| CliError::io("connect to", path, &e);
    match connected(path, Instant::now() + CONNECT_WITHIN) {
        Ok(stream) => {
            stream
                .set_write_timeout(Some(CONNECT_WITHIN))
                .map_err(failed)?;
            Ok(Some(Client {
                stream: BufReader::new(stream),
            }))
        }
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => Err(silent("accept a connection")),
        Err(e) => Err(failed(e)),
    }
}

/// Gives the error of a verb that needs a running instance.
pub(crate) fn not_running(name: &str) -> CliError {
    CliError::new("not_running", exit::USAGE, format!("{name} is not running"))
        .hint("`hd up` starts it")
}

fn connected(path: &Path, deadline: Instant) -> std::io::Result<UnixStream> {
    // A long path is reached through its directory: the address of a socket is short.
    let mut _directory: Option<OwnedFd> = None;
    let mut address = path.to_path_buf();
    if path.as_os_str().len() > ADDRESS_MAX
        && let (Some(parent), Some(name)) = (path.parent(), path.file_name())
    {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(parent, flags, Mode::empty())?;
        address = Path::new("/proc/self/fd")
            .join(directory.as_raw_fd().to_string())
            .join(name);
        _directory = Some(directory);
    }
    let address = SocketAddrUnix::new(&address)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    loop {
        match connect(&socket, &address) {
            Ok(()) => break,
            // The backlog is full: there is nothing to wait on but time.
            Err(Errno::AGAIN) if Instant::now() < deadline => pause(Duration::from_millis(5)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Lets time pass where nothing can be waited on.
pub(crate) fn pause(time: Duration) {
    let none: &mut [PollFd<'_>] = &mut [];
    // An interrupted pause is a short one.
    let _ = poll(none, Timespec::try_from(time).ok().as_ref());
}

impl Client {
    /// Gives the process that listens.
    pub(crate) fn process(&self) -> Option<Peer> {
        let peer = rustix::net::sockopt::socket_peercred(self.stream.get_ref()).ok()?;
        Peer::of(peer.pid)
    }

    /// Asks, and gives the one reply; no deadline waits as long as it takes, unless the runtime is stopped.
    pub(crate) fn ask(
        mut self,
        request: &Request,
        within: Option<Duration>,
    ) -> Result<Reply, CliError> {
        self.must_not_be_stopped()?;
        self.send(request)?;
        match self.receive(within)? {
            Some(reply) => Ok(reply),
            None => Err(
                CliError::new("gone", exit::INTERNAL, "hd ended before it answered")
                    .hint("`hd up` starts it again; `hd status` shows the last known state"),
            ),
        }
    }

    /// Asks for a report.
    pub(crate) fn report(
        self,
        request: &Request,
        within: Option<Duration>,
    ) -> Result<Report, CliError> {
        match self.ask(request, within)? {
            Reply::Report { report } => Ok(*report),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks for something to be done; a runtime that ends on the way has done it when `or_gone`.
    pub(crate) fn done(self, request: &Request, or_gone: bool) -> Result<(), CliError> {
        self.done_within(request, or_gone, None)
    }

    /// The same, with a deadline for the answer.
    pub(crate) fn done_within(
        mut self,
        request: &Request,
        or_gone: bool,
        within: Option<Duration>,
    ) -> Result<(), CliError> {
        // What waits in its socket would still be done once it goes on, whatever had been said of it.
        self.must_not_be_stopped()?;
        self.send(request)?;
        match self.receive(within)? {
            // A report is what has come of it.
            Some(Reply::Done | Reply::Report { .. }) => Ok(()),
            Some(other) => Err(unexpected(&other)),
            None if or_gone => Ok(()),
            None => Err(CliError::new(
                "gone",
                exit::INTERNAL,
                "hd ended before it was done",
            )),
        }
    }

    /// Follows what happens, line by line, until the runtime ends; an error once nobody reads what is printed.
    pub(crate) fn follow(
        mut self,
        request: &Request,
        mut line: impl FnMut(&str) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        self.send(request)?;
        loop {
            self.wait_for_more()?;
            match self.receive(None)? {
                Some(Reply::Event { line: text }) => line(&text)?,
                Some(Reply::Done) | None => return Ok(()),
                Some(other) => return Err(unexpected(&other)),
            }
        }
    }

    fn send(&mut self, request: &Request) -> Result<(), CliError> {
        let mut line = serde_json::to_vec(request)
            .map_err(|e| CliError::new("internal", exit::INTERNAL, e))?;
        line.push(b'\n');
        match self.stream.get_mut().write_all(&line) {
            Ok(()) => Ok(()),
            Err(e) if timed_out(&e) => Err(silent("read the request")),
            // It may have answered and gone: the reply, or its absence, tells.
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(e) => Err(lost(&e)),
        }
    }

    /// Waits until there is something to read: what happens is not to be hurried.
    fn wait_for_more(&self) -> Result<(), CliError> {
        if !self.stream.buffer().is_empty() {
            return Ok(());
        }
        let more = PollFd::new(self.stream.get_ref(), PollFlags::IN);
        let mut wanted = [more, reader::wanted()];
        loop {
            match poll(&mut wanted, None) {
                Err(Errno::INTR) => {}
                Err(e) => return Err(lost(&e.into())),
                Ok(_) if reader::is_gone(&wanted[1]) => return Err(CliError::pipe()),
                Ok(_) => return Ok(()),
            }
        }
    }

    /// Reads one reply; `None` at the end. An error in the reply is an error here, and so is a runtime that cannot
    /// answer.
    fn receive(&mut self, within: Option<Duration>) -> Result<Option<Reply>, CliError> {
        let deadline = within.map(|within| Instant::now() + within);
        let mut line = Vec::new();
        loop {
            let left = deadline.map_or(LOOK_EVERY, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Err(silent("answer"));
            }
            let stream = self.stream.get_ref();
            let set = stream.set_read_timeout(Some(left.min(LOOK_EVERY)));
            set.map_err(|e| lost(&e))?;
            let room = REPLY_MAX.saturating_sub(line.len() as u64);
            // What was read before the time was over stays in the line.
            match (&mut self.stream).take(room).read_until(b'\n', &mut line) {
                Ok(_) if !line.ends_with(b"\n") => return Ok(None),
                Ok(_) => return understood(&line).map(Some),
                Err(e) if timed_out(&e) => self.must_not_be_stopped()?,
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(e) => return Err(lost(&e)),
            }
        }
    }

    fn must_not_be_stopped(&self) -> Result<(), CliError> {
        match self.process() {
            Some(process) if process.is_stopped() => Err(stopped(&process)),
            _ => Ok(()),
        }
    }
}

fn understood(line: &[u8]) -> Result<Reply, CliError> {
    match serde_json::from_slice(line) {
        Ok(Reply::Error { error, exit }) => Err(CliError::from_report(error, exit)),
        Ok(reply) => Ok(reply),
        Err(e) => Err(CliError::new(
            "protocol",
            exit::INTERNAL,
            format!("the running hd answered in words unknown here: {e}"),
        )
        .hint("it may be of another version: `hd down`, then `hd up`")),
    }
}

fn timed_out(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn silent(what: &str) -> CliError {
    CliError::new(
        "timeout",
        exit::TIMEOUT,
        format!("the running hd does not {what}"),
    )
    .hint("`hd down --now` ends it")
}

/// It answers nobody until it goes on, whatever is asked of it.
fn stopped(process: &Peer) -> CliError {
    let message = "the running hd is stopped, as by Ctrl-Z";
    CliError::new("timeout", exit::TIMEOUT, message).hint(format!(
        "`fg` in its terminal, or `kill -CONT {}`, lets it go on",
        process.pid()
    ))
}

fn lost(error: &std::io::Error) -> CliError {
    CliError::new(
        "gone",
        exit::INTERNAL,
        format!("lost the connection to the running hd: {error}"),
    )
}

pub(crate) fn unexpected(reply: &Reply) -> CliError {
    let word = match reply {
        Reply::Report { .. } => "a report",
        Reply::Written { .. } => "a list of files",
        Reply::Snapshot { .. } => "a snapshot",
        Reply::Done => "done",
        Reply::Event { .. } => "an event",
        Reply::Error { .. } => "an error",
    };
    CliError::new(
        "protocol",
        exit::INTERNAL,
        format!("the running hd gave an unexpected answer: {word}"),
    )
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
