//! Finds out whether a service is ready: a thread per run that ends with the run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use hd_config::Probe;
use hd_supervision::Port;

use super::connect::connect_to;
use super::lookup::Lookup;
use super::reach::Reach;
use super::schedule::{Check, Plan, Schedule};
use super::spawner::Process;
use super::tls::{self, Wire};
use super::{held, holder};
use crate::messages::Probed;

/// Longest head of an HTTP answer that is read.
const HEAD_MAX: usize = 8 * 1024;
/// How long the supervisor may take to accept an answer before it is tried again.
const TELL_WITHIN: Duration = Duration::from_secs(5);

/// Probes a run as long as it is held.
#[derive(Debug)]
pub(crate) struct Probing(
    #[expect(dead_code, reason = "dropping it is what ends the thread")] Sender<()>,
);

impl Probing {
    /// Starts to probe a run; `complained` tells that its supervisor was told of something else.
    pub(crate) fn start(
        plan: Plan,
        run: u64,
        process: Arc<dyn Process>,
        complained: Arc<AtomicBool>,
        probed: Port<Probed>,
    ) -> std::io::Result<Self> {
        let (over, is_over) = bounded(0);
        let name = format!("probe {}", probed.name());
        thread::Builder::new().name(name).spawn(move || {
            probe(&plan, &*process, &complained, &is_over, |outcome| {
                // Refused: its supervisor is gone, and with it the run.
                let _ = probed.deliver_blocking(Probed { run, outcome }, TELL_WITHIN);
            });
        })?;
        Ok(Self(over))
    }
}

fn probe(
    plan: &Plan,
    process: &dyn Process,
    complained: &AtomicBool,
    over: &Receiver<()>,
    tell: impl Fn(Result<(), String>),
) {
    let started = Instant::now();
    let (mut schedule, mut lookup) = (Schedule::new(plan), Lookup::default());
    let mut delay = Some(schedule.first());
    while let Some(wait) = delay {
        if over.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let answer = check(plan, process, &mut lookup);
        if complained.swap(false, Ordering::Relaxed) {
            schedule.complained();
        }
        let next = schedule.answered(started.elapsed(), answer);
        if let Some(outcome) = next.tell {
            tell(outcome);
        }
        delay = next.delay;
    }
}

/// Tries once.
fn check(plan: &Plan, process: &dyn Process, lookup: &mut Lookup) -> Result<(), String> {
    let reach = &process.reach();
    match &plan.check {
        Check::Port(port) => own_port(*port, plan.timeout, process),
        Check::Held(at) => held::accepted(reach, *at, plan.timeout),
        Check::HeldByAll(at) => held::accepted_by(process, *at, plan.timeout),
        Check::Log(seen) => seen.check(),
        Check::Announced => process.announced(),
        // The plan has made them `Check::Log` and `Check::Announced`.
        Check::Health(Probe::Log(_) | Probe::Notify) => Err("nothing was looked for".to_owned()),
        Check::Health(Probe::Exec(command)) => process
            .beside(command, None, plan.timeout)
            .map_err(|why| format!("healthcheck {why}")),
        Check::Health(Probe::Tcp { host, port }) => {
            connect(reach, lookup, (host, *port), plan.timeout).map(drop)
        }
        Check::Health(Probe::Http { host, port, path }) => {
            let stream = connect(reach, lookup, (host, *port), plan.timeout)?;
            get(stream, "http", (host, *port, path), plan.timeout)
        }
        Check::Health(Probe::Https { host, port, path }) => {
            let stream = connect(reach, lookup, (host, *port), plan.timeout)?;
            let stream = tls::over(stream, host, plan.timeout)?;
            get(stream, "https", (host, *port, path), plan.timeout)
        }
    }
}

/// Tells whether the service itself accepts on its port.
fn own_port(port: u16, within: Duration, process: &dyn Process) -> Result<(), String> {
    let reach = &process.reach();
    let local = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    local
        .iter()
        .map(|ip| connect_to(reach, SocketAddr::new(*ip, port), within))
        .find(Result::is_ok)
        .unwrap_or_else(|| Err(format!("nothing accepts on port {port}")))?;
    let holder = holder::listeners(reach, port)
        .iter()
        .find_map(|listener| holder::holder(listener.inode));
    match holder {
        Some(holder) if !process.owns(holder.pid) => {
            Err(format!("port {port} is in use by {holder}"))
        }
        // A holder that may not be looked up is taken for the service: the port was free before it.
        _ => Ok(()),
    }
}

fn connect(
    reach: &Reach,
    lookup: &mut Lookup,
    (host, port): (&str, u16),
    within: Duration,
) -> Result<TcpStream, String> {
    let mut failed = None;
    for address in lookup.addresses(reach, host, within)? {
        match connect_to(reach, SocketAddr::new(address, port), within) {
            Ok(stream) => return Ok(stream),
            // Of the address that is tried first, which is what most people mean.
            Err(why) => failed = failed.or(Some(why)),
        }
    }
    Err(failed.unwrap_or_else(|| format!("{host} has no address")))
}

/// Asks a path; a status below 400 is success.
fn get(
    mut stream: impl Wire,
    scheme: &str,
    (host, port, path): (&str, u16, &str),
    within: Duration,
) -> Result<(), String> {
    let deadline = Instant::now() + within;
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    let at = format!("{scheme}://{host}:{port}{path}");
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            format!("{at}: no answer within {within:?}")
        }
        _ => format!("{at}: {e}"),
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: hd\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let socket = stream.socket();
    socket.set_write_timeout(Some(within)).map_err(failed)?;
    socket.set_read_timeout(Some(within)).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut head = Vec::new();
    let mut bytes = [0; 512];
    while !head.contains(&b'\n') && head.len() < HEAD_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        // A time of zero would mean for ever.
        stream
            .socket()
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .map_err(failed)?;
        match stream.read(&mut bytes).map_err(failed)? {
            0 => break,
            count => head.extend_from_slice(bytes.get(..count).unwrap_or_default()),
        }
    }
    match status(&head) {
        Some(status) if status < 400 => Ok(()),
        Some(status) => Err(format!("{at}: status {status}")),
        None => Err(format!("{at}: not an HTTP answer")),
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.strip_prefix("HTTP/")?.split_whitespace();
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
