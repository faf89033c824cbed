//! Whether somebody accepts from a listening socket that hd holds.

use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::connect::connect_to;
use super::holder;
use super::reach::Reach;
use super::spawner::Process;

/// Pause before the queue of a socket is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long one look at the queue of a held socket takes at most: each leaves a connection in it.
const ACCEPTED_WITHIN: Duration = Duration::from_millis(500);
/// Connections of one look, where other replicas may take them.
const CONNECTIONS: usize = 8;

/// Tells whether somebody accepts where hd listens itself: a connection of our own, on
/// which nothing is sent, is answered or ended, or the queue of the socket shrinks.
pub(super) fn accepted(reach: &Reach, at: SocketAddr, within: Duration) -> Result<(), String> {
    let waiting = || {
        holder::listeners_at(reach, at)
            .first()
            .map(|listener| listener.waiting)
    };
    let mut stream = open(reach, at, within)?;
    let failed = |e: io::Error| format!("{at}: {e}");
    stream.shutdown(Shutdown::Write).map_err(failed)?;
    let (deadline, mut before) = (Instant::now() + within.min(ACCEPTED_WITHIN), waiting());
    while Instant::now() < deadline {
        let silent = is_silent(&mut stream);
        let now = waiting();
        if !silent || now == Some(0) || now < before {
            return Ok(());
        }
        before = now;
    }
    Err(nobody(at))
}

/// Tells whether a process accepts where hd listens itself and other replicas accept
/// too: connections of our own are followed to who took them.
pub(super) fn accepted_by(
    process: &dyn Process,
    at: SocketAddr,
    within: Duration,
) -> Result<(), String> {
    let mut sure = true;
    for _ in 0..CONNECTIONS {
        match taker(&process.reach(), at, within)? {
            Some(pid) if process.owns(pid) => return Ok(()),
            Some(_) => {}
            None => sure = false,
        }
    }
    match sure {
        true => Err(format!("other replicas take all connections to {at}")),
        // Who may not be looked up is taken for the service.
        false => Ok(()),
    }
}

/// Gives the process that took a connection; none when that cannot be known.
fn taker(reach: &Reach, at: SocketAddr, within: Duration) -> Result<Option<u32>, String> {
    let mut stream = open(reach, at, within)?;
    let me = stream.local_addr().map_err(|e| e.to_string())?;
    let deadline = Instant::now() + within.min(ACCEPTED_WITHIN);
    while Instant::now() < deadline {
        if let Some(inode) = holder::accepted(reach, at.port(), me) {
            return Ok(holder::holder(inode).map(|holder| holder.pid));
        }
        if !is_silent(&mut stream) {
            return Ok(None);
        }
    }
    Err(nobody(at))
}

fn nobody(at: SocketAddr) -> String {
    format!("nobody accepts on {at} yet")
}

fn open(reach: &Reach, at: SocketAddr, within: Duration) -> Result<TcpStream, String> {
    let stream = connect_to(reach, at, within)?;
    let set = stream.set_read_timeout(Some(LOOK_AGAIN));
    set.map_err(|e| format!("{at}: {e}"))?;
    Ok(stream)
}

/// Waits a moment; tells whether nothing came.
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.read(&mut [0]).is_err_and(|error| {
        use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
        matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
    })
}
