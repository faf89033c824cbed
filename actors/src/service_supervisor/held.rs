//! Whether somebody accepts from a listening socket that hd holds.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
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

/// Tells whether somebody accepts on a port that hd listens on itself: a connection of our own, on
/// which nothing is sent, is answered or ended, or the queue of the socket shrinks.
pub(super) fn accepted(reach: &Reach, port: u16, within: Duration) -> Result<(), String> {
    let waiting = || {
        holder::listeners(reach, port)
            .first()
            .map(|listener| listener.waiting)
    };
    let mut stream = open(reach, port, within)?;
    let failed = |e: io::Error| format!("port {port}: {e}");
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
    Err(nobody(port))
}

/// Tells whether a process accepts on a port that hd listens on itself and that other replicas accept on
/// too: connections of our own are followed to who took them.
pub(super) fn accepted_by(
    process: &dyn Process,
    port: u16,
    within: Duration,
) -> Result<(), String> {
    let mut sure = true;
    for _ in 0..CONNECTIONS {
        match taker(&process.reach(), port, within)? {
            Some(pid) if process.owns(pid) => return Ok(()),
            Some(_) => {}
            None => sure = false,
        }
    }
    match sure {
        true => Err(format!(
            "other replicas take all connections to port {port}"
        )),
        // Who may not be looked up is taken for the service.
        false => Ok(()),
    }
}

/// Gives the process that took a connection; none when that cannot be known.
fn taker(reach: &Reach, port: u16, within: Duration) -> Result<Option<u32>, String> {
    let mut stream = open(reach, port, within)?;
    let me = stream.local_addr().map_err(|e| e.to_string())?;
    let deadline = Instant::now() + within.min(ACCEPTED_WITHIN);
    while Instant::now() < deadline {
        if let Some(inode) = holder::accepted(reach, port, me) {
            return Ok(holder::holder(inode).map(|holder| holder.pid));
        }
        if !is_silent(&mut stream) {
            return Ok(None);
        }
    }
    Err(nobody(port))
}

fn nobody(port: u16) -> String {
    format!("nobody accepts on port {port} yet")
}

fn open(reach: &Reach, port: u16, within: Duration) -> Result<TcpStream, String> {
    let stream = connect_to(reach, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), within)?;
    let set = stream.set_read_timeout(Some(LOOK_AGAIN));
    set.map_err(|e| format!("port {port}: {e}"))?;
    Ok(stream)
}

/// Waits a moment; tells whether nothing came.
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.read(&mut [0]).is_err_and(|error| {
        use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
        matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
    })
}
